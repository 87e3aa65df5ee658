"""What the executor knows of a job before it is submitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemake.submit import jobscript, names
from ensemake.submit.manager import Manager


def members(job: Any) -> list[Any]:
    """Return the jobs of a group in a fixed order; any other job alone."""
    jobs = list(job.jobs) if job.is_group() else [job]
    return sorted(jobs, key=lambda member: (member.name, [str(file) for file in member.output]))


def readable(job: Any) -> str:
    """Return rule and wildcards; a group's own name is drawn anew in every run."""
    if job.is_group():
        return "group"
    return "-".join([job.name, *map(str, job.wildcards_dict.values())])


def identity(job: Any, workdir: Path) -> list[object]:
    """Return what tells a job from all others, the same in every run of the workflow."""
    outputs = [[str(file) for file in member.output] for member in members(job)]
    targets = [(member.name, sorted(member.wildcards_dict.items())) for member in members(job)]
    return [workdir, outputs, targets]


def deciding(job: Any) -> list[str]:
    """Return the inputs that decide what a job does.

    An ancient input only has to be there. If a shell command reads it, the command names it.
    """
    return [str(file) for file in job.input if not (job.shellcmd and file.is_ancient)]


def job_fingerprint(job: Any) -> str:
    """Return a hash of what a job does: command, parameters, input files."""
    return names.digest(
        (member.shellcmd, [str(value) for value in member.params], deciding(member))
        for member in members(job)
    )


@dataclass(frozen=True)
class Ticket:
    """A job with its name in the queue, its files and the arguments of its submission."""

    job: Any
    name: str
    fingerprint: str
    paths: jobscript.Paths
    arguments: list[str] = field(repr=False)

    @classmethod
    def of(cls, job: Any, folder: Path, workdir: Path, manager: Manager) -> Ticket:
        """Make the ticket of `job`.

        Raises
        ------
        ValueError
            If a resource makes no sense.
        """
        name = names.job_name(readable(job), identity(job, workdir))
        arguments = manager.request(job.resources, job.threads)
        return cls(job, name, job_fingerprint(job), jobscript.Paths.of(folder, name), arguments)

    @property
    def changing_inputs(self) -> list[str]:
        """The inputs whose change makes the job stale."""
        return [str(file) for file in self.job.input if not file.is_ancient]

    @property
    def kind(self) -> tuple[object, ...]:
        """What jobs must have in common to be one array."""
        return (self.job.is_group(), self.job.name, *self.arguments)


def batches(tickets: list[Ticket], limit: int) -> list[list[Ticket]]:
    """Group tickets of one kind, at most `limit` in a group."""
    kinds: dict[tuple[object, ...], list[Ticket]] = {}
    for ticket in tickets:
        kinds.setdefault(ticket.kind, []).append(ticket)
    return [
        group[start : start + limit]
        for group in kinds.values()
        for start in range(0, len(group), limit)
    ]
