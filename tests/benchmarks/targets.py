"""What is promised of speed, and whether the figures keep it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from measure import Sample, exponent, typical
from page import PageCost
from stores import WANTED, Pair

Records = Mapping[str, Mapping[int, Sequence[Sample]]]
Costs = dict[tuple[str, int], Sample]

SINGLE, BATCHES = "ensemake, one job per member", "ensemake, batches"
ONE_JOB = "ensemake, a single model"
PLAIN = "Snakemake with Paramspace, same scheduler settings"
SMARTSIM, XARGS = "SmartSim 0.8.0", "xargs -P2 bash run.sh"
JOB = "a cluster job of one member"
IN_BATCHES, IN_JOBS = "Slurm, batches of 100", "Slurm, one job per member"
BARE, OFFICIAL = ": bare sbatch array", ": official plugin"
IN_MAIN = "Slurm, one job per member, the main process and its commands"


@dataclass(frozen=True)
class Target:
    """A promise and the figure beside it."""

    name: str
    wanted: str
    measured: str
    holds: bool


def targets(
    runs: Records,
    steps: Records,
    jobs: Records,
    draw: Sample | None,
    pairs: Sequence[Pair] = (),
    page: PageCost | None = None,
) -> Iterator[Target]:
    """Yield all targets for which there are figures."""
    of_runs, of_steps = _costs(runs), _costs(steps)
    yield from _contest(of_runs)
    yield from _cluster(jobs)
    yield from _at_most(of_steps)
    yield from _job_start(of_steps)
    yield from _growth(runs, steps)
    for pair in pairs:
        yield from _stores(pair)
    if page:
        yield from _page(page)
    if draw:
        yield _under("drawing 1000 of 10^12", draw.wall_s, 0.1)


def _costs(records: Records) -> Costs:
    return {
        (name, n): typical(samples)
        for name, by_size in records.items()
        for n, samples in by_size.items()
    }


def _under(name: str, seconds: float, limit: float) -> Target:
    return Target(name, f"< {limit:g} s", f"{seconds:.2f} s", seconds < limit)


def _contest(costs: Costs) -> Iterator[Target]:
    wall = {key: sample.wall_s for key, sample in costs.items()}
    batch, single = wall.get((BATCHES, 1000)), wall.get((SINGLE, 1000))
    floor, start = wall.get((XARGS, 1000)), wall.get((ONE_JOB, 1))
    smart = wall.get((SMARTSIM, 1000))
    if batch and floor and start:
        allowed = 1.5 * floor + start
        name = "1000 in batches: 1.5 x xargs + Snakemake's start"
        yield Target(name, f"<= {allowed:.1f} s", f"{batch:.1f} s", batch <= allowed)
    if batch and smart:
        yield _faster("1000 in batches, times faster than SmartSim", smart / batch, 30)
    if single and smart:
        yield _faster("1000 in one job each, times faster than SmartSim", smart / single, 8)
    for n in (1000, 10_000):
        own, plain = wall.get((SINGLE, n)), wall.get((PLAIN, n))
        if own and plain:
            name = f"{n} in one job each, not slower than plain Snakemake"
            yield Target(name, f"<= {plain:.1f} s", f"{own:.1f} s", own <= plain)


def _faster(name: str, ratio: float, wanted: float) -> Target:
    return Target(name, f">= {wanted:g}", f"{ratio:.1f}", ratio >= wanted)


def _cluster(jobs: Records) -> Iterator[Target]:
    found = {
        name: (typical(samples), n)
        for name, by_size in jobs.items()
        for n, samples in by_size.items()
    }
    each = {name: sample.cpu_s / n for name, (sample, n) in found.items()}
    if IN_BATCHES in each and IN_JOBS + OFFICIAL in each:
        name = "1000 in batches on Slurm: times less CPU than a job with Snakemake for each"
        yield _faster(name, each[IN_JOBS + OFFICIAL] / each[IN_BATCHES], 100)
    for name, start in ((IN_BATCHES, 3), (IN_JOBS, 5)):
        if name in found and name + BARE in found:
            wall, bare = found[name][0].wall_s, found[name + BARE][0].wall_s
            told, allowed = f"{name}: 1.3 x a bare array + {start} s", 1.3 * bare + start
            yield Target(told, f"<= {allowed:.0f} s", f"{wall:.0f} s", wall <= allowed)
    if IN_MAIN in each:
        told = "CPU of the main process for each job on Slurm"
        yield Target(told, "<= 0.02 s", f"{each[IN_MAIN]:.3f} s", each[IN_MAIN] <= 0.02)


def _stores(pair: Pair) -> Iterator[Target]:
    for what, ratio in (("small puts", pair.small), ("8 MB tensors", pair.large)):
        told = f"a store over {pair.way}, {what}: of a bare server"
        yield Target(told, f">= {WANTED:g}", f"{ratio:.2f}", ratio >= WANTED)


def _page(page: PageCost) -> Iterator[Target]:
    own, told = page.megabytes, "the page of 20,000 members"
    yield Target(
        f"{told}: opens", "< 2 s", f"{page.opens_s:.1f} s ({own:.1f} MB)", page.opens_s < 2
    )
    measured = f"{page.brush_ms:.0f} ms (at most {page.worst_ms:.0f})"
    yield Target(f"{told}: a brush answers", "<= 100 ms", measured, page.brush_ms <= 100)


def _at_most(costs: Costs) -> Iterator[Target]:
    limits = {
        ("dry run, one job per member", 10_000): 25.0,
        ("dry run, batches of 500", 100_000): 30.0,
        ("dry run, as many members on those, batches of 500", 100_000): 10.0,
        ("nothing to do", 10_000): 25.0,
        ("nothing to do", 100_000): 30.0,
        ("generate (one tagged file)", 10_000): 15.0,
    }
    for (name, n), limit in limits.items():
        if (name, n) in costs:
            yield _under(f"{name}, {n:,} members", costs[name, n].wall_s, limit)
    for name in ("dry run, batches of 500", "dry run, as many members on those, batches of 500"):
        large = costs.get((name, 100_000))
        if large:
            told = f"{name}, 100,000 members: memory"
            yield Target(told, "< 500 MB", f"{large.peak_mb:.0f} MB", large.peak_mb < 500)


def _job_start(costs: Costs) -> Iterator[Target]:
    if (JOB, 1) in costs and (JOB, 10_000) in costs:
        later = costs[JOB, 10_000].wall_s - costs[JOB, 1].wall_s
        name = "a job of 10,000 members starts later than one of 1 by"
        yield Target(name, "<= 0.5 s", f"{later:.2f} s", later <= 0.5)


def _growth(runs: Records, steps: Records) -> Iterator[Target]:
    own = {name: by_size for name, by_size in runs.items() if name in (SINGLE, BATCHES)}
    for name, by_size in {**own, **steps}.items():
        if 1000 in by_size and 10_000 in by_size:
            power = exponent([1000, 10_000], [typical(by_size[n]).wall_s for n in (1000, 10_000)])
            if power is not None:
                name = f"{name}: growth from 1k to 10k"
                yield Target(name, "<= n^1.1", f"n^{power:.2f}", power <= 1.1)
