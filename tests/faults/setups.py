"""Where the trials take place: this machine, a Slurm of its own, a PBS if there is one."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent
sys.path[:0] = [str(TESTS / "slurm"), str(TESTS / "pbs")]

import real  # noqa: E402
from slurm_cluster import PROGRAMS, Cluster  # noqa: E402

PATIENCE_S = 120.0  # no run of a trial takes as long, however it is disturbed
AWAY_S = (1.0, 75.0)  # a controller may be, and a run waits as long again before it asks once more
BATCHES = "    batch_settings: {size: 4}\n"
# Each batch on two nodes: one has the runner, the other an agent.
WIDE_BATCHES = (
    "    batch_settings: {size: 4, nodes: 2, runtime: 10}\n    resources: {mem_mb: 100}\n"
)
# Each member of `then` goes on from one of the sweep; the last one needs all of them.
THEN = """\
  then:
    params: {start: {members: sweep}}
    inputs: {sweep: {files: {out.json: in.json}}}
    run_settings: {exe: ./member.sh, exe_args: ["{{ x }}"]}
    outputs: [out.json]
    metrics: {value: {file: out.json, key: value}}
"""
GATHERED = """\
  gathered:
    params: {x: [100]}
    inputs: {then: {members: all, match: []}}
    run_settings: {exe: ./member.sh, exe_args: ["{{ x }}"]}
    outputs: [out.json]
    metrics: {value: {file: out.json, key: value}}
"""
STAGES = THEN + GATHERED
BATCHED_STAGES = f"{BATCHES}{THEN}    batch_settings: {{with: sweep}}\n{GATHERED}"
STORE = "    database: store\ndatabases:\n  store: {}\n"
CLUSTER = STORE.replace("{}", "{nodes: 3}")
# Its nodes are this machine under two names: servers, or doors, on both.
WIDE_CLUSTER = "    resources: {mem_mb: 100}\n" + STORE.replace(
    "{}", "{nodes: 3, interface: lo, mem_mb: 100, batch_settings: {nodes: 2, runtime: 10}}"
)
SMALL_JOBS = "    resources: {mem_mb: 100, runtime: 10}\n"
KEEPING = ("server", "keeper", "runner")
QUICK = {
    "slurm": ("--latency-wait", "15"),
    "pbs": ("--seconds-between-status-checks", "2"),
}


@dataclass(frozen=True)
class Setup:
    """A way to run members: a profile, and what the config says of it."""

    name: str
    profile: str
    config: str
    kinds: tuple[str, ...]  # of processes there are, beside Snakemake's

    def command(self, *words: str) -> list[str]:
        """Return the command that runs the workflow as a user does."""
        where = ["--snakefile", str(REPOSITORY / "workflow" / "Snakefile")]
        profile = ["--profile", str(REPOSITORY / "profiles" / self.profile)]
        quick = QUICK.get(self.profile, ())
        return [sys.executable, "-m", "snakemake", *words, *where, *profile, *quick]

    def absent(self) -> str:
        """Tell what is missing here, if anything."""
        if self.profile == "slurm":
            lacking = [name for name in PROGRAMS if shutil.which(name) is None]
            return f"no {', '.join(lacking)} (Debian: slurm-wlm)" if lacking else ""
        return "no PBS here" if self.profile == "pbs" and not real.server_answers() else ""


SETUPS = (
    Setup("local-alone", "local", "", ("run.sh", "member")),
    Setup("local-batches", "local", BATCHES, ("runner", "run.sh", "member")),
    Setup("local-stages", "local", STAGES, ("run.sh", "member")),
    Setup("local-stages-batches", "local", BATCHED_STAGES, ("runner", "run.sh", "member")),
    Setup("local-store", "local", STORE, (*KEEPING, "run.sh", "member")),
    Setup("local-store-cluster", "local", CLUSTER, (*KEEPING, "run.sh", "member")),
    Setup("slurm-alone", "slurm", SMALL_JOBS, ("run.sh", "member")),
    Setup("slurm-batches", "slurm", WIDE_BATCHES, ("runner", "agent", "run.sh", "member")),
    Setup("slurm-store-cluster", "slurm", WIDE_CLUSTER, (*KEEPING, "agent", "run.sh", "member")),
    Setup("pbs-alone", "pbs", SMALL_JOBS, ("run.sh", "member")),
    Setup("pbs-batches", "pbs", BATCHES, ("runner", "run.sh", "member")),
)


@dataclass(frozen=True)
class Place:
    """Folders and an environment for the trials of a workload manager."""

    folder: Path
    environ: dict[str, str]
    queue: Callable[[Path], list[str]]  # jobs of a trial that wait or run
    slurm: Cluster | None = None


@contextmanager
def place(profile: str) -> Iterator[Place]:
    """Have what trials with a profile need, for as long as the context lasts."""
    if profile == "pbs":
        with real.shared_folder() as folder:
            yield Place(folder, environment(dict(os.environ)), real.in_queue)
        return
    with tempfile.TemporaryDirectory(prefix="ensemake-faults-") as name:
        if profile == "local":
            yield Place(Path(name), environment(dict(os.environ)), lambda _: [])
            return
        with Cluster() as slurm:
            listed = ("squeue", "--noheader", "--format=%i %Z")
            yield Place(
                Path(name),
                environment(slurm.environ),
                lambda folder: [
                    line.split()[0]
                    for line in slurm.run(*listed).splitlines()
                    if line.split()[1] == str(folder)
                ],
                slurm,
            )


def environment(given: dict[str, str]) -> dict[str, str]:
    """Return an environment with this Python's tools first."""
    kept = {k: v for k, v in given.items() if k not in ("SNAKEMAKE_PROFILE", "PYTHONPATH")}
    path = f"{Path(sys.executable).parent}:{given['PATH']}"
    return {**kept, "PATH": path, "MPLBACKEND": "Agg"}
