"""Who runs the same members: ensemake, plain Snakemake, SmartSim, and shell tools as the floor."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measure
import project

CACHE = Path.home() / ".cache" / "ensemake-bench"
SMARTSIM = "smartsim==0.8.0"

PARAMSPACE = """\
import pandas as pd
from snakemake.utils import Paramspace

paramspace = Paramspace(pd.read_csv("params.tsv", sep="\\t"))


rule all:
    input:
        expand("results/{member}/out.txt", member=paramspace.instance_patterns),


rule member:
    output:
        f"results/{paramspace.wildcard_pattern}/out.txt",
    params:
        values=paramspace.instance,
    shell:
        "echo number = {params.values[x]} > {output}"
"""

# Telemetry took 0.8 s of CPU for each member; without it the comparison is in its favour.
SMARTSIM_DRIVER = """\
import os
import sys

os.environ["SMARTSIM_FLAG_TELEMETRY"] = "0"
from smartsim import Experiment

experiment = Experiment("sweep", launcher="local")
ensemble = experiment.create_ensemble(
    "sweep",
    params={"x": [str(i) for i in range(int(sys.argv[1]))]},
    run_settings=experiment.create_run_settings("true"),
    perm_strategy="all_perm",
)
ensemble.attach_generator_files(to_configure=["member.cfg"])
experiment.generate(ensemble, overwrite=True)
experiment.start(ensemble, block=True)
states = experiment.get_status(ensemble)
sys.exit(any("COMPLETED" not in str(state).upper() for state in states))
"""


@dataclass(frozen=True)
class Contestant:
    """A way to run n members.

    ``prepare`` is not measured; ``at_most`` bounds n where more would take too long.
    """

    name: str
    prepare: Callable[[Path, int], None]
    command: Callable[[int], list[str]]
    at_most: int = 10**9
    absent: Callable[[], str | None] = lambda: None


def _no_ensembles(folder: Path, members: int) -> None:
    project.write(folder, members)


def _batches(folder: Path, members: int) -> None:
    project.write(folder, members, batch=0)


def _one_model(folder: Path, members: int) -> None:
    text = 'experiment: bench\nmodels: {one: {run_settings: {exe: "true"}}}\n'
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(text)


def _paramspace(folder: Path, members: int) -> None:
    (folder / "Snakefile").write_text(PARAMSPACE)
    rows = "".join(f"{i}\n" for i in range(members))
    (folder / "params.tsv").write_text("x\n" + rows)


def _smartsim(folder: Path, members: int) -> None:
    project.write(folder, members)
    (folder / "driver.py").write_text(SMARTSIM_DRIVER)


def _generated(folder: Path, members: int) -> None:
    """Members' directories as ensemake generates them, which have not run."""
    project.write(folder, members)
    measure.run(project.snakemake("generate"), folder, project.environment())
    scripts = project.member_scripts(folder)
    (folder / "members.txt").write_text("".join(f"{path}\n" for path in scripts))


def _paramspace_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "2", *options]


def _shell(line: str) -> Callable[[int], list[str]]:
    return lambda members: ["bash", "-c", line]


def _lacks(program: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(program) else f"{program} is not installed"


def _lacks_smartsim() -> str | None:
    """Install SmartSim into an environment of its own, once."""
    python = CACHE / "smartsim" / "bin" / "python"
    if not python.exists():
        older = shutil.which("python3.11")
        if older is None:
            return "SmartSim 0.8.0 wants python3.11, which is not installed"
        print(f"installing {SMARTSIM} into {CACHE}", flush=True)
        make = f"{shlex.quote(older)} -m venv {CACHE}/smartsim"
        install = f"{python} -m pip install --quiet --disable-pip-version-check {SMARTSIM}"
        subprocess.run(["bash", "-c", f"{make} && {install}"], check=False, capture_output=True)
    found = subprocess.run([str(python), "-c", "import smartsim"], check=False, capture_output=True)
    return None if found.returncode == 0 else f"{SMARTSIM} cannot be installed"


CONTESTANTS = [
    Contestant("ensemake, one job per member", _no_ensembles, lambda n: project.snakemake()),
    Contestant("ensemake, batches", _batches, lambda n: project.snakemake()),
    Contestant("ensemake, a single model", _one_model, lambda n: project.snakemake(), at_most=1),
    Contestant(
        "Snakemake with Paramspace, same scheduler settings",
        _paramspace,
        lambda n: _paramspace_command(*project.scheduler_words()),
    ),
    Contestant(  # the settings above have it wait 5 s for a timer at the end
        "Snakemake with Paramspace, 10000 jobs/1s",
        _paramspace,
        lambda n: _paramspace_command(*project.scheduler_words("10000/1s")),
        at_most=1000,
    ),
    Contestant(
        "Snakemake with Paramspace, default settings",
        _paramspace,
        lambda n: _paramspace_command(),
        at_most=1000,
    ),
    Contestant(
        "SmartSim 0.8.0",
        _smartsim,
        lambda n: [str(CACHE / "smartsim" / "bin" / "python"), "driver.py", str(n)],
        at_most=1000,
        absent=_lacks_smartsim,
    ),
    Contestant(
        "GNU parallel -j2 bash run.sh",
        _generated,
        _shell("parallel --will-cite -j2 bash < members.txt"),
        absent=_lacks("parallel"),
    ),
    Contestant("xargs -P2 bash run.sh", _generated, _shell("xargs -P2 -n1 bash < members.txt")),
]
