"""Disturb runs at random moments, run again, and check that nothing is lost, wrong or left over."""

import argparse
import random
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from kinds import Kind, kinds
from setups import SETUPS, Place, Setup, place
from trial import Outcome, Span, Trial

KEPT = Path(__file__).parent / "report"  # folders of the trials with violations


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=15, help="begin no trial after this time")
    add("--seed", type=int, default=int(time.time()), help="of the order and of the moments")
    add("--only", default="", help="kinds whose name has one of these words: local-alone,KILL")
    add("--trial", type=int, help="this one alone, to repeat it")
    add("--trials", type=int, help="so many, however long they take")
    add("--at-once", type=int, default=2, help="trials at the same time")
    add("--list", action="store_true", help="name the kinds of trials")
    return parser.parse_args()


class Campaign:
    """Trials one after another, each setup calibrated first; what came of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.outcomes: list[Outcome] = []
        self.skipped: dict[str, str] = {one.name: one.absent() for one in SETUPS if one.absent()}
        self._places: dict[str, Place] = {}
        self._spans: dict[str, Span] = {}

    def run(self) -> None:
        """Do all trials."""
        asked = list(self.chosen())
        able = [kind for kind in asked if kind.setup.name not in self.skipped]
        self.skipped = {k: v for k, v in self.skipped.items() if k in {a.setup.name for a in asked}}
        with ExitStack() as stack, ThreadPoolExecutor(self.options.at_once) as pool:
            for setup in dict.fromkeys(kind.setup for kind in able):
                self._prepare(setup, stack)
            until = time.monotonic() + 60 * self.options.minutes
            list(pool.map(lambda pair: self._try(*pair, until), self._sequence(able)))

    def chosen(self) -> Iterator[Kind]:
        """Yield the kinds that were asked for."""
        words = [word for word in self.options.only.split(",") if word]
        for setup in SETUPS:
            for kind in kinds(setup):
                if not words or any(word in str(kind) for word in words):
                    yield kind

    def _prepare(self, setup: Setup, stack: ExitStack) -> None:
        """Start what the setup needs, and see how long a run takes that nothing happens to."""
        if setup.profile not in self._places:
            self._places[setup.profile] = stack.enter_context(place(setup.profile))
        number = -len(self._spans) - 1
        kind = Kind(setup, "nothing", "nothing")
        where = self._places[setup.profile]
        outcome = Trial(kind, self.options.seed, number, where).run(Span(0, 0))
        self._spans[setup.name] = outcome.span
        self._keep(outcome, where)

    def _sequence(self, able: list[Kind]) -> Iterator[tuple[int, Kind]]:
        """Yield numbered kinds: all of them in an order of chance, then again in another."""
        order, number = random.Random(self.options.seed), 0
        count = self.options.trials
        while able and number < (count if count else 100 * len(able)):
            for kind in order.sample(able, len(able)):
                number += 1
                if self.options.trial in (None, number) and number <= (count or number):
                    yield number, kind

    def _try(self, number: int, kind: Kind, until: float) -> None:
        if time.monotonic() < until or self.options.trials:
            with self._place_of(kind) as where:
                trial = Trial(kind, self.options.seed, number, where)
                self._keep(trial.run(self._spans[kind.setup.name]), where)

    def _place_of(self, kind: Kind) -> AbstractContextManager[Place]:
        """Return the place of all its setup's trials; of its own if it would disturb them."""
        profile = kind.setup.profile
        return place(profile) if kind.is_outage else nullcontext(self._places[profile])

    def _keep(self, outcome: Outcome, where: Place) -> None:
        self.outcomes.append(outcome)
        kind, found = outcome.kind, outcome.violations
        folder = where.folder / f"trial-{outcome.number}"
        print(f"{outcome.number:4} {kind}: {outcome.happened or 'too late'}", flush=True)
        for violation in found:
            print(f"       VIOLATION {violation}", flush=True)
        if found:
            shutil.copytree(folder, KEPT / folder.name, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def table(self) -> str:
        """Return what was tried, how often, and what was violated."""
        rows: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            if outcome.happened:
                kind = outcome.kind
                rows[kind.setup.name, kind.target, kind.event].append(outcome)
        lines = ["| where | target | event | trials | violations |", "|---|---|---|--:|--:|"]
        for names, trials in sorted(rows.items()):
            count = sum(bool(trial.violations) for trial in trials)
            lines.append(f"| {' | '.join(names)} | {len(trials)} | {count} |")
        lines += [f"| {name} | skipped: {why} | | 0 | 0 |" for name, why in self.skipped.items()]
        return "\n".join(lines)

    def summary(self) -> str:
        """Return the sums, and how to repeat what went wrong."""
        tried = [outcome for outcome in self.outcomes if outcome.happened]
        wrong = [outcome for outcome in tried if outcome.violations]
        again = sum(outcome.again for outcome in tried)
        lines = [
            f"{len(tried)} trials, {len(wrong)} with violations; {again} members ran again that "
            "had come to their end and were killed before it was recorded"
        ]
        asked = f" --only {self.options.only}" if self.options.only else ""
        for outcome in wrong:
            repeat = f"faults.py --seed {self.options.seed} --trial {outcome.number}{asked}"
            lines += [f"{repeat}  # {outcome.kind}; {outcome.happened}", *outcome.violations]
        return "\n".join(lines)


def main() -> int:
    """Disturb, and print the table; exit code 1 if something was violated."""
    options = arguments()
    campaign = Campaign(options)
    if options.list:
        print(*campaign.chosen(), sep="\n")
        return 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & has it ignored
    print(f"seed {options.seed}", flush=True)
    shutil.rmtree(KEPT, ignore_errors=True)
    try:
        campaign.run()
    finally:  # a quarter of an hour's trials, also after Ctrl-C
        print(f"\n{campaign.table()}\n\n{campaign.summary()}")
    return int(any(outcome.violations for outcome in campaign.outcomes))


if __name__ == "__main__":
    sys.exit(main())
