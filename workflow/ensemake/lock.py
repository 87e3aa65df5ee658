"""One run of an entity at a time: a lock file that tells who holds it, on which host, since when.

The kernel frees the lock when its process ends, however it ends. Where locks reach no further than
one machine (Lustre with localflock, some NFS), a beat in the file tells others that its holder
lives; it is watched for changes, so no two clocks are compared.
"""

import atexit
import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from ensemake.errors import RunningError

BEAT_S = 5.0  # between two beats of a holder
WATCH_S = 4 * BEAT_S  # without a beat, for a holder on another host to count as gone

_held: dict[Path, IO[str]] = {}  # open for as long as this process lives


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    host: str
    pid: int
    since: str
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def hold(path: Path, what: str) -> None:
    """Take a lock until this process ends; once more does nothing.

    Parameters
    ----------
    path
        The lock file; its folder is made.
    what
        What the lock is for, for the message.

    Raises
    ------
    RunningError
        If a living process holds it.
    """
    path = path.absolute()
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
    try:
        _lock_or_fail(file, what)
    except BaseException:
        file.close()
        raise
    _held[path] = file
    atexit.register(release, path)
    me = Holder(socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
    _write(file, me)
    threading.Thread(target=_beat, args=(file, me), daemon=True).start()


def holder(path: Path) -> Holder | None:
    """Return who says to hold a lock, without touching it; None if nobody does or lives."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        found = _read(file)
    with suppress(PermissionError):  # somebody else's process
        if found and found.host == socket.gethostname():
            try:
                os.kill(found.pid, 0)
            except ProcessLookupError:
                return None
    return found


def _lock_or_fail(file: IO[str], what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = True
    except BlockingIOError:
        is_ours = False
    except OSError:  # a file system without locks
        is_ours = True
    other = _read(file)
    if not is_ours or (other and other.host != socket.gethostname() and _lives(file, other)):
        raise RunningError(f"{what} is being run by {other or 'another process'}")


def _lives(file: IO[str], last: Holder) -> bool:
    """Watch the file of a holder on another host for its next beat."""
    until = time.monotonic() + WATCH_S
    while time.monotonic() < until:
        time.sleep(BEAT_S / 5)
        if _read(file) != last:
            return True
    return False


def _read(file: IO[str]) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):  # nobody's, or being written
        return None


def _write(file: IO[str], holder: Holder) -> None:
    # one short write in place: a rename would leave the lock on another file
    os.pwrite(file.fileno(), f"{json.dumps(asdict(holder)):<200}\n".encode(), 0)


def _beat(file: IO[str], me: Holder) -> None:
    while True:
        time.sleep(BEAT_S)
        me = replace(me, beat=me.beat + 1)
        try:
            _write(file, me)
        except (OSError, ValueError):  # a full disk; closed at the end
            return


def release(path: Path) -> None:
    """Let go of a lock that this process holds, so that nobody has to find out whether it lives."""
    file = _held.pop(path.absolute(), None)
    if file is not None:
        os.ftruncate(file.fileno(), 0)
        file.close()
