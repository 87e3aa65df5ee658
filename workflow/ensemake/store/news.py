"""What is known of the stores that run now, in a line each."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ensemake.atomic import LARGEST, read_whole

NEWS = "running{}.json"  # of a server; those of a cluster have numbers
SUMMED = ("keys", "memory", "limit", "clients")
NUMBERS = (*SUMMED, "time")
RECENT_S = 60.0  # news come every few seconds


def news_lines(root: Path, base: Path = Path()) -> Iterator[str]:
    """Yield a line for each store of an experiment that runs; of several servers also one each.

    Parameters
    ----------
    root
        Folder of the experiment's results.
    """
    for folder in sorted((base / root / ".ensemake").glob("*/")):
        told = list(filter(None, map(_read, sorted(folder.glob(NEWS.format("*")), key=_number))))
        if len(told) == 1:
            yield f"{folder.name}: a store {_state(told[0])}"
        elif told:
            sums = {key: sum(one[key] for one in told) for key in SUMMED}
            yield f"{folder.name}: a store of {len(told)} servers: {_contents(sums)}"
            yield from (f"{folder.name}:   {_state(one)}" for one in told)


def _number(path: Path) -> tuple[int, str]:
    return len(path.name), path.name


def _read(path: Path) -> dict[str, Any] | None:
    """Return what is told of a server, None of one that has ended meanwhile."""
    try:
        told = json.loads(read_whole(path, LARGEST))
        return {"address": str(told["address"]), **{key: float(told[key]) for key in NUMBERS}}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _state(told: dict[str, Any]) -> str:
    silent = time.time() - told["time"]
    if silent > RECENT_S:
        return f"at {told['address']}, not heard of for {silent / 60:.0f} min"
    return f"at {told['address']}: {_contents(told)}"


def _contents(told: Mapping[str, float]) -> str:
    limit = f" of {_size(told['limit'])}" if told["limit"] else ""
    memory = f"{_size(told['memory'])}{limit}"
    return f"{told['keys']:.0f} keys, {memory}, {told['clients']:.0f} clients"


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.1f} MB"
