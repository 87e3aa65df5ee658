"""Snakemake executor for this machine: members are started at once, all else as Snakemake does.

For Snakemake a member is a shell command. That is a bash which becomes the bash of run.sh, which
starts a program to have its lock: together more than a member costs that does nothing. Here run.sh
is started itself, with its lock, as a batch does.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from snakemake.exceptions import SpawnedJobError
from snakemake.executors import local
from snakemake.executors.local import common_settings

from ensemake.batch.processes import LOCK, LOCKED, locked
from ensemake.member.needs import THREADS
from ensemake.submit.plain import RUN_MEMBER

__all__ = ["Executor", "common_settings"]

TEMPORARY = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")
OPEN, DUPLICATE = os.POSIX_SPAWN_OPEN, os.POSIX_SPAWN_DUP2


class Executor(local.Executor):  # type: ignore[misc]  # Snakemake's own has no types
    """Snakemake's, but for members."""

    def run_single_job(self, job: Any) -> Any:
        """Start a job; return the future of its end, for which the pool waits."""
        has_own_shell = "shell_exec" in job.resources.keys()  # noqa: SIM118  (a Namedlist)
        if job.rule.shellcmd != RUN_MEMBER or has_own_shell:
            return super().run_single_job(job)
        self.workflow.async_run(job.prepare())
        return self.pool.submit(run_member, member_of(job))


@dataclass(frozen=True)
class MemberJob:
    """What is to be run, with what is added to the environment, and where its words go."""

    words: list[str]
    environ: Mapping[str, str]
    log: str

    @property
    def directory(self) -> str:
        """Where its lock is; nowhere, if something comes before its run.sh."""
        program, *_, script = self.words
        return os.path.dirname(script) if program == "bash" else ""


def member_of(job: Any) -> MemberJob:
    """Return what the shell command of a member's job says (see ``run.smk``)."""
    return MemberJob([*job.params.command], dict(_environ(job)), str(job.log))


def _environ(job: Any) -> Iterator[tuple[str, str]]:
    """Yield what Snakemake sets for a shell command, and what the command exports."""
    yield from ((name, str(job.threads)) for name in THREADS)
    if job.resources.get("tmpdir"):
        yield from ((name, str(job.resources.tmpdir)) for name in TEMPORARY)
    for text in (job.params.carry_on, job.params.limit):
        for word in shlex.split(text.removeprefix("export ").removesuffix(";")):
            name, _, value = word.partition("=")
            yield name, value


def run_member(member: MemberJob) -> None:
    """Run a member.

    Raises
    ------
    SpawnedJobError
        If it fails; run.sh has said why.
    """
    _, status = os.waitpid(start_member(member), 0)
    if status:
        raise SpawnedJobError


def start_member(member: MemberJob) -> int:
    """Return the id of its process, in our group: Ctrl-C is for it as well."""
    with locked(member.directory) if member.directory else nullcontext() as lock:
        own = [(DUPLICATE, lock, LOCK)] if lock else []
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return os.posix_spawnp(
            member.words[0],
            member.words,
            {**os.environ, **member.environ, **({LOCKED: "1"} if lock else {})},
            file_actions=[(OPEN, 1, member.log, flags, 0o666), (DUPLICATE, 1, 2), *own],
            setsigdef=[signal.SIGPIPE],  # Python ignores it, and so would the member
        )
