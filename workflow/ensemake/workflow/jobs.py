"""What the jobs of members and batches are started with: command, resources, limits."""

import json
import shlex
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from ensemake.atomic import LARGEST, read_whole
from ensemake.batch.runner import CARRY_ON
from ensemake.cluster.resources import batch_resources, member_resources
from ensemake.config.batch import BatchSettings
from ensemake.config.schema import Resource
from ensemake.member.command import resource
from ensemake.member.needs import needed
from ensemake.workflow.todo import Todo

ATTEMPT = "ensemake_attempt"  # a resource, for only those know it


class Jobs(Todo):
    """One model or ensemble, as its jobs see it."""

    @property
    def batch_threads(self) -> int:
        """On one machine a batch has it to itself."""
        is_submitted = self.invocation.workflow.resource_settings.nodes is not None
        return 1 if is_submitted else int(self.invocation.workflow.cores)

    @property
    def batch_resources(self) -> dict[str, Any]:
        """Resources of a batch."""
        return batch_resources(self._batch, needed(self.settings)) | self._attempt

    @property
    def preamble(self) -> str:
        """Shell lines that are run before the members of a batch."""
        return "\n".join(self._batch.preamble)

    @property
    def _batch(self) -> BatchSettings:
        assert self.settings.batch_settings is not None
        return self.settings.batch_settings

    @property
    def retries(self) -> int | None:
        """How often a job that the cluster ended is submitted again; None: as the user says.

        On one machine run.sh goes on by itself. What does not go on ends at once.
        """
        is_submitted = self.invocation.workflow.resource_settings.nodes is not None
        return self.settings.restart.times if self.settings.restart and is_submitted else None

    @property
    def threads(self) -> int | Callable[..., int]:
        """CPUs of a member on one machine: tasks times cpus_per_task."""
        if any(map(_is_template, needed(self.settings).values())):
            return lambda wildcards, attempt: self._cpus(wildcards, attempt)
        return self._cpus(None, 1)

    @property
    def resources(self) -> dict[str, Resource | Callable[..., Resource]]:
        """A member's resources in Snakemake's names; those of a site's plugins beside them."""
        asked = member_resources(self.settings) | self._attempt
        # a function costs Snakemake several calls for each job
        return {
            name: partial(self._resource, value) if _is_template(value) else value
            for name, value in asked.items()
        }

    @property
    def _attempt(self) -> dict[str, Any]:
        return {ATTEMPT: lambda wildcards, attempt: attempt} if self.carries_on else {}

    def _resource(self, value: Resource, wildcards: Any, attempt: int) -> Resource:
        if not _is_template(value):
            return value
        return resource(value, {**self._values(wildcards), "attempt": attempt})

    def _cpus(self, wildcards: Any, attempt: int) -> int:
        given = needed(self.settings)
        sizes = [given[key] for key in ("tasks", "cpus_per_task") if key in given]
        return prod(int(self._resource(size, wildcards, attempt)) for size in sizes)

    def _values(self, wildcards: Any) -> dict[str, Any]:
        """A member's values; in a job, as its directory has them."""
        planned = self._planned.get(self._member(wildcards))
        if planned:
            return planned.values
        path = self.layout.member(self._member(wildcards)) / "params.json"
        return dict(json.loads(read_whole(path, LARGEST)))

    @property
    def carry_on(self) -> str | Callable[..., str]:
        """Shell words by which a job's last attempt ends well, for those that wait for its end."""
        return self._carry_on if self.carries_on else ""

    def _carry_on(self, wildcards: object, resources: Any) -> str:
        attempt = getattr(resources, ATTEMPT, 1)
        is_last = attempt > (self.retries or self.invocation.workflow.execution_settings.retries)
        return f"export {CARRY_ON}=1;" if is_last else ""

    @property
    def limit(self) -> str | Callable[..., str]:
        """Shell words that tell run.sh its time limit, which a profile may have changed."""
        return self._limit if "runtime" in self.settings.resources else ""

    def _limit(self, wildcards: object, resources: Any) -> str:
        return f"export ENSEMAKE_RUNTIME={shlex.quote(str(resources.runtime))};"

    @property
    def gathers(self) -> bool:
        """Whether a member takes from many others, whose files and results are gathered first."""
        return any(taken.members == "all" for taken in self.settings.inputs.values())

    @property
    def command(self) -> list[str] | Callable[..., list[str]]:
        """Words that run a member: its run.sh, or what gathers for it first."""
        return self._gather if self.gathers else ["bash", "-p", self.script]

    def _gather(self, wildcards: Any) -> list[str]:
        words = self.invocation.command("gather.py")
        return [*words, self._plan_for(wildcards), self.member_name(wildcards)]

    def _plan_for(self, wildcards: Any) -> str:
        chunk = self._chunk_of.get(self._member(wildcards)) if self.invocation.is_main else None
        return str(self.layout.plan(chunk)) if chunk else ""

    def _member(self, wildcards: Any) -> str:
        """Return the place of a member: of a model, which has no wildcard, its only one's name."""
        place = getattr(wildcards, "member", None)
        return place or next(iter(self._planned), "")

    def member_name(self, wildcards: Any) -> str:
        """Name of a member: of a model, its only one's."""
        return Path(self._member(wildcards)).name


def _is_template(value: Resource) -> bool:
    return isinstance(value, str) and "{" in value
