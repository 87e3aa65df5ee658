"""Whose data a store's file holds: written when it is complete, gone while it is replaced.

A member that has completed, but whose data were lost with a server that was killed, runs again
with those that need them.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ensemake.atomic import LARGEST, read_whole, write_atomically

DUMP, PREVIOUS = "dump", "previous"
SAVED = "saved.json"


def dump_names(servers: int) -> list[str]:
    """Return the names of the files of so many servers."""
    return [f"{DUMP}.rdb"] if servers == 1 else [f"{DUMP}-{n}.rdb" for n in range(servers)]


def dumps(data: Path) -> Sequence[Path]:
    """Return the files that are there."""
    return sorted([*data.glob(f"{DUMP}.rdb"), *data.glob(f"{DUMP}-*.rdb")])


def prepare(data: Path, servers: int, is_loaded: bool) -> None:
    """Have files that are not read step aside: they are not lost.

    Raises
    ------
    OSError
        If they are to be read, and are those of another number of servers.
    """
    found, wanted = dumps(data), dump_names(servers)
    if not is_loaded:
        for path in found and list(data.glob(f"{PREVIOUS}*.rdb")):
            path.unlink()
        for path in found:
            path.rename(path.with_name(path.name.replace(DUMP, PREVIOUS, 1)))
    elif found and {path.name for path in found} != set(wanted):
        raise OSError(
            f"what is kept in {data} is of {len(found)} servers, and nodes is {servers}; set nodes "
            f"to {len(found)}, or run all that share it again (--forceall): it then starts empty"
        )


def read_saved(state: Path, data: Path) -> dict[str, str]:
    """Return the members whose data are kept, with their digests.

    Parameters
    ----------
    state
        The store's folder of markers.
    data
        Its folder among the results.
    """
    with suppress(OSError, ValueError):
        found = json.loads(read_whole(state / SAVED, LARGEST))
        if isinstance(found, dict) and dumps(data):
            return {str(name): str(digest) for name, digest in found.items()}
    return {}


def forget_saved(state: Path) -> None:
    """Note that what is kept is about to change."""
    (state / SAVED).unlink(missing_ok=True)


def write_saved(state: Path, members: Mapping[str, str]) -> None:
    """Note whose data are kept."""
    write_atomically(state / SAVED, json.dumps(members).encode())
