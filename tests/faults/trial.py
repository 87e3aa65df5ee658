"""One trial: a run that something happens to at a random moment, and runs until all is done."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import invariants
from folder import Folder
from kinds import (
    AWAY_KILL,
    BESIDE,
    CONTROLLER,
    CRASH,
    FORGET,
    SECOND,
    SNAKEMAKE_QUESTIONS,
    WHOLE,
    Kind,
)
from processes import MARK, Process, alive
from setups import AWAY_S, PATIENCE_S, Cluster, Place

LOOK_S = 0.05
AGAIN = 6  # runs until all is done, at most: two members fail once, and some may be cancelled
STOPPED_S = (0.1, 2.0)  # between SIGSTOP and SIGCONT
MENDED_S = 10.0  # between two looks of an operator
GONE_S = 15.0  # after a run, for what it started to be gone


@dataclass(frozen=True)
class Span:
    """How long a run that nothing happens to takes, and its members in it, in seconds."""

    whole: float
    members: float


@dataclass
class Outcome:
    """What came of a trial."""

    kind: Kind
    number: int
    happened: str = ""  # empty if the run was over before
    violations: list[str] = field(default_factory=list)
    again: int = 0  # members that ran again since they had been killed before they were recorded
    span: Span = Span(0, 0)


class Trial:
    """A trial: its folder, its processes, its random numbers."""

    def __init__(self, kind: Kind, seed: int, number: int, place: Place) -> None:
        self.kind, self.place = kind, place
        self.random = random.Random(f"{seed}-{number}-{kind}")
        self.outcome = Outcome(kind, number)
        path = place.folder / f"trial-{number}"
        self.folder = Folder(path, kind.setup.config, kind.is_gentle)
        self.mark = str(path)
        self._runs, self._mended = 0, 0.0

    def run(self, span: Span) -> Outcome:
        """Let it happen, then run until all is done, and judge."""
        began = time.time()
        live = self._start()
        self.outcome.happened = self._happen(live, span)
        code = self._end(live)
        self.outcome.span = Span(time.time() - began, self._members_s())
        self._find(invariants.after_a_run(self.folder, code))
        if self.kind.is_gentle:
            self._find(invariants.unhurt(self.folder, code))
        for _ in range(AGAIN):
            if code == 0:
                break
            code = self._end(self._start())
            self._find(invariants.after_a_run(self.folder, code))
        self._find(invariants.in_the_end(self.folder, code))
        self._find(self._left_over())
        self.outcome.again = sum(n - 1 for n in self.folder.told("finished").values() if n > 1)
        return self.outcome

    def _find(self, violations: Iterator[str]) -> None:
        found = self.outcome.violations
        found += [violation for violation in violations if violation not in found]

    def _members_s(self) -> float:
        times = [line.time for line in self.folder.ledger()]
        return max(times) - min(times) if times else 0.0

    # ---- processes ----

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        self._runs += 1
        return self._spawn(f"run-{self._runs}.log", self.kind.setup.command(*words))

    def _spawn(self, log: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder.path / log).open("wb") as file:
            return subprocess.Popen(
                command,
                cwd=self.folder.path,
                env={**self.place.environ, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process, looking meanwhile; its exit code."""
        until = time.monotonic() + PATIENCE_S + self.kind.is_outage * AWAY_S[1]
        while process.poll() is None:
            self._look()
            self._mend()
            if time.monotonic() > until:
                self.outcome.violations.append(f"hangs: {process.args}")
                process.kill()
        self._look()
        return process.wait()

    def _mend(self) -> None:
        """Play the operator after a crash, now and then."""
        is_crash = self.kind.is_outage and self.kind.event in (CRASH, FORGET)
        is_due = time.monotonic() > self._mended + MENDED_S
        if self.place.slurm and is_crash and is_due:
            self._mended = time.monotonic()
            self.place.slurm.mend()

    def _look(self) -> None:
        self.folder.watch()
        time.sleep(LOOK_S)

    def _wait(self, live: subprocess.Popen[bytes], until: float) -> None:
        while live.poll() is None and time.monotonic() < until:
            self._look()

    def alive(self) -> list[Process]:
        """Return the processes of the trial."""
        return alive(self.mark, self.folder.path)

    def _left_over(self) -> Iterator[str]:
        until = time.monotonic() + GONE_S
        while (self.alive() or self.place.queue(self.folder.path)) and time.monotonic() < until:
            self._mend()
            time.sleep(0.2)
        left = self.alive()
        for process in left:
            yield f"left over: process {process}"
        for job in self.place.queue(self.folder.path):
            yield f"left over: job {job}"
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    # ---- what happens ----

    def _happen(self, live: subprocess.Popen[bytes], span: Span) -> str:
        """Let it happen at a random moment; what it was, nothing if the run was over."""
        if self.kind.target == "nothing":
            return "nothing"
        began = time.monotonic()
        if self.kind.target not in (*WHOLE, BESIDE) and not self.kind.is_outage:
            self._wait_for_kind(live)
            self._wait(live, time.monotonic() + self.random.uniform(0, span.members))
        else:
            self._wait(live, began + self.random.uniform(0.02, 0.95) * span.whole)
        if live.poll() is not None:
            return ""
        when = f"{time.monotonic() - began:.2f} s after the start"
        if self.kind.target == BESIDE:
            self._ask(live)
            return f"{self.kind.event}, {when}"
        if self.kind.is_outage:
            return f"{self.kind.event}, {when}, for {self._outage(live):.0f} s"
        return self._strike(live, when)

    def _wait_for_kind(self, live: subprocess.Popen[bytes]) -> list[int]:
        while live.poll() is None:
            found = [one.pid for one in self.alive() if one.kind == self.kind.target]
            if found:
                return found
            self._look()
        return []

    def _strike(self, live: subprocess.Popen[bytes], when: str) -> str:
        if self.kind.target == "group":
            return self._signal([-live.pid], when)
        if self.kind.target == "main":
            return self._signal([live.pid], when)
        if self.kind.target == "all":
            return self._signal([live.pid, *(one.pid for one in self.alive())], when)
        found = sorted(self._wait_for_kind(live))
        return self._signal([self.random.choice(found)], when) if found else ""

    def _signal(self, pids: list[int], when: str) -> str:
        event = self.kind.event
        _kill(pids, getattr(signal, f"SIG{event}"))
        if event == "STOP":
            seconds = self.random.uniform(*STOPPED_S)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                self._look()
            _kill(pids, signal.SIGCONT)
            when += f", for {seconds:.2f} s"
        return f"SIG{event} to {self.kind.target} {pids[0]}, {when}"

    def _outage(self, live: subprocess.Popen[bytes]) -> float:
        """Have the controller away for a while; how long."""
        slurm, seconds = self.place.slurm, self.random.uniform(*AWAY_S)
        assert slurm is not None
        self._take_away(slurm)
        began = time.monotonic()
        if self.kind.event == AWAY_KILL:
            self._wait(live, began + self.random.uniform(0, seconds))
            _kill([live.pid], signal.SIGKILL)
        while time.monotonic() < began + seconds:
            self._look()
        if self.kind.event == "STOP":
            slurm.signal(CONTROLLER, signal.SIGCONT)
        else:
            slurm.start(CONTROLLER)
        return seconds

    def _take_away(self, slurm: Cluster) -> None:
        if self.kind.event == "STOP":
            slurm.signal(CONTROLLER, signal.SIGSTOP)
            return
        is_hard = self.kind.event in (CRASH, FORGET)
        slurm.stop(CONTROLLER, signal.SIGKILL if is_hard else signal.SIGTERM)
        if self.kind.event == FORGET:
            slurm.forget()

    def _ask(self, live: subprocess.Popen[bytes]) -> None:
        event = self.kind.event
        if event == SECOND:
            code = self._end(asked := self._spawn("asked.log", self.kind.setup.command()))
            is_right = code == 1 if live.poll() is None else code in (0, 1)
        elif event in SNAKEMAKE_QUESTIONS:
            words = self.kind.setup.command(*SNAKEMAKE_QUESTIONS[event])
            code = self._end(asked := self._spawn("asked.log", words))
            is_right = code == 0 or (event.endswith("--lint") and code == 1)
        else:
            words = [*event.split()[1:], *(["sweep"] if event.endswith("find") else [])]
            command = [str(Path(sys.executable).with_name("ensemake")), *words]
            code = self._end(asked := self._spawn("asked.log", command))
            is_right = code == 0
        said = (self.folder.path / "asked.log").read_text(errors="replace")
        if not is_right or "Traceback" in said:
            self.outcome.violations.append(f"asked: {asked.args[-3:]} ended with {code}: {said}")


def _kill(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
