"""series.parquet, or series.csv: the curves of all members, read on from where the last look ended.

What was read lies in the entity's own notes, with the place in each file, so that a look at members
that run costs what they have written since.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemake.atomic import read_whole, replacing, write_atomically
from ensemake.member.layout import SERIES
from ensemake.member.plan import Work
from ensemake.member.state import STATUS_MOST
from ensemake.metrics.curve import Curves, Points, known_curves
from ensemake.metrics.curves import CurveReader
from ensemake.results.outcomes import Outcome
from ensemake.sweep.identity import canonical

if TYPE_CHECKING:
    from pandas import DataFrame

MOST = 10_000  # points of one curve
MOST_IN_ALL = 5_000_000  # of all
LEAST = 100

COLUMNS = ("member", "series", "index", "value")
Columns = tuple[list[str], list[str], list[float], list[float]]


def series_path(folder: Path) -> Path:
    """Return where the curves of an entity stand: Parquet, if that can be written here."""
    return folder / SERIES[0 if find_spec("pyarrow") else 1]


def write_series(work: Work, found: Sequence[Outcome]) -> dict[str, list[str]]:
    """Read the curves of members that have completed or are running, and write their table.

    Returns
    -------
    dict
        For a member, by name, what is wrong with its curves.
    """
    if not work.settings.series:
        return {}
    most = max(LEAST, min(MOST, MOST_IN_ALL // (len(found) * len(work.settings.series) or 1)))
    reader = CurveReader(work.settings.series, most)
    known = _load(work)
    curves = {
        one.member.name: _read(reader, work.base, one, known.get(one.member.name))
        for one in found
        if one.state in ("completed", "running")
    }
    _save(work, curves)
    _write(work, _columns(curves))
    ended = [one.member.name for one in found if one.state == "completed"]
    return {name: list(curves[name].faults.values()) for name in ended if curves[name].faults}


def _read(reader: CurveReader, base: Path, one: Outcome, known: Curves | None) -> Curves:
    directory, digest = base / one.member.directory, one.member.digest
    ended = one.status and f"{digest} {one.status.started} {one.status.elapsed_s}"
    if known is not None and ended and known.ended == ended:
        return known
    begun = f"{digest} {_attempt(directory)}"
    if known is None or known.begun != begun:
        known = Curves(begun=begun)
    reader.read(known, directory, is_running=one.state == "running")
    known.ended = ended or ""
    return known


def _attempt(directory: Path) -> str:
    """Return what tells one attempt of a member from another: run.sh writes it when it begins."""
    try:
        return read_whole(directory / ".lock", STATUS_MOST).decode(errors="replace")
    except (OSError, ValueError):
        return ""


def _columns(curves: Mapping[str, Curves]) -> Columns:
    table: Columns = ([], [], [], [])
    for member, some in curves.items():
        for name, curve in some.curves.items():
            index, value = curve.points()
            table[0].extend([member] * len(value))
            table[1].extend([name] * len(value))
            table[2].extend(index)
            table[3].extend(value)
    return table


def _write(work: Work, columns: Columns) -> None:
    import pandas  # half a second to import

    kinds: list[Any] = ["category", "category", float, float]
    frame = pandas.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    frame = frame.astype(dict(zip(COLUMNS, kinds, strict=True)))
    folder = work.base / work.layout.directory
    path = series_path(folder)
    for name in SERIES:  # one of them is of a time with, or without, pyarrow
        if name != path.name:
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as (temporary, _):
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


def read_series(work: Work) -> "DataFrame":
    """Read the table of the curves: member, series, index, value."""
    import pandas

    path = series_path(work.base / work.layout.directory)
    if path.suffix == ".csv":
        return pandas.read_csv(path, dtype={"member": str, "series": str})
    return pandas.read_parquet(path)


# ---- what was read ----


def _settings_hash(work: Work) -> str:
    series = {name: one.model_dump() for name, one in work.settings.series.items()}
    return hashlib.sha256(canonical(series).encode()).hexdigest()[:16]


def _save(work: Work, curves: Mapping[str, Curves]) -> None:
    import numpy

    about = {"settings": _settings_hash(work), "members": {k: v.about() for k, v in curves.items()}}
    every = [curve for some in curves.values() for curve in some.curves.values()]
    file = io.BytesIO()
    numpy.savez(
        file,
        about=numpy.frombuffer(json.dumps(about).encode(), numpy.uint8),
        index=numpy.array([x for curve in every for x in curve.index], float),
        value=numpy.array([y for curve in every for y in curve.value], float),
    )
    write_atomically(work.base / work.layout.curves, file.getvalue())


def _load(work: Work) -> dict[str, Curves]:
    """Return what was read before, nothing if that was of other settings or is not there."""
    import numpy

    try:
        with numpy.load(work.base / work.layout.curves, allow_pickle=False) as data:
            about: dict[str, Any] = json.loads(data["about"].tobytes())
            index, value = data["index"].tolist(), data["value"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    if about["settings"] != _settings_hash(work):
        return {}
    place = 0

    def points(size: int) -> Points:
        nonlocal place
        place += size
        return index[place - size : place], value[place - size : place]

    return {name: known_curves(one, points) for name, one in about["members"].items()}
