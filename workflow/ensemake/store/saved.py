"""Whose data a store's file holds: written when it is complete, gone while it is replaced.

A member that has completed, but whose data were lost with a server that was killed, runs again
with those that need them.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ensemake.atomic import LARGEST, read_whole, write_atomically

DUMP = "dump.rdb"
PREVIOUS = "previous.rdb"
SAVED = "saved.json"


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
        if isinstance(found, dict) and (data / DUMP).exists():
            return {str(name): str(digest) for name, digest in found.items()}
    return {}


def forget_saved(state: Path) -> None:
    """Note that what is kept is about to change."""
    (state / SAVED).unlink(missing_ok=True)


def write_saved(state: Path, members: Mapping[str, str]) -> None:
    """Note whose data are kept."""
    write_atomically(state / SAVED, json.dumps(members).encode())
