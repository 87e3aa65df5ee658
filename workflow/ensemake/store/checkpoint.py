"""How others find a store that a script holds: a file for its user alone, gone with the store.

Beside it stands whose data the store has (`kept.json`), for the runs that use it.
"""

import fcntl
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ensemake.atomic import LARGEST, PRIVATE, read_whole, write_atomically
from ensemake.store.link import Link, reached

CHECKPOINT = "checkpoint.json"
KEPT = "kept.json"


@dataclass(frozen=True)
class Checkpoint:
    """What it takes to use a store that a script holds.

    Parameters
    ----------
    name
        Of the store.
    pid, host
        Of the script.
    links
        Where its servers are.
    environ
        What programs beside the script are told.
    """

    name: str
    pid: int
    host: str
    links: Sequence[Link]
    environ: dict[str, str]

    @property
    def is_alive(self) -> bool:
        """Whether all of it answers."""
        with suppress(OSError):
            for link in self.links:
                reached(link).close()
            return True
        return False

    @property
    def addresses(self) -> list[str]:
        """Where its servers listen."""
        return [f"{link.address}:{link.port}" for link in self.links]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file, for its user alone."""
    write_atomically(path, json.dumps(asdict(checkpoint)).encode(), PRIVATE)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote.

    Raises
    ------
    OSError, ValueError
        If it is not there, or something else.
    """
    data = json.loads(read_whole(path, LARGEST))
    try:
        return Checkpoint(**{**data, "links": [Link(**link) for link in data["links"]]})
    except (KeyError, TypeError):
        raise ValueError(f"{path} is no checkpoint of a store") from None


def is_held(path: Path) -> bool:
    """Tell whether a script holds the store of this checkpoint, and it answers."""
    with suppress(OSError, ValueError):
        return read_checkpoint(path).is_alive
    return False


def read_kept(state: Path) -> dict[str, str]:
    """Return the members whose data a held store has, with their digests.

    Parameters
    ----------
    state
        The store's folder of markers.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(read_whole(state / KEPT, LARGEST))
        if found["store"] == _mark(read_checkpoint(state / CHECKPOINT)):
            return {str(name): str(digest) for name, digest in found["members"].items()}
    return {}


def add_kept(state: Path, members: Mapping[str, str]) -> None:
    """Note members whose data a held store has now; several jobs may do so at once."""
    with open(state / f"{KEPT}.lock", "ab") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        told = {
            "store": _mark(read_checkpoint(state / CHECKPOINT)),
            "members": {**read_kept(state), **members},
        }
        write_atomically(state / KEPT, json.dumps(told).encode())


def _mark(checkpoint: Checkpoint) -> str:
    """What tells a store from those before it."""
    return f"{checkpoint.host} {checkpoint.pid} {checkpoint.environ['SSDB']}"
