"""The same members on a real Slurm of 8 CPUs: many in a job, or each in its own."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
import project
from measure import Sample

sys.path.insert(0, str(Path(__file__).parents[1] / "slurm"))

from slurm_cluster import PROGRAMS, Cluster

# Whatever is not shared has the plugin's own way used: Snakemake in each job.
WITH_SNAKEMAKE = (
    *("--shared-fs-usage", "persistence", "input-output", "software-deployment"),
    *("sources", "source-cache", "storage-local-copies"),
)
WAYS: dict[str, tuple[int, int | None, tuple[str, ...]]] = {  # members, how many of them in a job
    "Slurm, batches of 100": (1000, 100, ()),
    "Slurm, one job per member": (20, None, ()),
    "Slurm, one job per member, Snakemake in each": (20, None, WITH_SNAKEMAKE),
}


def absent() -> str | None:
    """Tell what is missing, if anything."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(lacking)} not installed (Debian: slurm-wlm)" if lacking else None


def samples(fresh: Callable[[], Path]) -> Iterator[tuple[str, int, Sample]]:
    """Yield what each way costs: CPU of the whole machine, for the jobs are not our processes."""
    with Cluster() as slurm:
        for name, (members, batch, words) in WAYS.items():
            folder = fresh()
            project.write(folder, members, batch)
            path = f"{Path(sys.executable).parent}:{slurm.environ['PATH']}"
            environ = {**project.environment(), **slurm.environ, "PATH": path}
            before = _busy_s()
            sample = measure.run(project.snakemake(*words, profile="slurm"), folder, environ)
            time.sleep(1)  # jobs end a little after Snakemake has seen them ended
            spent = _busy_s() - before
            yield name, members, Sample(sample.wall_s, spent, sample.peak_mb, sample.load)


def _busy_s() -> float:
    """Seconds that all CPUs have worked since the machine started (user, nice, system)."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(map(int, words[1:4])) / os.sysconf("SC_CLK_TCK")
