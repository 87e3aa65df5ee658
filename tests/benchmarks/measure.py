"""Time, CPU and memory of a command and of all that it started."""

import math
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ENOUGH_S = 150.0  # what took longer than this in total is not repeated


@dataclass(frozen=True)
class Sample:
    """What one run cost."""

    wall_s: float
    cpu_s: float  # user and system, of the command and of everything it waited for
    peak_mb: float  # of the largest process
    load: float  # of the machine when it started: what else was going on

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


class CommandError(Exception):
    """A measured command did not end well; tells its last lines."""


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Sample:
    """Run a command to its end, its output in measured.log of its folder."""
    log = folder / "measured.log"
    load, began = os.getloadavg()[0], time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise CommandError(f"{command[0]} ended with {process.returncode}: {_last_lines(log)}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, load)


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:])[-300:]


def typical(samples: Sequence[Sample]) -> Sample:
    """Return the medians."""
    columns = zip(*(sample.as_dict().values() for sample in samples), strict=True)
    return Sample(*(median(column) for column in columns))


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Return k of n**k between the last two sizes: 1 is linear, 2 quadratic."""
    if len(sizes) < 2 or min(seconds[-2:]) <= 0:
        return None
    return math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2])
