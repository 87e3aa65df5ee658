"""Folders of servers on this machine, each its user's alone, for their sockets.

Who is killed together with all that would clear up after him, as at the end of a job, leaves one:
the next server there clears it away.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

PLACES = ("/dev/shm", "/tmp")  # of each node alone; the path is what SmartRedis and a socket take
PREFIX = "ensemake-"
FILES = ("log", "news", "nodes.conf")  # beside sockets
NEW_S = 60.0  # so long one may be that nobody holds yet


def private_folder() -> str:
    """Return a new folder on this machine, its user's alone."""
    return mkdtemp(prefix=PREFIX, dir=next(place for place in PLACES if os.access(place, os.W_OK)))


def hold_private(folder: str) -> None:
    """Hold a folder as long as this process lives."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)


def clear_private() -> None:
    """Remove what servers of ours left here that nobody holds any more."""
    for folder in _ours():
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(descriptor)


def _ours() -> Iterator[Path]:
    for place in map(Path, PLACES):
        for folder in place.glob(f"{PREFIX}*"):
            with suppress(OSError):
                found = folder.lstat()
                is_old = time.time() - found.st_mtime > NEW_S
                if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_old:
                    yield folder


def _remove(folder: Path) -> None:
    """A server's socket is in it and nothing else, or it is something else that is called so."""
    entries = [*folder.iterdir()]
    is_ours = any(entry.is_socket() for entry in entries)
    if is_ours and all(entry.is_socket() or entry.name in FILES for entry in entries):
        for entry in entries:
            entry.unlink()
        folder.rmdir()
