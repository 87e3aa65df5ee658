"""What the page shows, as plain data: from the files of an experiment alone."""

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, TypeGuard

from ensemake.atomic import LARGEST, read_end, read_whole
from ensemake.config.plots import Drawn
from ensemake.config.schema import Config
from ensemake.member.layout import layout, root
from ensemake.member.plan import Work, read_work
from ensemake.member.runscript import commands_in
from ensemake.member.state import MEANING
from ensemake.results.collect import results_table, typed_cell
from ensemake.results.effects import read_effects
from ensemake.results.outcomes import (
    BAD,
    Outcome,
    alike,
    common_values,
    failure_reason,
    failures,
    outcomes,
    varying,
)
from ensemake.results.series import read_series, series_path
from ensemake.show.preview import cpus
from ensemake.sweep.upstream import takes_from

MOST_ROWS = 20_000  # in the page; of more, all failed ones and every n-th of the others
MOST_DETAILS = 1000  # members whose command and messages are in the page; failed ones first
MOST_POINTS = 200_000  # of all curves of a series
ERROR_BYTES = 2000  # from the end of run.err
SAFE = 2**53  # beyond, whole numbers lose digits in a browser


def page_data(config: Config, base: Path = Path(), live: bool = False) -> dict[str, Any]:
    """Return all that the page's script draws.

    Parameters
    ----------
    config
        The experiment; entities that have not been run are there without members.
    base
        The working directory.
    live
        Whether to read metrics anew: the tables are only written when all members have ended.
    """
    entities = [_entity(config, name, base, live) for name in config.entities]
    return {"experiment": config.experiment, "meaning": MEANING, "bad": BAD, "entities": entities}


def _entity(config: Config, name: str, base: Path, live: bool) -> dict[str, Any]:
    settings, where = config.entities[name], layout(config, name)
    own = {
        "name": name,
        "is_model": where.is_model,
        "from": [other for other in takes_from(settings) if other in config.entities],
        "folder": str((base / where.directory).absolute()),
    }
    if not (base / where.planned).exists():
        return {**own, "total": 0, "counts": {}, "columns": [], "failures": [], "common": []}
    work = read_work(root(config), name, base)
    found = outcomes(work)
    shown = _sample(found)
    bad = failures(found)
    return {
        **own,
        "total": len(found),
        "counts": dict(Counter(one.state for one in found).most_common()),
        "columns": _columns(work, [found[place] for place in shown], live),
        "common": [*map(str, common_values(work, bad)), *_common_ranges(found, bad)],
        "failures": [_failure(line, group) for line, group in alike(work, bad)],
        "details": _details(work, [found[place] for place in shown]),
        "places": _places(work, [found[place] for place in shown]),
        "views": [
            _view(plot, work) for plot in work.settings.plots or () if isinstance(plot, Drawn)
        ],
        "effects": read_effects(work),
        "series": _series(work, {found[place].member.name for place in shown}),
    }


def _view(plot: Drawn, work: Work) -> dict[str, Any]:
    """Return a plot of the config as what is chosen in the chart."""
    labels, kinds = work.settings.labels, {"points": "points", "line": "mean", "heatmap": "map"}
    logs = {f"log{key}": "1" for key in plot.log if key != "colour"}
    axes = {"x": plot.x, "y": plot.y, "colour": plot.colour or "-"}
    shown = plot.colour if plot.kind == "heatmap" else plot.y
    over = [plot.x, plot.y] if plot.kind == "heatmap" else [plot.x]
    names = " and ".join(labels.get(name, name) for name in over)
    text = f"{labels.get(str(shown), str(shown))} over {names}"
    return {"label": text, "view": {"kind": kinds[plot.kind], **axes, **logs}}


def _sample(found: Sequence[Outcome]) -> list[int]:
    """Return the positions of the members that the page holds."""
    if len(found) <= MOST_ROWS:
        return list(range(len(found)))
    bad = [place for place, one in enumerate(found) if one.state in BAD][:MOST_ROWS]
    good = [place for place, one in enumerate(found) if one.state not in BAD]
    room = MOST_ROWS - len(bad)
    return sorted([*bad, *(good[place * len(good) // room] for place in range(room))])


# ---- the table ----


def _columns(work: Work, found: Sequence[Outcome], live: bool) -> list[dict[str, Any]]:
    bare = replace(work, settings=work.settings.model_copy(update={"metrics": {}}))
    names, rows, _ = results_table(bare, found)
    _add_metrics(work, found, rows, live)
    logs = {name for axis in work.swept if axis.log for name in axis.names}
    params = set(varying(work.planned)) - {"replica"}
    metrics = list(work.settings.metrics)
    own: list[tuple[str, str, Iterable[Any]]] = [
        (name, _role(name, params, metrics), [row.get(name) for row in rows])
        for name in [*names, *metrics]
    ]
    own += [
        (":host", "more", (one.status and one.status.host for one in found)),
        (":started", "more", (_seconds(one) for one in found)),
        (":attempt", "more", (one.status and one.status.attempt for one in found)),
        (":cpus", "more", (cpus(work.settings, one.member) for one in found)),
    ]
    labels = work.settings.labels

    def label(key: str) -> str:
        return labels.get(key, key.lstrip(":"))

    return [
        {"key": key, "label": label(key), "role": role, "log": key in logs, **_cells(values)}
        for key, role, values in own
    ]


def _role(name: str, params: set[str], metrics: Sequence[str]) -> str:
    if name in metrics:
        return "metric"
    return "param" if name in params else "other"


def _add_metrics(
    work: Work, found: Sequence[Outcome], rows: list[dict[str, Any]], live: bool
) -> None:
    path = work.base / work.layout.directory / "results.csv"
    if live or not path.exists():
        known = {
            name: metric
            for name, metric in work.settings.metrics.items()
            if not (live and getattr(metric, "function", None))  # somebody's code, in a process
        }
        settings = work.settings.model_copy(update={"metrics": known})
        told = {
            row["member"]: row for row in results_table(replace(work, settings=settings), found)[1]
        }
    else:
        told = _table(path)
    for row in rows:
        cells = told.get(row["member"], {})
        row |= {name: typed_cell(cells.get(name)) for name in work.settings.metrics}
        row["reason"] = row.get("reason") or cells.get("reason")


def _table(path: Path) -> dict[str, dict[str, Any]]:
    limit = csv.field_size_limit(sys.maxsize)  # our own table; values may be long
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["member"]: row for row in csv.DictReader(file)}
    finally:
        csv.field_size_limit(limit)


def _cells(values: Iterable[Any]) -> dict[str, Any]:
    """Return numbers as they are, and texts as places in the list of those that occur."""
    cells = [None if cell == "" else cell for cell in values]
    if any(map(_is_number, cells)) and all(cell is None or _is_number(cell) for cell in cells):
        return {"values": [*map(_plain, cells)]}
    told = [None if cell is None else str(cell) for cell in cells]
    levels = {text: place for place, text in enumerate(dict.fromkeys(filter(None, told)))}
    return {"levels": list(levels), "values": [text and levels[text] for text in told]}


def _is_number(cell: Any) -> TypeGuard[float]:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _plain(cell: Any) -> Any:
    """JSON knows no NaN, and a browser no long whole numbers: those are texts in a column."""
    if cell is None or (isinstance(cell, int) and abs(cell) < SAFE):
        return cell
    return cell if isinstance(cell, float) and isfinite(cell) else str(cell)


def _seconds(one: Outcome) -> float | None:
    if one.status is None:
        return None
    try:
        return datetime.fromisoformat(one.status.started).timestamp()
    except ValueError:
        return None


# ---- failures ----


def _failure(line: str, group: Sequence[Outcome]) -> dict[str, Any]:
    first = group[0]
    names = [one.member.name for one in group]
    reason = failure_reason(first)
    return {"state": first.state, "reason": reason, "line": line, "members": names}


def _common_ranges(found: Sequence[Outcome], bad: Sequence[Outcome]) -> list[str]:
    """Tell the ranges of numbers that hold all failed members and few of the others."""
    own = [one for one in bad if one.state != "blocked"]
    if len(own) < 2:
        return []
    lines = []
    for name in varying([one.member for one in found]):
        values = _numbers(name, found)
        if len(values) < len(found):
            continue
        low, high = (pick(_numbers(name, own)) for pick in (min, max))
        inside = sum(low <= value <= high for value in values) - len(own)
        others = len(found) - len(own)
        if low < high and others and inside < others / 2:
            lines.append(
                f"all {len(own)} failed members have {name} from {low:.6g} to {high:.6g}; "
                f"so have {inside} of the {others} others"
            )
    return lines


def _numbers(name: str, found: Iterable[Outcome]) -> list[float]:
    values = [one.member.values[name] for one in found]
    return [float(value) for value in values if _is_number(value)]


# ---- one member ----


def _details(work: Work, found: Sequence[Outcome]) -> dict[str, Any]:
    some = sorted(found, key=lambda one: one.state not in BAD)[:MOST_DETAILS]
    return {one.member.name: _detail(work, one) for one in some}


def _detail(work: Work, one: Outcome) -> dict[str, Any]:
    folder = work.base / one.member.directory
    detail: dict[str, Any] = {"commands": [], "error": ""}
    with suppress(OSError, ValueError):
        text = read_whole(folder / "run.sh", LARGEST).decode(errors="replace")
        detail["commands"] = commands_in(text)
    if one.state in BAD:
        with suppress(OSError, ValueError):
            detail["error"] = read_end(folder / "run.err", ERROR_BYTES)[0].decode(errors="replace")
    return detail


def _places(work: Work, found: Sequence[Outcome]) -> list[str] | None:
    """Return where each member lies in its ensemble's folder, where that is not its name."""
    members = [one.member for one in found]
    places = [work.layout.place(one.name, one.directory) for one in members]
    return None if places == [one.name for one in members] else places


def _series(work: Work, names: set[str]) -> dict[str, Any]:
    """Return curves by series and member, each with fewer points if they are too many."""
    if not work.settings.series or not series_path(work.base / work.layout.directory).exists():
        return {}
    frame = read_series(work)
    curves: dict[str, Any] = {}
    for (series, member), one in frame.groupby(["series", "member"], sort=False):
        if member in names:
            curves.setdefault(str(series), {})[str(member)] = one
    return {series: _thinned(members) for series, members in curves.items()}


def _thinned(members: Mapping[str, Any]) -> dict[str, Any]:
    points = max(20, MOST_POINTS // len(members))
    found = {}
    for name, one in members.items():
        some = one.iloc[:: max(1, -(-len(one) // points))]
        found[name] = [
            [_plain(float(value)) for value in some[column]] for column in ("index", "value")
        ]
    return found
