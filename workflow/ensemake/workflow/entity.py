"""One model or ensemble, as the rules ask for it: input functions and params."""

from collections.abc import Callable, Collection
from functools import cached_property
from inspect import Parameter
from pathlib import Path
from typing import Any

from ensemake.member.plan import plan_id
from ensemake.member.state import is_generated
from ensemake.results.collect import members_digest
from ensemake.workflow.jobs import Jobs

SAID_PARAMETERS = "_overwrite_params"  # what Snakemake takes instead of inspecting a function
GROUP = 300  # members


def of_wildcards(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method that each member asks: as taking the wildcards alone.

    Snakemake inspects a function some ten times for each job to find its parameters, a tenth of
    what a job costs; a function that says them is not inspected. Without the mark it works as well.
    """
    known = {"wildcards": Parameter("wildcards", Parameter.POSITIONAL_OR_KEYWORD)}
    setattr(function, SAID_PARAMETERS, known)
    return function


class EntityRules(Jobs):
    """One model or ensemble, in the terms of rules."""

    def known(self, wildcards: object) -> list[str]:
        """No files, once the members are known: an input function."""
        if self.invocation.is_main:
            self.wait()
        return []

    def all_generated(self, wildcards: object) -> list[str]:
        """Markers of all chunks that have to be generated; none while nobody knows the members."""
        return [self._generated(chunk) for chunk in self.chunks] if self.is_known else []

    def all_members(self, wildcards: object) -> list[str]:
        """Table of the members, if they are known already."""
        return [self.members] if self.invocation.is_main and self.is_known else []

    @of_wildcards
    def generated_for(self, wildcards: Any) -> list[str]:
        """Marker of the chunk that a member, or a batch, belongs to."""
        if not self.invocation.is_main:
            return []
        chunk = getattr(wildcards, "chunk", None) or self._chunk_of.get(self._member(wildcards))
        if not chunk:
            return []
        others = [(self.entities[p.entity], p) for p in self.chunks[chunk].followers]
        with_them = [entity._generated(plan_id(plan)) for entity, plan in others if entity.chunks]
        return [self._generated(chunk), *with_them]

    @property
    def taken(self) -> list[Callable[..., list[str]]]:
        """What gives the markers of members that others take from; nothing where none do.

        Each function that Snakemake has to ask costs each job.
        """
        return [self.inputs_for] if self.sources or self.is_batched else []

    @of_wildcards
    def inputs_for(self, wildcards: Any) -> list[str]:
        """Markers of what a member, or the members of a batch, take from others."""
        if not self.invocation.is_main:
            return []
        chunk = getattr(wildcards, "chunk", None)
        member = None if chunk else self._planned.get(self._member(wildcards))
        plans = [self.chunks[chunk], *self.chunks[chunk].followers] if chunk else []
        members = [one for plan in plans for one in plan.members] + ([member] if member else [])
        taken: dict[str, dict[str, None]] = {}
        for entity, names in (both for one in members for both in one.inputs):
            if entity != self.name:  # of which followers take, in the same job
                taken.setdefault(entity, {}).update(dict.fromkeys(names))
        by_name = self.entities
        return [path for name, names in taken.items() for path in by_name[name].ends_of(names)]

    def ends_of(self, names: Collection[str]) -> list[str]:
        """Markers of these members' ends, as far as they are to run."""
        if not self.pending:
            return []
        self._ask()
        if len(names) == len(self.work.planned):
            return [self.ended]
        return list(dict.fromkeys(self._ends[name] for name in names if name in self._ends))

    def all_done(self, wildcards: object) -> list[str]:
        """Markers of all that has to run; the table is made anew if there are any."""
        if not self.invocation.is_main:
            return []
        self.wait()
        self._ask()
        if self._collected.get("state") != self._state_hash:
            self.invocation.make_anew([self.results])
        if not self.pending:
            return []
        self.invocation.make_anew([self.results])
        return [self.ended] if self.is_source else self.all_ended(wildcards)

    def all_ended(self, wildcards: object) -> list[str]:
        """Markers of the ends of all that has to run."""
        if not self.invocation.is_main:
            return []
        with_others = [self.rides_with.done_of(job) for job, _ in self._rides if self.rides_with]
        if len(self._groups) <= 1 or self.is_batched:
            names = self._plans if self.is_batched else map(self._place, self.pending)
            return [*map(self.done_of, names), *with_others]
        markers = [self.gathered.replace("{group}", number) for number in self._groups]
        self.invocation.make_anew(markers)
        return [*markers, *with_others]

    def group(self, wildcards: Any) -> list[str]:
        """Markers of the ends of a group of members."""
        return self._groups[wildcards.group] if self.invocation.is_main else []

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        markers = [self.done_of(self._place(member)) for member in self.pending]
        starts = range(0, len(markers), GROUP)
        return {str(start): markers[start : start + GROUP] for start in starts}

    def verdict(self, wildcards: object) -> list[str]:
        """Marker that says that all members completed; none if none is to run."""
        if not self.invocation.is_main:
            return []
        self.wait()
        is_told = self.carries_on or self.rides_with is not None
        return [self.completed] if is_told and self.pending else []

    def planned_for(self, wildcards: Any) -> list[str]:
        """Marker of a member's chunk, if its files have to be written."""
        if self.invocation.is_main:
            self.wait()
        place = self._member(wildcards)
        planned, chunk = self._planned.get(place), self._chunk_of.get(place)
        if planned and is_generated(Path(planned.directory), planned.digest):
            return []
        self.invocation.make_anew(path.replace("{member}", place) for path in self.own_files)
        return [self._generated(chunk)] if chunk else []

    def plan(self, wildcards: Any) -> str:
        """Path of a chunk's plan."""
        return str(self.layout.plan(wildcards.chunk))

    @of_wildcards
    def digest(self, wildcards: Any) -> str:
        """Recipe digest of a member."""
        planned = self._planned.get(self._member(wildcards))
        return planned.digest if planned else ""

    def members_digest(self, wildcards: object) -> str:
        """Changes when members.csv has to."""
        if not self.invocation.is_main or not self.is_known:
            return ""
        assert self.chunks is not None  # a run has saved what the table is written from
        return members_digest(self.work)

    def directories(self, job: Any) -> list[Path]:
        """Directories of the members that a job of ours runs, none for other jobs."""
        wildcards = job.wildcards
        if job.rule.name == f"batch_{self.rule}":
            plan = self.chunks[wildcards.chunk]
            plans = [plan, *plan.followers]
            return [Path(member.directory) for one in plans for member in one.members]
        return [self.layout.member(self._member(wildcards))] if job.rule.name == self.rule else []
