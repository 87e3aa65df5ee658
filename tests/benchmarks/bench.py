"""Measure what a member costs: ensemake beside other tools, then every step at growing sizes."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cluster
import folders
import measure
import page
import project
import report
import steps
import stores
from contestants import CONTESTANTS, Contestant
from folders import Folders
from measure import CommandError, Sample
from targets import targets

REPORT = Path(__file__).parent / "report"
Records = dict[str, dict[int, list[Sample]]]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--sizes", type=_sizes, default="100,1000,10000", help="members of the contest")
    add("--step-sizes", type=_sizes, default="1000,10000,100000", help="members of the steps")
    add("--repeats", type=int, default=3, help="runs of each; fewer of what takes long")
    add("--only", default="", help="contestants whose name has one of these words, as a,b")
    add("--no-steps", action="store_true", help="without the steps")
    add("--no-contest", action="store_true", help="without the contest")
    add("--no-cluster", action="store_true", help="without a real Slurm")
    add("--no-stores", action="store_true", help="without stores in memory")
    add("--no-page", action="store_true", help="without the page of 20,000 members")
    add("--list", action="store_true", help="name the contestants and the steps")
    add("--folder", type=Path, help="where to run; in memory if not given")
    add("--report", type=Path, default=REPORT, help="folder of the tables and the picture")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


class Bench:
    """One benchmark: its records, and a line for each run while it goes on."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folders = options, Folders(folder)
        self.runs: Records = {}
        self.steps: Records = {}
        self.jobs: Records = {}
        self.pairs: list[stores.Pair] = []
        self.page: page.PageCost | None = None
        self.notes: list[str] = []
        options.report.mkdir(parents=True, exist_ok=True)
        self.record = (options.report / "runs.jsonl").open("w", encoding="utf-8")

    def contest(self) -> None:
        """Let all contestants run the same members, in turn: the machine's speed drifts."""
        able = [one for one in self._chosen() if self._is_able(one)]
        for members in [1, *self.options.sizes]:
            racing = [one for one in able if self._runs(one, members)]
            for _ in range(self.options.repeats):
                racing = [one for one in racing if self._compete(one, members)]

    def _chosen(self) -> Iterator[Contestant]:
        words = [word.lower() for word in self.options.only.split(",") if word]
        for contestant in CONTESTANTS:
            if not words or any(word in contestant.name.lower() for word in words):
                yield contestant

    def _is_able(self, contestant: Contestant) -> bool:
        missing = contestant.absent()
        if missing:
            self._note(f"{contestant.name}: skipped, {missing}")
        return not missing

    def _runs(self, contestant: Contestant, members: int) -> bool:
        if members == 1:
            return contestant.at_most == 1
        return members <= contestant.at_most

    def _compete(self, contestant: Contestant, members: int) -> bool:
        """Run once; True if it is worth another run."""
        folder = self.folders.fresh()
        try:
            contestant.prepare(folder, members)
            command = contestant.command(members)
            sample = measure.run(command, folder, project.environment())
        except CommandError as error:
            self._note(f"{contestant.name}, {members} members: {error}")
            return False
        self._keep(self.runs, contestant.name, members, sample)
        return _spent(self.runs[contestant.name][members]) < measure.ENOUGH_S

    def measure_cluster(self) -> None:
        """Run on a real Slurm, where there is one."""
        missing = cluster.absent()
        if missing:
            self._note(f"Slurm: skipped, {missing}")
            return
        for name, members, sample in cluster.samples(self.folders.fresh, self._note):
            self._keep(self.jobs, name, members, sample)

    def measure_stores(self) -> None:
        """Measure what a client gets out of stores, beside a bare server."""
        missing = stores.absent()
        if missing:
            self._note(f"stores: skipped, {missing}")
            return
        for pair in stores.pairs(self.folders.fresh, self._note):
            self.pairs.append(pair)
            print(
                f"{pair.way:52} {pair.own.small:9,.0f} puts/s ({pair.small:.2f} of a bare server) "
                f"{pair.own.large:6.2f} GB/s ({pair.large:.2f})",
                flush=True,
            )

    def measure_page(self) -> None:
        """Measure what the page costs in a browser."""
        missing = page.absent()
        if missing:
            self._note(f"the page: skipped, {missing}")
            return
        self.page = page.measure(self.folders.fresh())
        print(f"the page of {page.MEMBERS:,} members: {self.page}", flush=True)

    def measure_steps(self) -> None:
        """Measure all steps at all sizes; 1 as well, to compare a cluster job's start."""
        for members in [1, *self.options.step_sizes]:
            spent = 0.0
            for _ in range(self.options.repeats):
                spent += self._steps_once(members)
                if spent > measure.ENOUGH_S:
                    break

    def _steps_once(self, members: int) -> float:
        spent = 0.0
        try:
            for name, sample in steps.run_all(self.folders.fresh(), members):
                self._keep(self.steps, name, members, sample)
                spent += sample.wall_s
        except CommandError as error:
            self._note(f"steps of {members} members: {error}")
        return spent

    def draw(self) -> Sample:
        """Measure drawing a few of very many."""
        return steps.draw(self.folders.fresh())

    def _keep(self, records: Records, name: str, members: int, sample: Sample) -> None:
        records.setdefault(name, {}).setdefault(members, []).append(sample)
        print(steps.as_json(name, members, sample), file=self.record, flush=True)
        print(
            f"{name:52} {members:>7,} {sample.wall_s:8.2f} s wall {sample.cpu_s:8.2f} s CPU "
            f"{sample.peak_mb:6.0f} MB",
            flush=True,
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        print(text, flush=True)

    def write(self, draw: Sample | None) -> None:
        """Write tables and picture."""
        kind = folders.file_system(self.folders.root)
        found = list(targets(self.runs, self.steps, self.jobs, draw, self.pairs, self.page))
        records = self.runs, self.steps, self.jobs
        text = report.markdown(*records, self.pairs, found, self.notes, kind)
        (self.options.report / "results.md").write_text(text, encoding="utf-8")
        if self.runs:
            report.plot(self.runs, self.options.report / "contest.svg")
        failed = [target.name for target in found if not target.holds]
        print(f"\n{self.options.report / 'results.md'}: {len(found)} targets, {len(failed)} missed")


def _spent(samples: list[Sample]) -> float:
    return sum(sample.wall_s for sample in samples)


def main() -> int:
    """Measure what was asked for and write the report."""
    options = arguments()
    if options.list:
        named = [step.name for step in steps.STEPS if step.name]
        print(*(contestant.name for contestant in CONTESTANTS), "", *named, sep="\n")
        return 0
    where = folders.place(options.folder)
    with tempfile.TemporaryDirectory(prefix="ensemake-bench-", dir=where) as folder:
        bench, draw = Bench(options, Path(folder)), None
        try:
            if not options.no_steps:
                draw = bench.draw()
            if not options.no_contest:
                bench.contest()
            if not options.no_cluster:
                bench.measure_cluster()
            if not options.no_stores:
                bench.measure_stores()
            if not options.no_page:
                bench.measure_page()
            if not options.no_steps:
                bench.measure_steps()
        finally:  # half an hour's figures, also after Ctrl-C
            bench.write(draw)
    return 0


if __name__ == "__main__":
    sys.exit(main())
