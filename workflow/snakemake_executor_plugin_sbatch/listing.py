"""What squeue and sacct print, turned into one record for each job. Pure functions."""

from __future__ import annotations

from ensemake.submit.manager import Listing

FORMAT = "%i|%T|%r|%j"  # the name last: it may hold anything
FIELDS = ("state", "reason", "name")


def parse(text: str) -> Listing:
    """Return records by job id; of sacct's lines, which end after the state, only that.

    ``CANCELLED by 1000`` is sacct's. With several clusters squeue prints lines of other kinds.
    """
    found: Listing = {}
    for line in text.splitlines():
        job_id, *fields = line.strip().split("|", len(FIELDS))
        if fields and job_id[:1].isdigit():
            record = dict(zip(FIELDS, fields, strict=False))
            found[job_id] = {**record, "state": (record["state"].split() or [""])[0]}
    return found


def task_of(job_id: str) -> str:
    """Return the array index in ``9_3``, else an empty string."""
    return job_id.partition("_")[2]
