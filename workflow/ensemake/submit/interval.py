"""How long to wait between two looks at the queue."""

from __future__ import annotations

import time
from dataclasses import dataclass

GROWTH = 1.25
CEILING = 6.0  # times the shortest interval, and
CEILING_S = 30.0  # not less than this


@dataclass
class Interval:
    """An interval that grows while nothing changes and falls back when something does.

    An end is seen late by a fifth of the time for which nothing had changed, at most.

    Parameters
    ----------
    shortest
        Seconds, Snakemake's ``--seconds-between-status-checks``.
    """

    shortest: float
    seconds: float = 0.0
    looked: float = 0.0

    def __post_init__(self) -> None:
        self.seconds = self.shortest

    def after(self, changed: bool) -> None:
        """Take note of whether there was a change since the last look at the queue."""
        longest = max(CEILING * self.shortest, CEILING_S)
        self.seconds = self.shortest if changed else min(self.seconds * GROWTH, longest)

    def is_due(self) -> bool:
        """Tell whether to look now, and take the answer for done."""
        now = time.monotonic()
        if now < self.looked + self.seconds:
            return False
        self.looked = now
        return True
