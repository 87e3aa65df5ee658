"""Why a cluster ended a job, added to the status of the members that could not tell it themselves.

A process that is killed with SIGKILL, or whose node is gone, leaves no word; the workload manager
knows, and our executors tell it.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from ensemake.atomic import LARGEST, read_whole, write_atomically
from ensemake.member.state import MEANING, StatusFile, is_locked, read_status

EXIT_CODE = re.compile(r"\bexit code (\d+)")  # of the job: with a signal's, nobody else told it
SIGNALLED = 128
ENDED = ("killed by SIGKILL", "stopped by SIGTERM", MEANING["killed"])


def explain(directories: Iterable[Path], reason: str, run: str) -> None:
    """Give members of a job that has ended its reason: those that something else ended.

    Parameters
    ----------
    directories
        Of the members that the job was to run; those that ended by themselves stay as they are.
    reason
        Who ended the job, and why: ``Slurm: OUT_OF_MEMORY``.
    run
        Id of the run that submitted the job.
    """
    found = EXIT_CODE.search(reason)
    code = int(found[1]) if found else None
    if code is not None and code <= SIGNALLED:
        return
    for directory in directories:
        status = read_status(directory)
        if status is None:
            status = _of_lock(directory, run, code)
        elif code is not None:  # it has told that itself
            continue
        if status and status.run == run and status.reason.endswith(ENDED):
            told = replace(status, reason=f"{status.reason} ({reason})")
            write_atomically(directory / "status.json", (json.dumps(asdict(told)) + "\n").encode())


def _of_lock(directory: Path, run: str, code: int | None) -> StatusFile | None:
    """Return the status of a member that wrote none, from what it wrote when it began."""
    lock = directory / ".lock"
    if not lock.exists() or is_locked(lock):
        return None
    try:
        words = read_whole(lock, LARGEST).decode().split()
    except (OSError, ValueError):
        return None
    if len(words) < 5:  # killed before it wrote them
        return None
    digest, attempt, host, _, started = words[:5]
    killed = StatusFile("killed", code, digest, host, started, attempt=int(attempt))
    return replace(killed, reason=MEANING["killed"], run=run)
