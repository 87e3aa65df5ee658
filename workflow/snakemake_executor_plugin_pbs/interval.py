"""How long to wait between two looks at the queue."""

from __future__ import annotations

from dataclasses import dataclass

GROWTH = 1.5
CEILING = 6.0  # times the shortest interval


@dataclass
class Interval:
    """An interval that grows while nothing changes and falls back when something does.

    Parameters
    ----------
    shortest
        Seconds, Snakemake's ``--seconds-between-status-checks``.
    """

    shortest: float
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.seconds = self.shortest

    def after(self, changed: bool) -> None:
        """Take note of whether the last look at the queue showed a change."""
        longest = CEILING * self.shortest
        self.seconds = self.shortest if changed else min(self.seconds * GROWTH, longest)
