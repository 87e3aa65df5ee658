"""A store that a script holds, from the side of a job that uses it."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ensemake.store.checkpoint import read_checkpoint
from ensemake.store.relay import Relay, reached
from ensemake.store.store import of_keys, private_folder


class Joined:
    """A store of another process: as `Store`, but that it is neither started nor ended.

    Parameters
    ----------
    path
        Of the checkpoint.
    has_others
        Whether programs on other nodes use it.

    Raises
    ------
    OSError, ValueError
        If it is gone.
    """

    is_ready = False
    lacks = ""
    pids: frozenset[int] = frozenset()  # none is our child

    def __init__(self, path: Path, has_others: bool) -> None:
        checkpoint = read_checkpoint(path)
        self.name, self._environ = checkpoint.name, checkpoint.environ
        self._target = self.link = checkpoint.link
        self._relay: Relay | None = None
        self._folder = ""
        is_here = Path(self._target.path).is_socket()
        self._line = reached(self._target)
        self._line.sendall(b"SUBSCRIBE ensemake\r\n")  # such a client may be idle for ever
        if has_others or not is_here:
            self._make_way(is_here)

    def _make_way(self, is_here: bool) -> None:
        """Have a socket of this job's own, at the same place on all its nodes.

        Other jobs may run on a node, and end before.
        """
        self._folder = private_folder()
        self.link = replace(self._target, path=f"{self._folder}/s")
        if is_here:
            Path(self.link.path).symlink_to(self._target.path)
        else:
            shutil.rmtree(self._folder)  # the relay makes it
            self._relay = Relay(self.link)

    @property
    def is_running(self) -> bool:
        """Whether its server answers."""
        with suppress(OSError):
            reached(self._target).close()
            return True
        return False

    def fileno(self) -> int:
        """Return what is readable when there is something to hear."""
        return self._line.fileno()

    def hear(self) -> str:
        """Return why the store is no more, "" if it is; the first word is that it answers."""
        with suppress(OSError):
            if self._line.recv(65536):
                self.is_ready = True
                return ""
        return "the server has ended, or the script that held it"

    def environ(self, prefix: str = "", reads: Sequence[str] = ()) -> dict[str, str]:
        """Return the variables by which programs find it; see `Store.environ`."""
        own = {"SSDB": f"unix://{self.link.path}"}
        return {**self._environ, **own, **of_keys(prefix, reads)}

    def stop(self, save: bool) -> str:
        """Leave it to the script."""
        self._line.close()
        if self._relay:
            self._relay.close()
        elif self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        return ""
