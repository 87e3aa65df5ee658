"""What became of a member, from the files in its directory alone."""

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from math import inf
from pathlib import Path
from typing import Literal

from ensemake.atomic import LARGEST, open_regular, read_whole
from ensemake.member.runscript import digest_in
from ensemake.sweep.tables import is_unicode

STATUS_MOST = 1 << 20  # bytes

State = Literal[
    "completed",
    "failed",
    "cancelled",
    "killed",
    "running",
    "queued",
    "blocked",
    "stale",
    "incomplete",
    "missing",
]

MEANING: dict[State, str] = {
    "completed": "finished, its outputs are there",
    "failed": "ended with an exit code, a signal, or without an output",
    "cancelled": "was stopped by a signal or a time limit, or its job before it started",
    "killed": "started and never told how it ended",
    "running": "is being run",
    "queued": "submitted to a cluster, not started yet",
    "blocked": "needs what another member failed to leave; runs once that has completed",
    "stale": "finished with another recipe; runs again",
    "incomplete": "finished, but an output is gone; runs again",
    "missing": "has not run",
}


@dataclass(frozen=True, slots=True)
class StatusFile:
    """The content of status.json."""

    status: str
    exit_code: int | None  # None if nobody saw it
    digest: str
    host: str = ""
    started: str = ""
    elapsed_s: float = 0.0
    attempt: int = 1  # 0 if its job ended before it started
    reason: str = ""
    run: str = ""  # id of the run of the workflow; none if it was run by hand


def read_status(directory: Path) -> StatusFile | None:
    """Return what run.sh wrote when the member last ended; None if it has not or is running."""
    try:
        status = StatusFile(**json.loads(read_whole(f"{directory}/status.json", STATUS_MOST)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None  # not there, cut off, or somebody else's file
    return status if _is_sound(status) else None


def _is_sound(status: StatusFile) -> bool:
    """Tell whether the types are those of run.sh: a program may have written the file."""
    texts = (status.status, status.digest, status.host, status.started, status.reason, status.run)
    return (
        set(map(type, texts)) == {str}
        and is_unicode("".join(texts))
        and isinstance(status.exit_code, int | None)
        and isinstance(status.attempt, int)
        and isinstance(status.elapsed_s, int | float)
        and 0 <= status.elapsed_s < inf
    )


def job_of(directory: Path) -> str:
    """Return the id of the job that a member last ran in; of its process, if that was in none."""
    try:
        words = read_whole(directory / ".lock", STATUS_MOST).decode(errors="replace").split()
    except (OSError, ValueError):
        return ""
    return words[5] if len(words) > 5 else words[3] if len(words) > 3 else ""


def state(directory: Path, digest: str, outputs: Sequence[str]) -> tuple[State, StatusFile | None]:
    """Return a member's state and its last status.

    Parameters
    ----------
    directory
        The member's directory.
    digest
        The recipe digest it should have run with.
    outputs
        Declared outputs, relative to the directory.
    """
    status = read_status(directory)
    if status is None:
        return _without_status(directory), None
    if status.status == "completed" and status.digest != digest:
        return "stale", status
    if status.status == "completed" and not has_outputs(directory, outputs):
        return "incomplete", status
    return _known(status.status), status


def is_complete(directory: Path, digest: str, outputs: Sequence[str]) -> bool:
    """Tell whether a member need not run."""
    return state(directory, digest, outputs)[0] == "completed"


def has_completed(directory: Path, digest: str) -> bool:
    """Tell whether a member has completed with this recipe, whatever became of its outputs."""
    status = read_status(directory)
    return status is not None and (status.status, status.digest) == ("completed", digest)


def is_generated(directory: Path, digest: str) -> bool:
    """Tell whether a member's directory was written for this recipe."""
    try:
        text = read_whole(directory / "run.sh", LARGEST).decode(errors="replace")
        return digest_in(text) == digest
    except (OSError, ValueError):
        return False


def has_outputs(directory: Path, outputs: Sequence[str]) -> bool:
    """Tell whether every declared output exists; a pattern wants one file at least."""
    return all(
        (directory / name).exists() or (has_magic(name) and glob(name, root_dir=directory))
        for name in outputs
    )


def _known(status: str) -> State:
    return status if status in ("completed", "cancelled", "killed") else "failed"  # type: ignore[return-value]


def _without_status(directory: Path) -> State:
    lock = directory / ".lock"
    try:
        has_run = lock.stat().st_size > 0  # emptied when what ran goes to previous/
    except FileNotFoundError:
        return "missing"
    if is_locked(lock):
        return "running"
    return "killed" if has_run else "missing"


def is_locked(lock: Path) -> bool:
    """Tell whether a run.sh, or a command that outlived it, holds the lock."""
    try:
        with open(open_regular(lock), "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, ValueError):  # a file system without locks, no file: cannot tell
        return False
    return False
