"""SmartSim's words for what became of a member."""

from enum import StrEnum

from ensemake.member.state import State


class Status(StrEnum):
    """What became of a member; equal to its text, so that both can be compared with."""

    STATUS_RUNNING = "Running"
    STATUS_COMPLETED = "Completed"
    STATUS_CANCELLED = "Cancelled"
    STATUS_FAILED = "Failed"
    STATUS_NEW = "New"
    STATUS_QUEUED = "Queued"
    STATUS_NEVER_STARTED = "NeverStarted"


OF_STATE: dict[str, Status] = {
    "completed": Status.STATUS_COMPLETED,
    "failed": Status.STATUS_FAILED,
    "killed": Status.STATUS_FAILED,
    "cancelled": Status.STATUS_CANCELLED,
    "running": Status.STATUS_RUNNING,
    "stale": Status.STATUS_NEW,
    "incomplete": Status.STATUS_NEW,
    "queued": Status.STATUS_QUEUED,
    "missing": Status.STATUS_NEVER_STARTED,
}
TERMINAL = frozenset({Status.STATUS_COMPLETED, Status.STATUS_CANCELLED, Status.STATUS_FAILED})


def status_of(state: State, is_run: bool) -> Status:
    """Return the status of a member; ``is_run`` if a run of its entity is under way."""
    status = OF_STATE[state]
    if is_run and status not in TERMINAL | {Status.STATUS_RUNNING}:
        return Status.STATUS_QUEUED
    return status
