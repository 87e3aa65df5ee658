"""Where the members stand while Snakemake runs them, and how that is told in a line.

A job is known by its marker, `<root>/.ensemake/<entity>/<place>.done`: a member's or a batch's.
What a batch has done so far is read from the record beside its plan.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ensemake.config.faults import printable
from ensemake.member.state import read_status
from ensemake.results.outcomes import error_line

EXPECTED: dict[str, int] = {}  # members each entity is about to run; the workflow fills it
CARRYING_ON: set[str] = set()  # entities whose jobs end well even if members failed; likewise
BAR = 10  # cells a bar has at least


@dataclass
class Job:
    """A job that runs members: one, or a batch of them."""

    state: Path  # folder of the entity's markers
    marker: Path
    members: int = 1
    over: Counter[str] = field(default_factory=Counter)  # its members that ended, by outcome
    slots: int = 1
    has_record: bool = False
    read: int = 0  # bytes of its record that were there before it, or have been read

    @property
    def entity(self) -> str:
        """Name of the model or ensemble."""
        return self.state.name


@dataclass
class Tally:
    """The members of an entity in this run."""

    entity: str
    total: int = 0
    over: Counter[str] = field(default_factory=Counter)
    running: int = 0
    began: float = 0.0

    @property
    def done(self) -> int:
        """Members that completed."""
        return self.over["completed"]

    @property
    def failed(self) -> int:
        """Members that ended otherwise."""
        return self.over.total() - self.done

    def left_s(self, now: float) -> float | None:
        """Seconds until all have ended, at the pace so far; None before the first has."""
        if not (self.over.total() and self.began):
            return None
        return (self.total - self.over.total()) * (now - self.began) / self.over.total()


class Board:
    """All that a run of Snakemake is doing, from the jobs it starts and ends."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.others: dict[int, str] = {}  # running jobs that are no member's, by rule
        self.remote = False
        self._jobs: dict[int, Job] = {}
        self._running: dict[int, Job] = {}

    def start(self, number: int, rule: str, outputs: list[str]) -> None:
        """Note that a job was started, or submitted; perhaps once more."""
        job = _job(outputs)
        if job is None:
            self.others[number] = rule
            return
        tally = self._tally(job.entity)
        if number in self._jobs:
            tally.over.subtract(self._jobs[number].over)
        self._jobs[number] = self._running[number] = job
        tally.began = tally.began or time.monotonic()
        tally.running += min(job.slots, job.members)

    def finish(self, number: int) -> None:
        """Note that a job ended well; its members need not have."""
        job = self._running.get(number)
        told = job is not None and job.members == 1 and job.entity in CARRYING_ON
        self._end(number, "failed" if told and not _has_completed(job) else "completed")

    def fail(self, number: int) -> Job | None:
        """Note that a job failed, and return it if it ran members."""
        job = self._running.get(number)
        self._end(number, "failed")
        return job

    def refresh(self) -> None:
        """Read on in the records of the running batches."""
        for job in self._running.values():
            self._read_on(job)

    def _tally(self, entity: str) -> Tally:
        for name, count in EXPECTED.items():
            self.tallies.setdefault(name, Tally(name, count))
        return self.tallies.setdefault(entity, Tally(entity))

    def _end(self, number: int, outcome: str) -> None:
        self.others.pop(number, None)
        job = self._running.pop(number, None)
        if job is None:
            return
        self._read_on(job)
        tally = self._tally(job.entity)
        tally.running -= _active(job)
        if outcome == "completed" or not job.over.total():  # else the record tells it better
            left = job.members - job.over.total()
            self._count(job, job.over + Counter({outcome: left}))

    def _read_on(self, job: Job) -> None:
        over, others = _outcomes_in_record(job) if job.has_record else (job.over, {})
        for entity, more in others.items():
            self._tally(entity).over.update(more)
        if over != job.over:
            before = _active(job)
            self._count(job, over)
            self._tally(job.entity).running += _active(job) - before

    def _count(self, job: Job, over: Counter[str]) -> None:
        tally = self._tally(job.entity)
        tally.over.subtract(job.over)
        tally.over.update(over)
        job.over = over


def _job(outputs: list[str]) -> Job | None:
    marker = Path(outputs[0]) if outputs else Path()
    state = _state(marker)
    if marker.suffix != ".done" or state is None:
        return None
    job = Job(state, marker)
    plan = marker.with_suffix(".plan.json")
    if plan.exists():
        data = json.loads(plan.read_bytes())
        job.members = len(data["members"])
        job.has_record = job.members > 1 or "followers" in data
        job.read = _size(_record(job))
    return job


def _state(marker: Path) -> Path | None:
    """Return the folder of an entity's markers; those of a large ensemble lie in sub-folders."""
    return next((path for path in marker.parents if path.parent.name == ".ensemake"), None)


def _has_completed(job: Job | None) -> bool:
    if job is None:
        return False
    place = job.marker.relative_to(job.state).with_suffix("")
    folder = job.state.parent.parent / job.entity
    found = map(read_status, (folder / place, folder))  # of a model
    return any(status is not None and status.status == "completed" for status in found)


def _record(job: Job) -> Path:
    return job.marker.with_suffix(".plan.json.record.jsonl")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _active(job: Job) -> int:
    return min(job.slots, job.members - job.over.total())


def _outcomes_in_record(job: Job) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Return the outcomes by what the record has told so far; whole lines only.

    Those of entities whose members run in the job as well are what came in since the last time.

    A cluster may start a batch again; it then skips what it completed before. Cut off from its
    node, it may even do so while the first one still runs.
    """
    try:
        with _record(job).open("rb") as file:
            file.seek(job.read)
            text = file.read()
    except FileNotFoundError:
        return job.over, {}
    others: dict[str, Counter[str]] = defaultdict(Counter)
    text = text[: text.rfind(b"\n") + 1]
    job.read += len(text)
    over = job.over.copy()
    for event in map(json.loads, text.splitlines()):
        if event["event"] == "start":
            over = Counter(completed=event["skipped"])
        elif event["event"] == "end" and event.get("entity", job.entity) != job.entity:
            others[event["entity"]][_kind(event["status"])] += 1
        elif event["event"] == "end" and over.total() < job.members:
            over[_kind(event["status"])] += 1
    return over, others


def _kind(status: str) -> str:
    return "completed" if status in ("completed", "skipped") else "failed"


# ---- in words ----


def plain_line(tally: Tally, remote: bool, now: float) -> str:
    """Return a line for a log."""
    left = tally.left_s(now)
    ahead = f", about {duration(left)} left" if left else ""
    return (
        f"{tally.entity}: {tally.done} of {tally.total} done, {tally.failed} failed, "
        f"{tally.running} {_verb(remote)}{ahead}"
    )


def panel_lines(board: Board, width: int, now: float) -> list[str]:
    """Return a line for each entity that has members to run, and one for other jobs."""
    tallies = [tally for tally in board.tallies.values() if tally.total]
    room = min(24, max((len(tally.entity) for tally in tallies), default=0))
    lines = [_panel_line(tally, board.remote, width, room, now) for tally in tallies]
    others = ", ".join(sorted(set(board.others.values())))
    return [*lines, *([_cut(f"now: {others}", width)] if others else [])]


def _panel_line(tally: Tally, remote: bool, width: int, room: int, now: float) -> str:
    digits = len(str(tally.total))
    left = tally.left_s(now)
    told = (
        f"{tally.done:{digits}}/{tally.total} done  {tally.failed} failed  "
        f"{tally.running} {_verb(remote)}  {duration(left) + ' left' if left else '':>12}"
    )
    name = f"{_cut(tally.entity, room):<{room}}  "
    cells = width - len(name) - len(told) - 2
    bar = f"{_bar(tally, min(cells, 40))}  " if cells >= BAR else ""
    return _cut(name + bar + told, width)


def _bar(tally: Tally, cells: int) -> str:
    done = round(cells * tally.done / max(1, tally.total))
    ended = round(cells * tally.over.total() / max(1, tally.total))
    return "█" * done + "x" * (ended - done) + "░" * (cells - ended)


def _verb(remote: bool) -> str:
    return "submitted" if remote else "running"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def duration(seconds: float) -> str:
    """Write seconds as 0:05, 12:34 or 1:02:03; days as 2 d 3 h."""
    whole = round(seconds)
    if whole >= 2 * 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def failure_line(job: Job, logs: Sequence[str], message: str) -> str:
    """Say why a job of members failed: what run.sh recorded, else what Snakemake was told."""
    see = " ".join([message, "see", ", ".join(logs) or "the log"]).strip()
    if job.members > 1:
        return f"failed: a batch of {job.members} of {job.entity}: {see}"
    folder = job.state.parent.parent / job.entity
    own = folder / job.marker.relative_to(job.state).with_suffix("")
    directory = own if own.is_dir() else folder  # a model has no member level
    status = read_status(directory)
    if status is None or status.status == "completed":
        return printable(f"failed: {directory}: {see}")
    last = error_line(directory / "run.err")
    return printable(f"failed: {directory}: {status.reason}{f': {last}' if last else ''}")
