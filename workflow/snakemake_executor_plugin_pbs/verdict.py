"""What has become of a job: from PBS's record and the job's own marker. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ensemake.submit.manager import JobEnd, Verdict, code_words, signal_name

NEVER = "Can Never Run"
TERMINATED = "91"  # substate
NEVER_STARTED = (-1, -2, -3)
VANISHED = "unknown to PBS and without an exit code: deleted, or its node was lost"

# Negative numbers are PBS's own (JOB_EXEC_* of its job.h).
REASONS = {
    -29: "walltime limit exceeded: ask for more `runtime`",
    -28: "CPU time limit exceeded",
    -27: "memory limit exceeded: ask for more `mem_mb`",
    -26: "virtual memory limit exceeded",
    -25: "used more CPUs than asked for",
    -24: "used more CPUs than asked for",
    -23: "could not be started: no credentials",
    -22: "could not be started: a site hook failed",
    -21: "could not be started: security check failed on the node",
    -20: "node lost: no connection to the job's first node",
    -19: "deleted by a site hook",
    -18: "requeued by a site hook",
    -17: "could not be started: refused by a site hook",
    -16: "could not be started: refused by a site hook",
    -13: "could not be started: bad password",
    -11: "requeued and not run again",
    -10: "could not be started: user or group unknown on the node",
    -7: "could not be restarted",
    -6: "node lost: PBS was restarted on it",
    -5: "node lost: PBS was restarted on it",
    -4: "node lost: PBS was restarted on it",
    -3: "could not be started on the node",
    -2: "could not be started on the node",
    -1: "could not be started on the node",
}
SPECIAL = {
    254: "could not be started: the shell is missing on the node",
    271: "killed by qdel",
}


def exit_words(exit_status: int) -> str:
    """Say what an Exit_status of PBS means."""
    known = REASONS.get(exit_status) or SPECIAL.get(exit_status)
    if known:
        return known
    if exit_status < 0:
        return f"ended by PBS (Exit_status {exit_status})"
    if exit_status > 256:
        return f"killed by {signal_name(exit_status - 256)}"
    return code_words(exit_status)


def end_reason(exit_status: int | None, comment: str = "") -> str:
    """Say in words why a job ended, for people and for reason files.

    Parameters
    ----------
    exit_status
        PBS's ``Exit_status``, or the exit code of the command; None for a job without one.
    comment
        PBS's ``comment``. Appended where it tells more than "Job run at ...".

    Returns
    -------
    str
        One line.
    """
    text = "ended without having run" if exit_status is None else exit_words(exit_status)
    if "terminated by" in comment and exit_status is not None and exit_status >= 0:
        text = "killed by qdel" if exit_status == 271 else f"killed by qdel ({text})"
    line = " ".join(comment.split())
    start, _, end = line.rpartition(" and ")
    if line.startswith("Job run at"):  # and where, which takes a line if it had several nodes
        line = end if start and " by " in end else ""
    return f"{text} (PBS: {line})" if line else text


def exit_status(record: Mapping[str, Any]) -> int | None:
    """Return the Exit_status of a record as a number."""
    try:
        return int(record["Exit_status"])
    except (KeyError, TypeError, ValueError):
        return None


def of_number(status: int | None, comment: str) -> Verdict:
    """Judge a job that is over: 0 and nothing else is a success."""
    if status == 0:
        return Verdict(JobEnd.SUCCESS)
    return Verdict(JobEnd.FAILURE, end_reason(status, comment))


def held_by_system(record: Mapping[str, Any]) -> bool:
    """Tell whether PBS has given the job up; dependencies and operators hold with the same letter.

    After a restart of the server the comment is gone.
    """
    is_held = record.get("job_state") == "H" and "s" in str(record.get("Hold_Types", ""))
    comment = str(record.get("comment", ""))
    in_vain = exit_status(record) in NEVER_STARTED and not comment.startswith("Job held by")
    return is_held and not record.get("depend") and ("failed attempts" in comment or in_vain)


def verdict(record: Mapping[str, Any] | None, marker: int | None) -> Verdict:
    """Judge a job.

    Parameters
    ----------
    record
        PBS's record, or None if PBS does not know the job.
    marker
        The exit code that the job itself has written down, if it has.
    """
    if record is None:
        return Verdict(JobEnd.DOUBTFUL, VANISHED) if marker is None else of_number(marker, "")
    state, comment = record.get("job_state"), str(record.get("comment", ""))
    if state in ("F", "X"):  # Exit_status is there earlier too, but means nothing then
        status = exit_status(record)
        if status == 0 and str(record.get("substate")) == TERMINATED:
            # it may trap SIGTERM and exit 0
            return Verdict(JobEnd.FAILURE, end_reason(271, comment))
        # Without job history PBS gives ended sub-jobs a wrong, but not a negative, status.
        trust_marker = state == "X" and marker is not None and (status is None or status >= 0)
        return of_number(marker if trust_marker else status, comment)
    if held_by_system(record):
        return Verdict(JobEnd.HOPELESS, f"could not be started, held by PBS ({comment})")
    if state == "Q" and NEVER in comment:
        return Verdict(JobEnd.HOPELESS, f"can never run here ({' '.join(comment.split())})")
    return Verdict(JobEnd.WAIT)
