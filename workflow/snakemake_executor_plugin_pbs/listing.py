"""What qstat prints, turned into one record (a dict) per job. Pure functions."""

from __future__ import annotations

import json
import re

from ensemake.submit.manager import Listing, Record

INHERITED: tuple[str, ...] = ("comment", "Hold_Types")
HISTORY_OFF = "not configured to maintain job history"


def parse_json(text: str) -> Listing:
    """Return the jobs of ``qstat -f -F json``.

    Raises
    ------
    ValueError
        If `text` is not JSON: older releases write invalid JSON for non-ASCII characters,
        backslashes, and names that look like numbers.
    """
    answer = json.loads(text, strict=False)
    jobs = answer.get("Jobs", {}) if isinstance(answer, dict) else None
    if not isinstance(jobs, dict) or not all(isinstance(job, dict) for job in jobs.values()):
        raise ValueError("no list of jobs")
    return jobs


def parse_dsv_line(line: str) -> tuple[str, Record]:
    """Return job id and record of one line ``Job Id: 1.host|name=value|...``."""
    head, *fields = (part.replace(r"\|", "|") for part in re.split(r"(?<!\\)\|", line))
    pairs = (field.partition("=") for field in fields)
    return head.removeprefix("Job Id:").strip(), {name: value for name, _, value in pairs}


def parse_dsv(text: str) -> Listing:
    """Return the jobs of ``qstat -f -F dsv``: one line each, so one bad value spoils no other."""
    return dict(parse_dsv_line(line) for line in text.splitlines() if line.startswith("Job Id:"))


def parent(job_id: str) -> str | None:
    """Return the id of the array that `job_id` is a part of: ``9[3].host`` -> ``9[].host``."""
    whole, replaced = re.subn(r"\[\d+\]", "[]", job_id)
    return whole if replaced else None


def asked(job_ids: list[str]) -> list[str]:
    """Return the ids to give to qstat: an array stands for its sub-jobs."""
    return list(dict.fromkeys(parent(job_id) or job_id for job_id in job_ids))


def index_of(job_id: str) -> str:
    """Return the array index in ``9[3].host``, else an empty string."""
    return job_id.partition("[")[2].partition("]")[0]


def record_of(listing: Listing, job_id: str) -> Record | None:
    """Return the record of a job; a waiting sub-job has the comment of its array."""
    record = listing.get(job_id)
    whole = listing.get(parent(job_id) or "")
    if record is None or whole is None or record.get("job_state") not in ("Q", "H"):
        return record
    inherited = {key: whole[key] for key in INHERITED if key in whole}
    return {**record, **inherited, "job_state": "H" if whole.get("job_state") == "H" else "Q"}
