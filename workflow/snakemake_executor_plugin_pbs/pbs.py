"""PBS as a workload manager."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from snakemake_interface_common.exceptions import WorkflowError

from ensemake.submit.manager import (
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
from .request import qsub_arguments
from .verdict import verdict


@dataclass
class Pbs(Manager):
    """PBS Professional or OpenPBS.

    Parameters
    ----------
    array_limit
        How many jobs may be one array; 1 for no arrays.
    """

    array_limit: int = 1
    queue: commands.Queue = field(default_factory=commands.Queue)

    name = "PBS"
    cancel_command = "qdel"
    index = "PBS_ARRAY_INDEX"
    job_id = "${PBS_JOBID-}"

    def require(self) -> None:
        """Make sure that the commands are those of PBS Pro or OpenPBS."""
        commands.require_pbs()

    def request(self, resources: Resources, threads: int) -> list[str]:
        """Return the arguments of qsub."""
        return qsub_arguments(resources, threads)

    def largest_array(self) -> int:
        """Return what the options say."""
        return self.array_limit

    def submit(self, submission: Submission) -> Submitted:
        """Call qsub."""
        array, log = submission.size > 1, submission.log
        if array:
            log = log.with_name(f"{log.stem}.^array_index^{log.suffix}")
        words = ["-N", submission.name, "-j", "oe", "-o", str(log), "-S", "/bin/bash", "-C", ""]
        words += ["-W", f"umask={submission.umask:03o}"]
        words += ["-J", f"0-{submission.size - 1}"] if array else []
        answer = commands.run_command(
            "qsub", *words, *submission.arguments, stdin=submission.script
        )
        if not answer.code:
            whole = answer.out.strip()
            ids = [whole.replace("[]", f"[{index}]") for index in range(submission.size)]
            return Submitted(Reply.DONE, ids)
        silent, full = answer.code in commands.UNREACHABLE, answer.code in commands.FULL
        reply = Reply.SILENT if silent else Reply.FULL if full else Reply.REFUSED
        return Submitted(reply, complaint=f"qsub failed: {answer.complaint}")

    def look(self, job_ids: list[str]) -> Listing | None:
        """Call qstat once."""
        return self.queue.look(job_ids)

    def queued(self, name: str = "") -> list[Queued]:
        """Ask qselect for the ids, and qstat for what they are."""
        ids = commands.own_jobs(*(["-N", name] if name else []))
        found = self._listing(ids) if ids else {}
        return [
            Queued(job_id, self._array_name(found, job_id), listing.index_of(job_id))
            for job_id, record in found.items()
            if "[]" not in job_id and record.get("job_state") not in ("F", "X")
        ]

    def _listing(self, ids: list[str]) -> Listing:
        """Ask until there is an answer; the first ones may show how to ask."""
        for _ in range(3):
            found = self.queue.look(ids)
            if found is not None:
                return found
        raise WorkflowError("PBS does not say what the jobs in the queue are.")

    def _array_name(self, found: Listing, job_id: str) -> str:
        """Return the name of a job, of a sub-job that of its array."""
        return self.job_name(found.get(listing.parent(job_id) or "", found[job_id]))

    def delete(self, job_ids: list[str]) -> str:
        """Call qdel once."""
        answer = commands.delete(job_ids)
        return answer.complaint if answer.code else ""

    def verdict(self, record: Record | None, marker: Marker | None) -> Verdict:
        """Judge by PBS's record, by the marker where PBS cannot tell."""
        return verdict(record, marker.code if marker else None)

    def state(self, record: Record) -> str:
        """Return the state's letter."""
        return str(record.get("job_state"))

    def job_name(self, record: Record) -> str:
        """Return the name."""
        return str(record.get("Job_Name", ""))

    def trouble(self, record: Record) -> str:
        """Return PBS's comment on a job that is held, or whose queue is not started."""
        if record.get("job_state") == "S":  # the comment still says that it runs
            return "suspended"
        comment = " ".join(str(record.get("comment", "")).split())
        odd = record.get("job_state") == "H" or "not started" in comment
        return (comment or "held") if odd else ""

    def record(self, found: Listing, job_id: str) -> Record | None:
        """Return the record of a job; a waiting sub-job has the comment of its array."""
        return listing.record_of(found, job_id)

    def whole(self, job_ids: Iterable[str]) -> list[str]:
        """Return arrays for their sub-jobs."""
        return listing.asked(list(job_ids))
