"""SmartSim's words for what became of a member."""

from datetime import datetime
from enum import StrEnum

from ensemake.results.outcomes import Outcome
from ensemake.results.runs import Run


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
    "blocked": Status.STATUS_NEW,
    "missing": Status.STATUS_NEVER_STARTED,
}
TERMINAL = frozenset({Status.STATUS_COMPLETED, Status.STATUS_CANCELLED, Status.STATUS_FAILED})


def status_of(outcome: Outcome, run: Run | None, was_stopped: bool) -> Status:
    """Return the status of a member.

    Parameters
    ----------
    outcome
        What its files say.
    run
        The living run of its entity, which will run what is not completed.
    was_stopped
        Whether the last run of its entity was stopped.
    """
    status = OF_STATE[outcome.state]
    if run is None:
        is_cancelled = was_stopped and status is Status.STATUS_NEVER_STARTED
        return Status.STATUS_CANCELLED if is_cancelled else status
    if status is Status.STATUS_RUNNING or (status in TERMINAL and _is_of(outcome, run)):
        return status
    return status if status is Status.STATUS_COMPLETED and not run.force else Status.STATUS_QUEUED


def _is_of(outcome: Outcome, run: Run) -> bool:
    """Tell whether a member has been run since a run began."""
    if outcome.status is None:
        return False
    try:
        began, since = map(datetime.fromisoformat, (outcome.status.started, run.started))
        return began >= since
    except (ValueError, TypeError):  # no date of run.sh
        return True
