"""What each step of ensemake costs at growing numbers of members."""

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import measure
import project
from measure import Sample

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """A step: how it is measured, and from which number of members on it takes too long."""

    name: str
    measure: Callable[[Path, int], Sample]
    at_most: int = 10**9


def inside(step: str) -> Callable[[Path, int], Sample]:
    """Measure a function of ensemake; the wall time without the start of Python."""

    def measured(folder: Path, members: int) -> Sample:
        command = [sys.executable, str(HERE / "inside.py"), step]
        sample = measure.run(command, folder, project.environment())
        own = float((folder / "measured.log").read_text().split()[-1])
        return replace(sample, wall_s=own)

    return measured


def workflow(*words: str) -> Callable[[Path, int], Sample]:
    """Measure a run of Snakemake."""

    def measured(folder: Path, members: int) -> Sample:
        return measure.run(project.snakemake(*words), folder, project.environment())

    return measured


def _with(batch: int | None, growth: float, *words: str) -> Callable[[Path, int], Sample]:
    """Measure a run of Snakemake with a config that is changed for it."""

    def measured(folder: Path, members: int) -> Sample:
        project.write(folder, round(members * growth), batch)
        sample = workflow(*words)(folder, members)
        project.write(folder, members)
        return sample

    return measured


def _stages(is_gathered: bool, *words: str) -> Callable[[Path, int], Sample]:
    """Measure a run of Snakemake on two stages, in a folder of its own: there are no results."""

    def measured(folder: Path, members: int) -> Sample:
        own = folder / ("gathered" if is_gathered else "stages")
        project.write_stages(own, members, is_gathered)
        return workflow(*words)(own, members)

    return measured


def _whole_run(folder: Path, members: int) -> Sample:
    """Measure a first run with tables and page; on its own, for the other steps have no results."""
    own = folder / "whole"
    project.write(own, members, batch=500)
    return workflow()(own, members)


def _job(folder: Path, members: int) -> Sample:
    """Measure what a cluster job of one finished member costs: all of it is Snakemake's start."""
    return measure.run(job_command(folder), folder, project.environment())


def job_command(folder: Path) -> list[str]:
    """Return the command of a job, as an executor plugin puts it together."""
    script = next((folder / "results/bench/sweep").rglob("run.sh"))
    member = script.parent.relative_to(folder / "results/bench/sweep")
    prefix = b64encode(b".snakemake/storage").decode()
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(project.SNAKEFILE)),
        *("--target-jobs", f"sweep:member={member}", "--allowed-rules", "sweep"),
        *("--cores", "1", "--attempt", "1", "--force-use-threads", "--force"),
        *("--target-files-omit-workdir-adjustment", "--max-inventory-time", "0"),
        *("--retries", "0", "--nocolor", "--no-hooks", "--nolock", "--ignore-incomplete"),
        *("--rerun-triggers", "mtime", "params", "--latency-wait", "3"),
        *("--scheduler", "greedy", "--local-storage-prefix", f"base64//{prefix}"),
        *("--configfiles", "config/config.yaml", "--executor", "local", "--mode", "remote"),
    ]


STEPS = [
    Step("a whole run, batches of 500", _whole_run),
    Step("dry run, as many members on those, batches of 500", _stages(False, "-n", "-q")),
    Step("a whole run, one model gathers all", _stages(True), at_most=10_000),
    Step("members made, one by one", inside("expand")),
    Step("members, digests, check for equal ones", inside("work")),
    Step("plans as JSON", inside("plans")),
    Step("dry run, one job per member", workflow("-n", "-q"), at_most=10_000),
    Step("dry run, batches of 500", _with(500, 1, "-n", "-q")),
    Step("generate (one tagged file)", inside("generate")),
    Step("", inside("complete")),
    Step("look for what is pending", inside("pending")),
    Step("collect", inside("collect")),
    Step("status", inside("status")),
    Step("preview", inside("preview")),
    Step("", workflow()),
    Step("nothing to do", workflow()),
    Step("dry run after growing by 1 %", _with(None, 1.01, "-n", "-q")),
    Step("dry run after growing by 1 %, batches of 500", _with(500, 1.01, "-n", "-q")),
    Step("a cluster job of one member", _job),
]


def run_all(folder: Path, members: int) -> Iterator[tuple[str, Sample]]:
    """Yield each step's name and cost, in an order in which one prepares the next.

    Steps without a name only prepare.
    """
    project.write(folder, members)
    for step in STEPS:
        if members > step.at_most:
            continue
        sample = step.measure(folder, members)
        if step.name:
            yield step.name, sample


def draw(folder: Path) -> Sample:
    """Measure drawing 1000 members of a product of 10^12."""
    project.write(folder, 1)
    return inside("draw")(folder, 1)


def as_json(name: str, members: int, sample: Sample) -> str:
    """Return one line of the record of a measurement."""
    return json.dumps({"name": name, "members": members, **sample.as_dict()})
