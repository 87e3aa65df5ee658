"""What an executor has to know of a workload manager: its commands, requests, listing, verdicts."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Listing = dict[str, Record]

LOG_BYTES = 65536  # of a job's log are looked at


class JobEnd(Enum):
    """What to do about a job."""

    WAIT = "still there"
    SUCCESS = "ended well"
    FAILURE = "ended badly"
    HOPELESS = "will never run"
    DOUBTFUL = "seems to have failed; believed if that stays so for a while"


@dataclass(frozen=True)
class Verdict:
    """A `JobEnd`, the reason in words where it is a bad one, whether it would stay in the queue."""

    outcome: JobEnd
    reason: str = ""
    is_stuck: bool = False


@dataclass(frozen=True)
class Marker:
    """What a job has written down when it ended: its id, its exit code, and who disturbed it."""

    owner: str
    code: int
    told: str = ""  # TERM, or LIMIT if the time limit was near


class Reply(Enum):
    """What came of a submission."""

    DONE = "the jobs are in the queue"
    REFUSED = "they will not be taken"
    FULL = "not now, or not so many at once"
    SILENT = "no answer: they may be in the queue"


@dataclass(frozen=True)
class Submitted:
    """The answer to a submission: the jobs' ids in the order of the array, or a complaint."""

    reply: Reply
    ids: list[str] = field(default_factory=list)
    complaint: str = ""


@dataclass(frozen=True)
class Submission:
    """Jobs to be submitted: one, or an array of several."""

    name: str
    size: int
    arguments: list[str]
    script: str
    log: Path  # of one job; of an array's, the index comes before the suffix
    umask: int


@dataclass(frozen=True)
class Queued:
    """An unfinished job of this user: an array's has the array's name, and an index."""

    job_id: str
    name: str
    index: str


class Manager(ABC):
    """A workload manager; what it is called, what its jobs know of themselves, what it can do."""

    name: str  # as people say it
    cancel_command: str  # as people would type it
    # For the shell in a job: the index in an array, if it is in one; and what `submit` called it.
    index: str
    job_id: str

    @abstractmethod
    def require(self) -> None:
        """Make sure that the commands are here, of the right product and release.

        Raises
        ------
        WorkflowError
            If they are not.
        """

    @abstractmethod
    def request(self, resources: Mapping[str, Any], threads: int) -> list[str]:
        """Return the arguments of the submission that say what a job needs.

        Raises
        ------
        ValueError
            If a resource makes no sense.
        """

    @abstractmethod
    def largest_array(self) -> int:
        """Return how many jobs may be submitted at once; 1 for no arrays."""

    @abstractmethod
    def submit(self, submission: Submission) -> Submitted:
        """Submit once."""

    @abstractmethod
    def look(self, job_ids: list[str]) -> Listing | None:
        """Return the records of those jobs that are known, None without an answer; one command."""

    @abstractmethod
    def queued(self, name: str = "") -> list[Queued]:
        """Return this user's unfinished jobs, or those of a name.

        Raises
        ------
        WorkflowError
            Without an answer: submitting without knowing could run everything twice.
        """

    @abstractmethod
    def delete(self, job_ids: list[str]) -> str:
        """Remove jobs with one command and return its complaint; that some are over is none."""

    @abstractmethod
    def verdict(self, record: Record | None, marker: Marker | None) -> Verdict:
        """Judge a job.

        Parameters
        ----------
        record
            What the manager says; None if it does not know the job, empty if it was not asked.
        marker
            What the job itself has written down, if it has.
        """

    @abstractmethod
    def state(self, record: Record) -> str:
        """Return the state in a record: a change of any is news."""

    @abstractmethod
    def job_name(self, record: Record) -> str:
        """Return the name in a record, an array's for its sub-jobs; empty if there is none."""

    @abstractmethod
    def trouble(self, record: Record) -> str:
        """Return what keeps a job waiting if it is not just the other jobs."""

    def record(self, found: Listing, job_id: str) -> Record | None:
        """Return the record of a job."""
        return found.get(job_id)

    def whole(self, job_ids: Iterable[str]) -> list[str]:
        """Return the ids that stand for these jobs and all others of their arrays."""
        return list(dict.fromkeys(job_ids))

    def past(self, job_ids: list[str]) -> Listing:
        """Return what is remembered of jobs that `look` no longer knows."""
        return {}

    def reason_in(self, log: Path, judged: Verdict) -> Verdict:
        """Return the verdict on a job that failed, perhaps with a better reason from its log."""
        return judged


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9, and so on."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


SPECIAL = {126: "command not executable", 127: "command not found"}


def code_words(code: int) -> str:
    """Say what an exit code means."""
    if code in SPECIAL:
        return f"exit code {code}: {SPECIAL[code]}"
    if code > 128:
        return f"exit code {code}: killed by {signal_name(code - 128)}"
    return f"exit code {code}"
