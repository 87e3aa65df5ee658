"""Slurm as a workload manager."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from ensemake.atomic import read_end
from ensemake.submit.manager import (
    LOG_BYTES,
    JobEnd,
    Listing,
    Manager,
    Marker,
    Queued,
    Record,
    Reply,
    Submission,
    Submitted,
    Verdict,
)
from ensemake.submit.resources import Resources

from . import commands, listing
from .request import sbatch_arguments
from .verdict import ENDED, slurm_verdict, trouble

LARGEST = 1000  # jobs in one array
# Where memory is watched by polling, Slurm calls the job FAILED; its log tells.
MEMORY = re.compile(rb"^slurmstepd.*(oom.kill|exceeded memory limit)", re.MULTILINE)


class Slurm(Manager):
    """Slurm, with or without accounting."""

    name = "Slurm"
    cancel_command = "scancel"
    index = "SLURM_ARRAY_TASK_ID"
    job_id = "${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID-}}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"

    def __init__(self) -> None:
        self._largest: int | None = None
        self._has_accounting = True
        # Jobs that are over stay listed for minutes, thousands of them: they are asked for only
        # where one is missing.
        self._wants_all = self._has_all = False

    def require(self) -> None:
        """Make sure that the commands are here."""
        commands.require_slurm()

    def request(self, resources: Resources, threads: int) -> list[str]:
        """Return the options of sbatch."""
        return sbatch_arguments(resources, threads)

    def largest_array(self) -> int:
        """Return what Slurm says, asked until it does."""
        self._largest = self._largest or commands.max_array_size()
        return max(1, min(LARGEST, self._largest or LARGEST))

    def submit(self, submission: Submission) -> Submitted:
        """Call sbatch."""
        array, log = submission.size > 1, submission.log
        folder, stem = (part.replace("%", "%%") for part in (str(log.parent), log.stem))
        output = f"{folder}/{stem}{'.%a' if array else ''}{log.suffix}"
        words = ["--parsable", "--export=ALL", f"--job-name={submission.name}"]
        words += [f"--output={output}"]
        words += [f"--array=0-{submission.size - 1}"] if array else []
        answer = commands.run("sbatch", *words, *submission.arguments, stdin=submission.script)
        whole = commands.submitted_id(answer.out)
        if answer.code or not whole:
            complaint = f"sbatch failed: {answer.complaint}"
            return Submitted(commands.reply_in(answer), complaint=complaint)
        ids = [f"{whole}_{index}" for index in range(submission.size)] if array else [whole]
        return Submitted(Reply.DONE, ids)

    def look(self, job_ids: list[str]) -> Listing | None:
        """Call squeue once."""
        self._has_all, self._wants_all = self._wants_all, False
        return commands.squeue(*(["--states=all"] if self._has_all else []))

    def past(self, job_ids: list[str]) -> Listing:
        """Have the next look see all; of what it did not see, ask the accounting."""
        self._wants_all = bool(job_ids)
        if not (job_ids and self._has_all and self._has_accounting):
            return {}
        found = commands.sacct(job_ids)
        self._has_accounting = found is not None
        return found or {}

    def queued(self, name: str = "") -> list[Queued]:
        """Call squeue."""
        found = commands.squeue(*([f"--name={name}"] if name else []))
        if found is None:
            raise WorkflowError("Slurm does not say which jobs are in the queue.")
        return [
            Queued(job_id, record.get("name", ""), listing.task_of(job_id))
            for job_id, record in found.items()
        ]

    def delete(self, job_ids: list[str]) -> str:
        """Call scancel once."""
        return commands.scancel(job_ids) if job_ids else ""

    def verdict(self, record: Record | None, marker: Marker | None) -> Verdict:
        """Judge by the marker, then by Slurm's record."""
        return slurm_verdict(record, marker)

    def state(self, record: Record) -> str:
        """Return the state's name."""
        return str(record["state"])

    def job_name(self, record: Record) -> str:
        """Return the name; sacct is not asked for it."""
        return str(record.get("name", ""))

    def trouble(self, record: Record) -> str:
        """Return the reason for which a job waits, if it is no ordinary one."""
        return trouble(record)

    def whole(self, job_ids: Iterable[str]) -> list[str]:
        """Return arrays for their jobs."""
        return list(dict.fromkeys(job_id.partition("_")[0] for job_id in job_ids))

    def reason_in(self, log: Path, judged: Verdict) -> Verdict:
        """Find a kill for memory."""
        try:
            text = read_end(str(log), LOG_BYTES)[0]
        except (OSError, ValueError):
            return judged
        told = Verdict(JobEnd.FAILURE, ENDED["OUT_OF_MEMORY"])
        return told if MEMORY.search(text) else judged
