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
from ensemake.member.runscript import digest_in
from ensemake.member.state import MEANING, StatusFile, is_locked, read_status

EXIT_CODE = re.compile(r"\bexit code (\d+)")  # of the job: with a signal's, nobody else told it
SIGNALLED = 128
NEVER = "did not start"
ENDED = ("killed by SIGKILL", "stopped by SIGTERM", MEANING["killed"], NEVER)


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
    for directory in directories:
        status = _to_explain(directory, run, code)
        if status and status.run == run and status.reason.endswith(ENDED):
            told = replace(status, reason=f"{status.reason} ({reason})")
            write_atomically(directory / "status.json", (json.dumps(asdict(told)) + "\n").encode())


def _to_explain(directory: Path, run: str, code: int | None) -> StatusFile | None:
    """Return what is known of a member's end; None if it has told itself what there is to tell."""
    status = read_status(directory)
    if status and status.attempt:
        return status if code is None else None
    lock = directory / ".lock"
    if lock.exists() and lock.stat().st_size:
        return _of_lock(directory, run, code) if code is None or code > SIGNALLED else None
    return _never_started(directory, run)


def _never_started(directory: Path, run: str) -> StatusFile | None:
    try:
        digest = digest_in(read_whole(directory / "run.sh", LARGEST).decode())
    except (OSError, ValueError):
        return None
    if digest is None or is_locked(directory / ".lock"):
        return None
    return StatusFile("cancelled", None, digest, attempt=0, reason=NEVER, run=run)


def _of_lock(directory: Path, run: str, code: int | None) -> StatusFile | None:
    """Return the status of a member that wrote none, from what it wrote when it began."""
    if is_locked(directory / ".lock"):
        return None
    try:
        words = read_whole(directory / ".lock", LARGEST).decode().split()
    except (OSError, ValueError):
        return None
    if len(words) < 5:  # killed before it wrote them
        return None
    digest, attempt, host, _, started = words[:5]
    killed = StatusFile("killed", code, digest, host, started, attempt=int(attempt))
    return replace(killed, reason=MEANING["killed"], run=run)
