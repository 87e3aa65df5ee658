"""A store that a script holds, from the side of a job that uses it."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from ensemake.store.checkpoint import read_checkpoint
from ensemake.store.relay import Link, Relay, reached
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
        self._checkpoint = read_checkpoint(path)
        self.name, self._environ = self._checkpoint.name, self._checkpoint.environ
        self._links, self._relays, self._folder = self._checkpoint.links, list[Relay](), ""
        self._lines = DefaultSelector()
        for link in self._links:
            line = reached(link)
            line.sendall(b"SUBSCRIBE ensemake\r\n")  # such a client may be idle for ever
            self._lines.register(line, EVENT_READ)
        if self._links[0].door:
            self._relays = [Relay(link) for link in self._links]
        elif has_others or not Path(self._links[0].path).is_socket():
            self._make_way(self._links[0])

    def _make_way(self, link: Link) -> None:
        """Have a socket of this job's own, at the same place on all its nodes.

        Other jobs may run on a node, and end before.
        """
        self._folder = private_folder()
        self._links = [replace(link, path=f"{self._folder}/s")]
        self._environ = {**self._environ, "SSDB": f"unix://{self._links[0].path}"}
        if Path(link.path).is_socket():
            Path(self._links[0].path).symlink_to(link.path)
        else:
            shutil.rmtree(self._folder)  # the relay makes it
            self._relays = [Relay(self._links[0])]

    @property
    def is_running(self) -> bool:
        """Whether all of it answers."""
        return self._checkpoint.is_alive

    def links(self, node: str | None) -> Sequence[Link]:
        """Return what programs on another node need to come in."""
        return self._links

    def fileno(self) -> int:
        """Return what is readable when there is something to hear."""
        return self._lines.fileno()

    def hear(self) -> str:
        """Return why the store is no more, "" if it is; the first word is that it answers."""
        for key, _ in self._lines.select(0):
            with suppress(OSError):
                if key.fileobj.recv(65536):  # type: ignore[union-attr]
                    self.is_ready = True
                    continue
            return "the server has ended, or the script that held it"
        return ""

    def environ(self, prefix: str = "", reads: Sequence[str] = ()) -> dict[str, str]:
        """Return the variables by which programs find it; see `Store.environ`."""
        return {**self._environ, **of_keys(prefix, reads)}

    def stop(self, save: bool) -> str:
        """Leave it to the script."""
        for key in list(self._lines.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        for relay in self._relays:
            relay.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        return ""
