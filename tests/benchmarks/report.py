"""The tables and the picture of a benchmark, from its records."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from measure import Sample, exponent, typical
from stores import Pair
from targets import Target

Records = Mapping[str, Mapping[int, Sequence[Sample]]]  # name -> members -> runs

INTRODUCTION = """\
# What a member costs

Written by `make bench`: the same members, each of which does nothing, run by ensemake and by other
tools on one machine; then every step of ensemake at growing numbers of members. Medians, in
seconds of wall time; CPU seconds are those of all processes together; memory is that of the
largest process. ensemake and SmartSim also write a directory with a configured file for each
member; GNU parallel and xargs find such directories ready and only run `bash run.sh` in each.
SmartSim runs with its telemetry switched off, which is in its favour. What would have to change in
Snakemake and its plugins: [UPSTREAM.md](UPSTREAM.md).
"""


def markdown(
    runs: Records,
    steps: Records,
    jobs: Records,
    pairs: Sequence[Pair],
    targets: Iterable[Target],
    notes: list[str],
    file_system: str,
) -> str:
    """Return the whole report."""
    parts = [INTRODUCTION, _machine(file_system), _load(runs, steps, jobs), _contest(runs)]
    parts += ["![wall time over members](contest.svg)\n"] if runs else []
    parts += [
        _cluster(jobs),
        _stores(pairs),
        _steps(steps),
        _targets(targets),
        *(f"- {note}\n" for note in notes),
    ]
    return "\n".join(part for part in parts if part)


def _machine(file_system: str) -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("snakemake", "ensemake"))
    cpus = len(os.sched_getaffinity(0))
    return (
        f"{_processor()}, {cpus} CPUs, Python {platform.python_version()}, {versions}; files on "
        f"{file_system}.\n"
    )


def _processor() -> str:
    lines = (
        Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    )
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _load(*records: Records) -> str:
    """Tell how busy the machine was with other things: our own runs make about 2."""
    loads = [
        s.load for part in records for sizes in part.values() for r in sizes.values() for s in r
    ]
    if not loads:
        return ""
    return f"Load of the machine when a run started: {min(loads):.1f} to {max(loads):.1f}.\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _contest(runs: Records) -> str:
    sizes = sorted({n for by_size in runs.values() for n in by_size if n > 1})
    if not sizes:
        return ""
    rows = [_contest_row(name, by_size, sizes, runs) for name, by_size in runs.items()]
    head = ["wall time (runs), CPU, memory", *(f"{n:,} members" for n in sizes), "growth"]
    return "## The same members\n\n" + _table(head, rows) + "\n" + _ratios(runs, sizes)


def _contest_row(
    name: str, by_size: Mapping[int, Sequence[Sample]], sizes: Sequence[int], runs: Records
) -> list[str]:
    if set(by_size) == {1}:
        return [f"{name}: {_cell(by_size[1])}", *[""] * (len(sizes) + 1)]
    cells = [_cell(by_size[n]) if n in by_size else "" for n in sizes]
    return [name, *cells, _growth(by_size)]


def _cell(samples: Sequence[Sample]) -> str:
    one = typical(samples)
    return (
        f"**{_seconds(one.wall_s)}** ({len(samples)}), {_seconds(one.cpu_s)}, {one.peak_mb:.0f} MB"
    )


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _growth(by_size: Mapping[int, Sequence[Sample]]) -> str:
    sizes = sorted(by_size)
    power = exponent(sizes, [typical(by_size[n]).wall_s for n in sizes])
    return "" if power is None else f"n^{power:.2f}"


def _ratios(runs: Records, sizes: Sequence[int]) -> str:
    """Tell how much longer each takes than ensemake's batches."""
    base = runs.get("ensemake, batches", {})
    rows = []
    for name, by_size in runs.items():
        both = [n for n in sizes if n in by_size and n in base]
        wall = {n: typical(by_size[n]).wall_s / typical(base[n]).wall_s for n in both}
        rows.append([name, *(f"{wall[n]:.2f}" if n in wall else "" for n in sizes)])
    head = ["wall time, times that of batches", *(f"{n:,}" for n in sizes)]
    return _table(head, [row for row in rows if any(row[1:])]) if base else ""


def _cluster(jobs: Records) -> str:
    """Tell what members cost on Slurm, with all that works for them."""
    rows = []
    for name, by_size in jobs.items():
        for n, samples in by_size.items():
            one = typical(samples)
            row = (f"{n:,}", _seconds(one.wall_s), _seconds(one.cpu_s), _seconds(one.cpu_s / n))
            rows.append([name, *row])
    head = ["on a real Slurm of 8 CPUs", "members", "wall time", "CPU", "CPU per member"]
    told = "CPU of the whole machine: Slurm's daemons, jobs and Snakemake together.\n"
    return f"## On Slurm\n\n{told}\n" + _table(head, rows) if rows else ""


def _stores(pairs: Sequence[Pair]) -> str:
    """Tell what a client gets out of a store, beside a bare server of the same program."""
    rows = [
        [
            pair.way,
            *(f"{one.small:,.0f}" for one in (pair.own, pair.bare)),
            f"{pair.small:.2f}",
            *(f"{one.large:.2f}" for one in (pair.own, pair.bare)),
            f"{pair.large:.2f}",
        ]
        for pair in pairs
    ]
    head = [
        "client of redis-py by",
        *("small puts/s", "bare server", "ratio", "GB/s of 8 MB tensors", "bare server", "ratio"),
    ]
    return "## Stores in memory\n\n" + _table(head, rows) if rows else ""


def _steps(steps: Records) -> str:
    sizes = sorted({n for by_size in steps.values() for n in by_size})
    if not sizes:
        return ""
    rows = [
        [name, *(_cell(by_size[n]) if n in by_size else "" for n in sizes), _growth(by_size)]
        for name, by_size in steps.items()
    ]
    head = ["step: wall time (runs), CPU, memory", *(f"{n:,} members" for n in sizes), "growth"]
    return "## Steps of ensemake\n\n" + _table(head, rows)


def _targets(targets: Iterable[Target]) -> str:
    rows = [
        [t.name, t.wanted, t.measured, {True: "yes", False: "**no**"}[t.holds]] for t in targets
    ]
    if not rows:
        return ""
    return "## Targets\n\n" + _table(["target", "wanted", "measured", "holds"], rows)


def plot(runs: Records, path: Path) -> None:
    """Draw wall time over members, both logarithmic."""
    import matplotlib.pyplot as plt  # half a second, and not while something is measured

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for name, by_size in runs.items():
        sizes = sorted(n for n in by_size if n > 1)
        if sizes:
            walls = [typical(by_size[n]).wall_s for n in sizes]
            axes.loglog(sizes, walls, marker="o", label=name)
    axes.set(xlabel="members", ylabel="wall time in s")
    axes.grid(which="both", alpha=0.2)
    figure.legend(loc="outside right upper", fontsize="small")
    plt.rcParams["svg.hashsalt"] = "ensemake"
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
