"""The same members on a real Slurm of 8 CPUs: with our executor, the official one, and by hand."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import measure
import project
from measure import Sample

sys.path.insert(0, str(Path(__file__).parents[1] / "slurm"))

from slurm_cluster import CLIENTS, PROGRAMS, Cluster

OFFICIAL = (
    *("--executor", "slurm", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "10"),
)
# Where `make bench` puts it.
OFFICIAL_FOLDER = Path(sys.prefix) / "official"
SMALL = "    resources: {{mem_mb: {}, runtime: 10}}\n"
MAIN = ", the main process and its commands"


@dataclass(frozen=True)
class Way:
    """A way to run members on Slurm; `words` are those of snakemake, None for a bare array."""

    name: str
    members: int
    batch: int | None
    words: tuple[str, ...] | None = ()
    memory: int = 100  # of a member

    def absent(self) -> str | None:
        """Tell what is missing, if anything."""
        needed = self.words == OFFICIAL and not any(OFFICIAL_FOLDER.glob("snakemake_executor_*"))
        return f"the plugin is not in {OFFICIAL_FOLDER}: make bench" if needed else None

    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        """Return the environment in which Snakemake finds the plugin."""
        if self.words != OFFICIAL:
            return environ
        rest = environ.get("PYTHONPATH")
        paths = [str(OFFICIAL_FOLDER), *([rest] if rest else [])]
        return {**environ, "PYTHONPATH": os.pathsep.join(paths)}


WAYS = (
    Way("Slurm, batches of 100: bare sbatch array", 1000, 100, None),
    Way("Slurm, batches of 100", 1000, 100),
    Way("Slurm, batches of 100: official plugin", 1000, 100, OFFICIAL),
    Way("Slurm, one job per member: bare sbatch array", 1000, None, None),
    Way("Slurm, one job per member", 1000, None),
    Way("Slurm, one job per member: official plugin", 20, None, OFFICIAL, 600),
)


def absent() -> str | None:
    """Tell what is missing, if anything."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(lacking)} not installed (Debian: slurm-wlm)" if lacking else None


def samples(
    fresh: Callable[[], Path], tell: Callable[[str], None]
) -> Iterator[tuple[str, int, Sample]]:
    """Yield what each way costs: CPU of the whole machine, for the jobs are not our processes."""
    with Cluster() as slurm:
        _count_calls(slurm)
        path = f"{Path(sys.executable).parent}:{slurm.environ['PATH']}"
        environ = {**project.environment(), **slurm.environ, "PATH": path}
        for way in WAYS:
            if missing := way.absent():
                tell(f"{way.name}: skipped, {missing}")
                continue
            folder = fresh()
            project.write(folder, way.members, way.batch)
            if way.batch is None:
                with (folder / "config" / "config.yaml").open("a") as config:
                    config.write(SMALL.format(way.memory))
            command = _command(way, folder, environ)
            calls, before = slurm.folder / "calls", _busy_s()
            calls.write_text("")
            sample = measure.run(command, folder, way.environ(environ))
            time.sleep(1)  # jobs end a little after Snakemake has seen them ended
            spent = _busy_s() - before
            yield way.name, way.members, Sample(sample.wall_s, spent, sample.peak_mb, sample.load)
            if way.words is not None:
                yield way.name + MAIN, way.members, sample
            told = Counter(calls.read_text().split())
            counts = ", ".join(f"{number} {name}" for name, number in sorted(told.items()))
            tell(f"{way.name}: {counts} in {sample.wall_s:.0f} s")


def _command(way: Way, folder: Path, environ: dict[str, str]) -> list[str]:
    if way.words is not None:
        return project.snakemake(*way.words, profile="slurm")
    made = project.snakemake("generate", profile="slurm")
    subprocess.run(made, cwd=folder, env=environ, check=True, capture_output=True)
    if way.batch:
        found = sorted((folder / "results" / "bench").rglob("*.plan.json"))
        run, options = f"{sys.executable} {project.REPOSITORY}/scripts/batch.py", ["--exclusive"]
    else:
        found = list(project.member_scripts(folder))
        run, options = "bash -p", ["--mem=100", "--time=10"]
    (folder / "all").write_text("".join(f"{path}\n" for path in found))
    line = f'exec {run} "$(sed -n $((SLURM_ARRAY_TASK_ID + 1))p all)"'
    (folder / "array.sh").write_text(f"#!/bin/bash\n{line}\n")
    array = ["--wait", "--output=/dev/null", f"--array=0-{len(found) - 1}"]
    return ["sbatch", *array, *options, "array.sh"]


def _count_calls(slurm: Cluster) -> None:
    for name in CLIENTS:
        wrapper = slurm.folder / "bin" / name
        first, rest = wrapper.read_text().split("\n", 1)
        wrapper.write_text(f"{first}\necho {name} >> {slurm.folder}/calls\n{rest}")


def _busy_s() -> float:
    """Seconds that all CPUs have worked since the machine started (user, nice, system)."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(map(int, words[1:4])) / os.sysconf("SC_CLK_TCK")
