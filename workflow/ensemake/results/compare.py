"""Two experiments, or two runs of one, beside each other: what changed, and what came of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf, isnan
from pathlib import Path
from typing import Any

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.errors import WrongValueError
from ensemake.member.layout import config_copy
from ensemake.member.plan import Planned, Work, last_run
from ensemake.member.previous import FOLDER
from ensemake.member.state import read_status
from ensemake.results.collect import results_table, typed_cell
from ensemake.results.outcomes import varying
from ensemake.results.provenance import latest_run, read_run

SHOWN = 20  # members of each entity that are listed, and changes
SAME = ("run", "started", "ended", "pid", "pending", "succeeded", "command")  # of no concern
KINDS = ("models", "ensembles")
Values = Mapping[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Side:
    """One of the two: an experiment as it is, or as a run of it left it."""

    name: str
    root: Path
    run: str  # "" for the last
    record: Values

    @property
    def works(self) -> dict[str, Work]:
        """Its entities, with each member where its results of that time lie."""
        _, works = last_run(self.root)
        return {work.entity: self._then(work) for work in works}

    def _then(self, work: Work) -> Work:
        if not self.run:
            return work
        found = (_at(work, member, self.run) for member in work.planned)
        return replace(work, planned=[member for member in found if member])


def side(text: str) -> Side:
    """Return what an argument names: the folder of an experiment, or ``FOLDER@RUN``.

    Raises
    ------
    WrongValueError
        If there is no such experiment or run.
    """
    folder, _, run = text.partition("@") if not Path(text).exists() else (text, "", "")
    root = Path(folder)
    if not config_copy(root).exists():
        raise WrongValueError(f"{folder}: no experiment was run here; give a folder, results/demo")
    record = read_run(root, run) if run else latest_run(root)
    if run and record is None:
        there = ", ".join(sorted(path.stem for path in _runs(root)))
        raise WrongValueError(f"{folder} has no run {run!r}; there are {there}")
    return Side(text, root, run, record or {})


def _runs(root: Path) -> Iterable[Path]:
    return config_copy(root).with_name("runs").glob("*.json")


def _at(work: Work, member: Planned, run: str) -> Planned | None:
    """Return a member with what it was after a run: its own results, or those set aside since."""
    own = member.directory
    older = sorted((work.base / own / FOLDER).glob("[0-9]*"))
    best: tuple[str, Planned] | None = None
    for directory in [own, *(f"{own}/{FOLDER}/{path.name}" for path in older)]:
        status = read_status(work.base / directory)
        if status and status.run <= run and (best is None or status.run > best[0]):
            best = status.run, replace(member, directory=directory, digest=status.digest)
    return best and best[1]


# ---- what is told ----


def compare_lines(first: Side, second: Side) -> list[str]:
    """Tell what differs between two experiments or runs.

    Members are matched by the parameters that both have; names do not matter.
    """
    lines = [f"A  {_headline(first)}", f"B  {_headline(second)}", ""]
    changes = list(_changes(first.record, second.record))
    ours, theirs = first.works, second.works
    alone = {f"config.{kind}.{n}" for kind in KINDS for n in ours.keys() ^ theirs.keys()}
    changes = [line for line in changes if not line.startswith(tuple(f"{n}." for n in alone))]
    lines += [f"  {line}" for line in changes[:SHOWN]]
    lines += [f"  and {len(changes) - SHOWN} more changes"] * (len(changes) > SHOWN)
    lines += ["  config, code and environment are the same"] * (not changes)
    for entity in dict.fromkeys([*ours, *theirs]):
        lines.append("")
        if entity in ours and entity in theirs:
            lines += _entity(ours[entity], theirs[entity])
        else:
            lines.append(f"{entity}: only in {'A' if entity in ours else 'B'}")
    return lines


def _headline(one: Side) -> str:
    record = one.record
    git = record.get("git") or {}
    parts = [
        f"run {record['run']}" if record else "no run recorded",
        f"on {record['host']}" if record else "",
        f"commit {git['commit'][:12]}{' and changes' if git['dirty'] else ''}" if git else "",
    ]
    return f"{one.name}: {', '.join(filter(None, parts))}"


def _changes(first: Values, second: Values) -> Iterator[str]:
    flat = [dict(_flat(record, "")) for record in (first, second)]
    for key in dict.fromkeys([*flat[0], *flat[1]]):
        if key.split(".")[0] in SAME:
            continue
        a, b = (one.get(key, "(none)") for one in flat)
        if a != b:
            yield f"{key}: {_short(a)} -> {_short(b)}"


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _entity(first: Work, second: Work) -> Iterator[str]:
    names = [name for name in _names(first) if name in _names(second)]
    ours, theirs = ({_key(m, names): m for m in work.planned} for work in (first, second))
    if (len(ours), len(theirs)) != (len(first.planned), len(second.planned)):
        yield f"{first.entity}: members cannot be matched by {', '.join(names) or 'nothing'} alone"
        return
    both = [key for key in ours if key in theirs]
    same = sum(ours[key].digest == theirs[key].digest for key in both)
    only = [(len(ours) - len(both), "A"), (len(theirs) - len(both), "B")]
    parts = [f"{len(both)} members in both, {same} of the same recipe"]
    parts += [f"{count} only in {which}" for count, which in only if count]
    yield f"{first.entity}: {', '.join(parts)}"
    yield from _results(first, second, [(ours[key], theirs[key]) for key in both])


def _names(work: Work) -> list[str]:
    return list(work.planned[0].values) if work.planned else []


def _key(member: Planned, names: Sequence[str]) -> Key:
    values = [member.values[name] for name in names]
    return (*values, *(isinstance(value, bool) for value in values))


def _results(first: Work, second: Work, pairs: Sequence[tuple[Planned, Planned]]) -> Iterator[str]:
    ours = _rows(first, [a for a, _ in pairs])
    theirs = _rows(second, [b for _, b in pairs])
    shared = [
        "status",
        *(name for name in first.settings.metrics if name in second.settings.metrics),
    ]
    differing: dict[int, float] = {}
    for name in shared:
        gaps = [_gap(a.get(name), b.get(name)) for a, b in zip(ours, theirs, strict=True)]
        for place, gap in enumerate(gaps):
            differing[place] = max(gap, differing.get(place, 0))
        yield f"  {name}: {_summary(name, gaps, ours, theirs)}"
    worst = sorted((place for place, gap in differing.items() if gap), key=lambda n: -differing[n])
    if worst:
        yield ""
        yield from _table(first, shared, [(pairs[n][0], ours[n], theirs[n]) for n in worst[:SHOWN]])
        if len(worst) > SHOWN:
            yield f"  and {len(worst) - SHOWN} more members that differ"


def _rows(work: Work, members: Sequence[Planned]) -> list[dict[str, Any]]:
    _, rows, _ = results_table(replace(work, planned=list(members)))
    metrics = work.settings.metrics
    return [row | {name: typed_cell(row.get(name)) for name in metrics} for row in rows]


def _gap(a: Any, b: Any) -> float:
    """Return how far two values are apart, beside their size; infinitely if they are no numbers."""
    if a == b or (_is_nan(a) and _is_nan(b)):
        return 0.0
    with suppress(TypeError, OverflowError):
        gap = abs(b - a) / max(abs(a), abs(b))
        return inf if isnan(gap) else float(gap)
    return inf


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)


def _summary(
    name: str, gaps: Sequence[float], ours: Sequence[Values], theirs: Sequence[Values]
) -> str:
    count = sum(gap > 0 for gap in gaps)
    if not count:
        return "the same in all"
    steps = [
        theirs[n][name] - ours[n][name]
        for n in range(len(gaps))
        if isinstance(ours[n].get(name), int | float)
        and isinstance(theirs[n].get(name), int | float)
    ]
    told = f"differs in {count} of {len(gaps)}"
    if steps:
        told += f"; B - A is {sum(steps) / len(steps):.4g} on average"
        told += f", {min(steps):.4g} to {max(steps):.4g}"
    return told


def _table(
    work: Work, names: Sequence[str], rows: Sequence[tuple[Planned, Values, Values]]
) -> list[str]:
    params, labels = varying(work.planned), work.settings.labels
    shown = [name for name in names if any(_gap(a.get(name), b.get(name)) for _, a, b in rows)]
    head = [labels.get(name, name) for name in params]
    head += [f"{labels.get(name, name)} {which}" for name in shown for which in "AB"]
    body = [
        [
            *(member.values[name] for name in params),
            *(_cell(row.get(n)) for n in shown for row in (a, b)),
        ]
        for member, a, b in rows
    ]
    lines = tabulate(body, head, tablefmt="plain", disable_numparse=True).splitlines()
    return [f"  {line}" for line in lines]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
