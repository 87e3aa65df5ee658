"""A store that a script holds, from the side of a job that uses it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from ensemake.store.checkpoint import read_checkpoint
from ensemake.store.link import Link, reached
from ensemake.store.store import of_keys
from ensemake.store.voucher import Voucher


class Joined:
    """A store of another process: as `Store`, but that it is neither started nor ended.

    Parameters
    ----------
    path
        Of the checkpoint.

    Raises
    ------
    OSError, ValueError
        If it is gone.
    """

    is_ready = False
    lacks = ""
    pids: frozenset[int] = frozenset()  # none is our child

    def __init__(self, path: Path) -> None:
        self._checkpoint = read_checkpoint(path)
        self.name, self._environ = self._checkpoint.name, self._checkpoint.environ
        self._lines = DefaultSelector()
        for link in self.links:
            line = reached(link)
            line.sendall(b"SUBSCRIBE ensemake\r\n")  # such a client may be idle for ever
            self._lines.register(line, EVENT_READ)
        self._vouchers = [Voucher(link) for link in self.links]

    @property
    def is_running(self) -> bool:
        """Whether all of it answers."""
        return self._checkpoint.is_alive

    @property
    def links(self) -> Sequence[Link]:
        """As of `Store`."""
        return self._checkpoint.links

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
        for voucher in self._vouchers:
            voucher.close()
        return ""
