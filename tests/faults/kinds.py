"""What can happen to a run: a signal to one of its processes, or something asked beside it."""

from collections.abc import Iterator
from dataclasses import dataclass

from setups import Setup

SIGNALS = ("KILL", "TERM", "INT", "HUP", "STOP")  # STOP is followed by CONT
WHOLE = ("main", "group", "all")  # Snakemake, its process group, every process of the run
BESIDE = "beside"  # not a target: the run is left alone
SECOND = "a second run"
CONTROLLER = "slurmctld"  # is away for a while, on a cluster that no other trial has
AWAY, AWAY_KILL, CRASH, FORGET = "stop", "stop + KILL main", "KILL", "KILL + lose state"
OUTAGES = (AWAY, AWAY_KILL, "STOP", CRASH, FORGET)
SNAKEMAKE_QUESTIONS = {
    "snakemake -n": ("-n",),
    "snakemake -n -F": ("-n", "-F"),
    "snakemake -n -R collect_sweep": ("-n", "-R", "collect_sweep"),
    "snakemake preview": ("preview",),
    "snakemake status": ("status",),
    "snakemake results": ("results",),
    "snakemake --lint": ("--lint",),
    "snakemake --summary": ("--summary",),
    "snakemake --dag": ("--dag",),
}
QUESTIONS = ("status", "check", "preview", "find", "results")  # of the command


@dataclass(frozen=True)
class Kind:
    """A kind of trial."""

    setup: Setup
    target: str
    event: str

    @property
    def is_gentle(self) -> bool:
        """Whether the run must not notice."""
        is_away = self.is_outage and self.event == AWAY
        return self.target in ("nothing", BESIDE) or self.event == "STOP" or is_away

    @property
    def is_outage(self) -> bool:
        """Whether it is the workload manager that it happens to."""
        return self.target == CONTROLLER

    def __str__(self) -> str:
        return f"{self.setup.name}: {self.event} -> {self.target}"


def kinds(setup: Setup) -> Iterator[Kind]:
    """Yield all that is tried in a setup."""
    for target in (*WHOLE, *setup.kinds):
        for event in SIGNALS:
            yield Kind(setup, target, event)
    if setup.profile == "slurm":
        yield from (Kind(setup, CONTROLLER, event) for event in OUTAGES)
    asked = [f"ensemake {question}" for question in QUESTIONS]
    for event in (SECOND, *SNAKEMAKE_QUESTIONS, *asked):
        yield Kind(setup, BESIDE, event)
