"""The log of a batch: what it has to tell besides how members end."""

import os
import sys
from contextlib import suppress


def say(text: str) -> None:
    """Print to the log; members run on where that is on a full disk."""
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"ensemake: {text}\n".encode(errors="replace"))
