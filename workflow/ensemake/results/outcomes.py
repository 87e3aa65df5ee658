"""Counts, failures and leftovers of an experiment, from files alone; and how they are told."""

import json
import os
import re
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ensemake.atomic import LARGEST, read_end, read_whole
from ensemake.config.faults import printable
from ensemake.config.scalars import Scalar
from ensemake.lock import holder
from ensemake.member.layout import SUBFOLDER
from ensemake.member.plan import Planned, Work
from ensemake.member.state import MEANING, State, StatusFile, state
from ensemake.results.provenance import is_over, latest_run

SHOWN = 10  # kinds of failure listed before "and N more"
# Lines of run.err that come with every failure: frames, rulers, what launchers and Slurm add.
NOISE = re.compile(
    r"==> (step|attempt) \d+|#\d+\s|File \".*\", line \d+|at (0x|\S+\()|\^+$|[~^]+$|\W+$|"
    r"Error termination\. Backtrace|Traceback|"
    r"slurmstepd: |srun: (error: \S+: tasks? |Terminating|Job step|launch)|"
    r"Primary job terminated|mpirun (noticed|detected)|Per user-direction|Process name:|Exit code:"
)
TELLING = re.compile(
    r"error|fail|fatal|exception|abort|cannot|can't|unable|not found|no such|denied|invalid|"
    r"illegal|killed|segmentation|out of memory|divergen|\bnan\b",
    re.IGNORECASE,
)
BAD: tuple[State, ...] = ("failed", "cancelled", "killed", "blocked")
CAN_BE_BLOCKED: tuple[State, ...] = ("missing", "stale", "incomplete")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A member and what became of it."""

    member: Planned
    state: State
    status: StatusFile | None
    needs: str = ""  # what blocks it, as ``entity/member, which failed``

    @property
    def never_started(self) -> bool:
        """Whether a job that was to run it has ended before it started, and none since."""
        return self.status is not None and not self.status.attempt


@dataclass(frozen=True)
class CommonValue:
    """A parameter value that all failed members have and not all members."""

    name: str
    value: Scalar
    failed: int
    members: int

    def __str__(self) -> str:
        others = self.members - self.failed
        ended = f"{others} more have it and did not fail" if others else "no other member has it"
        return f"all {self.failed} failed members have {self.name}={self.value}; {ended}"


def outcomes(work: Work) -> list[Outcome]:
    """Look at every member's directory; a small file each."""
    waiting = queued(work)
    base = work.base
    failed = cache(lambda source: _failed(work.sources[source]))
    found = []
    for member in work.planned:
        now, status = state(base / member.directory, member.digest, work.outputs(member))
        if now not in ("completed", "running") and member.name in waiting:
            now = "queued"
        one = Outcome(member, now, status)
        if now in CAN_BE_BLOCKED or one.never_started:
            needs = _blocked_by(member, failed)
            one = replace(one, state="blocked", needs=needs) if needs else one
        found.append(one)
    return found


def _failed(work: Work) -> dict[str, State]:
    return {one.member.name: one.state for one in failures(outcomes(work))}


def _blocked_by(member: Planned, failed: Callable[[str], dict[str, State]]) -> str:
    """Return a member that this one takes from and that failed, and how it ended."""
    for entity, names in member.inputs:
        for name in names:
            if name in failed(entity):
                verb = {"failed": "failed"}.get(failed(entity)[name], f"was {failed(entity)[name]}")
                return f"{entity}/{name}, which {verb}"
    return ""


def is_under_way(work: Work, found: Sequence[Outcome]) -> bool:
    """Tell whether members run, or a living run has some still before it."""
    states = {outcome.state for outcome in found}
    if not states.isdisjoint(("running", "queued")):
        return True
    return states != {"completed"} and holder(work.base / work.layout.lock) is not None


def queued(work: Work) -> set[str]:
    """Return the members that a living run has submitted and that have not ended.

    Snakemake keeps a file for each job that it has submitted, named after the job's outputs.
    """
    run = latest_run(work.layout.root, work.base)
    if run is None or is_over(run):
        return set()
    names: set[str] = set()
    for marker in _submitted(work.base / ".snakemake" / "incomplete"):
        if work.layout.state in marker.parents and marker.suffix == ".done":
            names |= _members_of(work, marker)
    return names


def _submitted(folder: Path) -> Iterator[Path]:
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                told = json.loads((Path(path) / name).read_bytes())
                key = "".join(p.removeprefix("@") for p in [*_parts(path, folder), name])
                marker = Path(urlsafe_b64decode(key).decode())
            except (OSError, ValueError):  # gone meanwhile, or no such file
                continue
            if told.get("external_jobid"):
                yield marker


def _parts(path: str, folder: Path) -> tuple[str, ...]:
    return Path(path).relative_to(folder).parts


def _members_of(work: Work, marker: Path) -> set[str]:
    plan = work.base / work.layout.plan(marker.stem)
    if not work.is_batched or not plan.exists():
        return {marker.stem}
    return {member["name"] for member in json.loads(plan.read_bytes())["members"]}


def leftovers(work: Work) -> list[Path]:
    """List directories of members that the config no longer describes."""
    folder = work.base / work.layout.directory
    if work.layout.is_model or not folder.is_dir():
        return []
    known = {str(work.base / member.directory) for member in work.planned}
    return sorted(map(Path, _unknown(str(folder), known)))


def _unknown(folder: str, known: Collection[str]) -> Iterator[str]:
    """Yield directories of members that are not known, also from sub-folders."""
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries if entry.path not in known and entry.is_dir()]
    for path in paths:
        if os.path.exists(f"{path}/run.sh"):
            yield path
        elif SUBFOLDER.fullmatch(os.path.basename(path)):
            yield from _unknown(path, known)


def failures(found: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of the members that failed, were cancelled or killed."""
    return [outcome for outcome in found if outcome.state in BAD]


def varying(members: Sequence[Planned]) -> list[str]:
    """Return the parameters that do not have the same value in all members."""
    first = members[0].values if members else {}
    return [
        name
        for name, value in first.items()
        if any(m.values[name] != value or type(m.values[name]) is not type(value) for m in members)
    ]


def common_values(work: Work, bad: Sequence[Outcome]) -> list[CommonValue]:
    """Return the parameter values that all failed members have in common, and not all members.

    Parameters
    ----------
    work
        The members.
    bad
        The failed ones; one alone shares nothing.
    """
    if len(bad) < 2:
        return []
    found = []
    for name in varying(work.planned):
        values = {(type(o.member.values[name]), o.member.values[name]) for o in bad}
        if len(values) == 1:
            value = bad[0].member.values[name]
            count = sum(member.values[name] == value for member in work.planned)
            found.append(CommonValue(name, value, len(bad), count))
    return found


# ---- in words ----


def status_lines(work: Work, found: Sequence[Outcome] | None = None) -> list[str]:
    """Tell an entity's counts, its failed members with reasons, and what is left over."""
    found = outcomes(work) if found is None else found
    counts = Counter(outcome.state for outcome in found)
    lines = [f"{work.entity}: {counted(counts, len(found))}"]
    bad = failures(found)
    failed = [outcome for outcome in bad if outcome.state == "failed"]  # by themselves
    lines += [f"  {one}" for one in common_values(work, failed)]
    names, groups = varying(work.planned), alike(work, bad)
    for line, group in groups[:SHOWN]:
        lines += _failure(group, line, names)
    left = sum(len(group) for _, group in groups[SHOWN:])
    if left:
        lines.append(f"  and {left} more: see {work.layout.directory}/results.csv")
    gone = leftovers(work)
    if gone:
        lines.append(f"  {len(gone)} no longer in the config (ensemake prune lists them)")
    return [printable(line) for line in [*lines, *_lacking(work)]]


def _lacking(work: Work) -> list[str]:
    """Tell the metrics that could not be read, as results.csv was written."""
    reasons: dict[str, Counter[str]] = {}
    for line, count in read_collected(work).get("lacks", {}).items():
        metric, _, reason = line.partition(": ")
        reasons.setdefault(metric, Counter())[reason] = count
    lines = [_lack(metric, found) for metric, found in reasons.items()]
    more = [f"  and {len(lines) - SHOWN} more metrics"] * (len(lines) > SHOWN)
    return [*lines[:SHOWN], *more]


def _lack(metric: str, reasons: Counter[str]) -> str:
    count, ((reason, _), *others) = reasons.total(), reasons.most_common()
    such = "; others: see the column reason of results.csv" * bool(others)
    return f"  {metric}: no value for {count} member{'s' * (count > 1)}: {reason}{such}"


def read_collected(work: Work) -> dict[str, Any]:
    """Return what results.csv was made from, and what it lacks; nothing if there is none."""
    try:
        return dict(json.loads(read_whole(work.base / work.layout.collected, LARGEST)))
    except (OSError, ValueError):
        return {}


def counted(counts: Counter[State], total: int) -> str:
    """Tell how many members are in which state."""
    if counts["completed"] == total:
        return f"all {total} completed" if total > 1 else "completed"
    told = [f"{counts[kind]} {kind}" for kind in MEANING if counts[kind]]
    return f"{', '.join(told)} of {total}"


def failure_reason(outcome: Outcome) -> str:
    """Say why a member failed."""
    if outcome.needs:
        return f"needs {outcome.needs}"
    return (outcome.status and outcome.status.reason) or MEANING[outcome.state]


def alike(work: Work, bad: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """Put failed members together that failed alike: in state, reason and error line.

    Returns
    -------
    list of (str, list of Outcome)
        The line that says what is wrong ("" if none does), and the members.
    """
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in bad:
        if one.needs:  # whichever it is
            entity, _, end = one.needs.partition("/")
            groups.setdefault((one.state, entity, end.partition(", ")[2]), []).append(one)
            continue
        line = error_line(work.base / one.member.directory / "run.err")
        groups.setdefault((one.state, failure_reason(one), line), []).append(one)
    return [("" if group[0].needs else line, group) for (_, _, line), group in groups.items()]


def _failure(group: Sequence[Outcome], line: str, names: Sequence[str]) -> list[str]:
    first = group[0]
    varied = ", ".join(f"{name}={first.member.values[name]}" for name in names)
    such = f"{len(group)} members, such as " * (len(group) > 1)
    told = f"  {first.state}: {failure_reason(first)}{f': {such}{varied}' if varied else ''}"
    if first.needs or first.never_started:
        return [told]
    return [told, *([f"      {line}"] if line else []), f"      {first.member.directory}/run.err"]


def error_line(path: Path) -> str:
    """Return the line of run.err that says what is wrong, cut to 100 characters; "" if none.

    The last one that speaks of an error, else the last one; frames of a backtrace, rulers and
    what launchers say of every failure tell nothing.
    """
    lines = [line for line in _tail(path) if not NOISE.match(line)]
    telling = (line for line in reversed(lines) if TELLING.search(line))
    return next(telling, lines[-1] if lines else "")[:100]


def _tail(path: Path) -> list[str]:
    """Return the last lines of a file that are not blank, in printable characters."""
    try:
        text = read_end(path, 4096)[0].decode(errors="replace")
    except (OSError, ValueError):
        return []
    lines = (" ".join(line.split()) for line in text.split("\n"))
    kept = ("".join(char for char in line if char.isprintable()) for line in lines)
    return [line for line in kept if line]
