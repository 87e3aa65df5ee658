"""What has become of a job: from its own marker, then from Slurm's record. Pure functions."""

from __future__ import annotations

import re

from ensemake.submit.manager import JobEnd, Marker, Record, Verdict, code_words

# States in which nothing more comes of a job. PREEMPTED is one where jobs are cancelled for others.
ENDED = {
    "BOOT_FAIL": "BOOT_FAIL: its node did not start",
    "CANCELLED": "CANCELLED",
    "COMPLETED": "",
    "DEADLINE": "DEADLINE: it could not end in time",
    "FAILED": "FAILED: it was killed before it could tell how it ended",
    "NODE_FAIL": "NODE_FAIL: its node was lost",
    "OUT_OF_MEMORY": "OUT_OF_MEMORY: ask for more `mem_mb`",
    "PREEMPTED": "PREEMPTED: another job took its place",
    "REVOKED": "REVOKED: another cluster has it",
    "TIMEOUT": "TIMEOUT: ask for more `runtime`",
}
LOST = "unknown to Slurm and without an exit code: purged, or the controller has lost it"

# For these a job waits in vain: it asks for more than it may ever have, or was put on hold.
HOPELESS = re.compile(
    r"PartitionTimeLimit|PartitionNodeLimit|BadConstraints|DependencyNeverSatisfied|"
    r"InvalidAccount|InvalidQOS|JobHoldMaxRequeue|launch failed requeued held|"
    r"(Assoc|QOS)(Max\w+PerJob(Limit)?|Min\w+)$"
)
NOT_STARTED = re.compile(r"JobHoldMaxRequeue|launch failed")  # of these: a fault of the cluster's
# For these it just waits for its turn; all else is told.
ORDINARY = re.compile(
    r"|None|Priority|Resources|BeginTime|Dependency|Licenses|JobArrayTaskLimit|Cleaning|Prolog|"
    r"NodeDown|(Assoc|QOS)(Grp|Max)\w+"
)
ODD_STATES = ("REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED", "STOPPED", "RESV_DEL_HOLD")
WAITING = ("PENDING", "REQUEUED", *ODD_STATES)


def slurm_verdict(record: Record | None, marker: Marker | None) -> Verdict:
    """Judge a job.

    Parameters
    ----------
    record
        Slurm's record, None if Slurm does not know the job, empty if it was not asked.
    marker
        What the job itself has written down, if it has.
    """
    state, reason = (record or {}).get("state", ""), (record or {}).get("reason", "")
    is_stuck = state == "PENDING" and bool(HOPELESS.match(reason))
    if marker and marker.code == 0 and not marker.told:
        # A controller that crashed before it saved that the job runs starts it again, in vain.
        return Verdict(JobEnd.SUCCESS, is_stuck=is_stuck)
    if record is None:
        return Verdict(JobEnd.DOUBTFUL, words(marker) or LOST)
    if state == "PREEMPTED":  # it may be about to be requeued
        return Verdict(JobEnd.DOUBTFUL, ENDED[state])
    if state in ENDED:
        return ended(state, marker)
    if is_stuck:
        why = "could not be started" if NOT_STARTED.match(reason) else "can never run here"
        return Verdict(JobEnd.HOPELESS, f"{why} ({reason})")
    return Verdict(JobEnd.WAIT)


def ended(state: str, marker: Marker | None) -> Verdict:
    """Judge a job that is over; one that was told to end for its time limit did not end well."""
    is_late = marker is not None and marker.told == "LIMIT"
    if state in ("COMPLETED", "FAILED"):
        reason = words(marker) or ENDED[state]
        well = state == "COMPLETED" and not is_late
        return Verdict(JobEnd.SUCCESS) if well else Verdict(JobEnd.FAILURE, reason)
    return Verdict(JobEnd.FAILURE, ENDED[state])


def words(marker: Marker | None) -> str:
    """Say what a marker says; nothing without one."""
    if marker is None:
        return ""
    return ENDED["TIMEOUT"] if marker.told == "LIMIT" else code_words(marker.code)


def trouble(record: Record) -> str:
    """Return what keeps a job waiting if it is not just its turn."""
    state, reason = record.get("state", ""), record.get("reason", "")
    if state in ODD_STATES:
        return state if ORDINARY.fullmatch(reason) else f"{state} ({reason})"
    is_odd = state == "PENDING" and not ORDINARY.fullmatch(reason)
    return reason if is_odd and not HOPELESS.match(reason) else ""
