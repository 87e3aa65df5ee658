"""What is known of the stores that run now, in a line each."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ensemake.atomic import LARGEST, read_whole

NEWS = "running{}.json"  # of a server; those of a cluster have numbers
RECENT_S = 60.0  # news come every few seconds


def news_lines(root: Path, base: Path = Path()) -> Iterator[str]:
    """Yield a line for each store of an experiment that runs.

    Parameters
    ----------
    root
        Folder of the experiment's results.
    """
    for path in sorted((base / root / ".ensemake").glob(f"*/{NEWS}")):
        try:
            told = json.loads(read_whole(path, LARGEST))
            yield f"{path.parent.name}: a store {_state(told)}"
        except (OSError, ValueError, KeyError, TypeError):  # it has ended meanwhile
            continue


def _state(told: dict[str, Any]) -> str:
    silent = time.time() - told["time"]
    if silent > RECENT_S:
        return f"at {told['address']}, not heard of for {silent / 60:.0f} min"
    limit = f" of {_size(told['limit'])}" if told["limit"] else ""
    memory = f"{_size(told['memory'])}{limit}"
    return f"at {told['address']}: {told['keys']} keys, {memory}, {told['clients']} clients"


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.1f} MB"
