"""A store that a script holds: it ends with the script, or before."""

import atexit
import fcntl
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ensemake.store.checkpoint import (
    CHECKPOINT,
    KEPT,
    Checkpoint,
    add_kept,
    read_kept,
    write_checkpoint,
)
from ensemake.store.cluster import Cluster
from ensemake.store.saved import forget_saved, read_saved, write_saved
from ensemake.store.store import Folders, Store

LOCK = "store.lock"


class Held:
    """A store of this process, which jobs and other scripts use.

    Parameters
    ----------
    begin
        Starts it.
    folders
        Where it leaves its things.
    saves, is_loaded
        Whether its data are kept, and whether it goes on with those that are.

    Raises
    ------
    BlockingIOError
        If a job or another script has it.
    OSError, ValueError
        If it does not come up.
    """

    def __init__(
        self,
        begin: Callable[[], Store | Cluster],
        folders: Folders,
        saves: bool,
        is_loaded: bool,
    ) -> None:
        self._saves, self._folders, self._fault = saves, folders, ""
        folders.state.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folders.state / LOCK)
        try:
            kept = read_saved(folders.state, folders.data) if is_loaded else {}
            self.store = begin()
            self.store.wait()
            self._write(kept)
        except BaseException:
            self._lock.close()
            raise
        atexit.register(self.stop)

    def _write(self, kept: dict[str, str]) -> None:
        store, host = self.store, socket.gethostname()
        own = Checkpoint(store.name, os.getpid(), host, store.links, store.environ())
        write_checkpoint(self.checkpoint, own)
        add_kept(self._folders.state, kept)

    @property
    def checkpoint(self) -> Path:
        """The file by which others find it."""
        return (self._folders.state / CHECKPOINT).absolute()

    @property
    def is_active(self) -> bool:
        """Whether all of it runs."""
        while not self.is_stopped and not self._fault and select.select([self.store], [], [], 0)[0]:
            self._fault = self.store.hear()
        return not self.is_stopped and not self._fault and self.store.is_running

    @property
    def is_stopped(self) -> bool:
        """Whether it was ended, not lost."""
        return self._lock.closed

    def stop(self) -> str:
        """Save and end it; return why its data are not saved, "" if they are or need not be."""
        if self.is_stopped:
            return ""
        atexit.unregister(self.stop)
        state, saves = self._folders.state, self._saves and self.is_active
        kept = read_kept(state)
        if saves:
            forget_saved(state)
        fault = self.store.stop(saves)
        if saves and not fault:
            write_saved(state, kept)
        for name in (CHECKPOINT, KEPT):
            (state / name).unlink(missing_ok=True)
        self._lock.close()
        return fault


def _locked(path: Path) -> IO[bytes]:
    """Hold a store's place; its lock goes with this process."""
    lock = open(path, "ab")  # noqa: SIM115 - as long as the store
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    except OSError:  # a file system without locks
        pass
    return lock
