"""members.csv and results.csv: the table of an ensemble, whatever failed."""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf, nan
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ensemake.atomic import write_atomically
from ensemake.config.reserved import IDENTITY, OUTCOME
from ensemake.config.scalars import Scalar
from ensemake.member.files import content_hash
from ensemake.member.plan import Planned, Work
from ensemake.member.state import MEANING, State, StatusFile
from ensemake.metrics.read import Reader
from ensemake.results.outcomes import Outcome, failure_reason, outcomes
from ensemake.results.series import write_series
from ensemake.sweep.identity import canonical
from ensemake.sweep.tables import is_number, number_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TEXTS = ("member", "status", "reason", "run")


def write_members(work: Work) -> Path:
    """Write members.csv: index, member, replica, one column per parameter."""
    rows = (_identity(index, member) for index, member in enumerate(work.planned))
    return _write_table(work.base / work.layout.directory / "members.csv", _head(work), rows)


def write_results(work: Work, found: Sequence[Outcome] | None = None) -> tuple[Path, list[str]]:
    """Write results.csv: the members, what became of each, and their metrics; and the series.

    Parameters
    ----------
    work
        The members.
    found
        What became of them, if that was looked at already.

    Returns
    -------
    path, faults
        The table, and a line for every metric or curve that a completed member lacks.
    """
    found = outcomes(work) if found is None else found
    columns, rows, faults = results_table(work, found, write_series(work, found))
    path = _write_table(work.base / work.layout.directory / "results.csv", columns, rows)
    _note_collected(work, found, [fault.partition(": ")[2] for fault in faults])
    return path, faults


def results_table(
    work: Work,
    found: Sequence[Outcome] | None = None,
    lacks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[list[str], list[dict[str, Any]], list[str]]:
    """Return results.csv's columns and rows, with values as they are, and the metrics' faults.

    Parameters
    ----------
    lacks
        What else is wrong with members, by name.
    """
    faults: list[str] = []
    found = outcomes(work) if found is None else found
    with Reader(work.settings.metrics, work.base) as reader:
        rows = []
        for index, one in enumerate(found):
            values, absent = _metrics(work, one, reader)
            absent = [*absent, *lacks.get(one.member.name, ())]
            faults += [f"{one.member.directory}: {line}" for line in absent]
            rows.append(_result(index, one) | values | _reason(absent))
    return [*_head(work), *OUTCOME, *work.settings.metrics], rows, faults


def _metrics(work: Work, one: Outcome, reader: Reader) -> tuple[dict[str, Any], list[str]]:
    """Read the metrics of a member that has completed, or what there is of a running one's."""
    if not work.settings.metrics or one.state not in ("completed", "running"):
        return {}, []
    is_running = one.state == "running"
    values, absent = reader.read(work.base / one.member.directory, one.member.values, is_running)
    return values, [] if is_running else absent


def _reason(absent: Sequence[str]) -> dict[str, str]:
    return {"reason": "; ".join(absent)} if absent else {}


def members_digest(work: Work) -> str:
    """Return a hash of what members.csv says."""
    return _hash([[member.name, member.values] for member in work.planned])


def results_state(work: Work, found: Iterable[tuple[State, StatusFile | None]]) -> str:
    """Return a hash of all that decides what results.csv says."""
    metrics = {name: metric.model_dump() for name, metric in work.settings.metrics.items()}
    series = {name: one.model_dump() for name, one in work.settings.series.items()}
    ends = [(now, status and (status.started, status.elapsed_s)) for now, status in found]
    return _hash([metrics, _functions(work), series, members_digest(work), ends])


def _functions(work: Work) -> list[str]:
    """Return hashes of the files whose functions are metrics."""
    named = {(one.function or "").rpartition(":")[0] for one in work.settings.metrics.values()}
    paths = [work.base / file for file in sorted(named) if file.endswith(".py")]
    return [content_hash(path) for path in paths if path.is_file()]


def _note_collected(work: Work, found: Sequence[Outcome], lacks: Sequence[str]) -> None:
    state = results_state(work, ((one.state, one.status) for one in found))
    told = {"state": state, "lacks": Counter(lacks)}
    write_atomically(work.base / work.layout.collected, json.dumps(told).encode())


def _hash(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def _head(work: Work) -> list[str]:
    first = work.planned[0].values if work.planned else work.settings.params
    names = [name for name in first if name != "replica"]
    return [*IDENTITY, *names]


def _identity(index: int, member: Planned) -> dict[str, Any]:
    return {"index": index, "member": member.name, **member.values}


def _result(index: int, outcome: Outcome) -> dict[str, Any]:
    row = {**_identity(index, outcome.member), "status": outcome.state}
    row |= _status_cells(outcome.status)
    if outcome.state == "killed" and outcome.status is None:
        row["reason"] = MEANING["killed"]
    if outcome.needs:
        row |= {"exit_code": None, "elapsed_s": None, "reason": failure_reason(outcome), "run": ""}
    return row


def _status_cells(status: StatusFile | None) -> dict[str, Any]:
    if status is None:
        return {}
    return {
        "exit_code": status.exit_code,
        "elapsed_s": status.elapsed_s,
        "reason": status.reason,
        "run": status.run,
    }


def _write_table(path: Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())
    return path


def read_results(work: Work) -> "DataFrame":
    """Read results.csv back with the types it was written with.

    A CSV file holds no types: without the config, a text parameter such as ``01`` or ``nan``, or
    a member's name made of digits, would be read as a number.

    Returns
    -------
    pandas.DataFrame
        Parameters as in the config; counts that may be absent as ``Int64``.
    """
    import pandas  # half a second to import

    path = work.base / work.layout.directory / "results.csv"
    table = pandas.read_csv(path, dtype=str, keep_default_na=False)
    known = _known_types(work)
    for name in table:
        own = known.get(str(name))
        table[name] = metric_column(table[name]) if own is None else _typed(table[name], own)
    return table


def results_frame(work: Work) -> "DataFrame":
    """Return what results.csv would say, looked up now, with types."""
    import pandas  # half a second to import

    columns, rows, _ = results_table(work)
    frame = pandas.DataFrame(rows, columns=columns)
    for name in work.settings.metrics:
        frame[name] = metric_column([row.get(name) for row in rows])
    return frame


def metric_column(cells: "Sequence[Any] | Series[Any]") -> "Series[Any]":
    """Return a column of numbers, or of true and false, if all cells that are not empty are so.

    NaN and infinity are numbers, and true among numbers is 1; one text makes all cells text.
    """
    import pandas

    values = [typed_cell(cell) for cell in cells]
    numbers = [value for value in values if not isinstance(value, str | None)]
    has_gaps = None in values
    if not numbers or len(numbers) + values.count(None) < len(values):
        return pandas.Series(cells, dtype=object)
    kinds = set(map(type, numbers))
    if kinds == {bool}:
        return pandas.Series(values, dtype="boolean" if has_gaps else "bool")
    name = _whole(min(numbers), max(numbers)) if kinds <= {int, bool} else None
    if name:
        return pandas.Series(values, dtype=name if has_gaps else name.lower())
    return pandas.Series([_float(value) for value in values])


def _whole(least: float, most: float) -> Any:
    """Return the type of whole numbers that holds both; None if there is none."""
    if least >= -(2**63) and most < 2**63:
        return "Int64"
    return "UInt64" if least >= 0 and most < 2**64 else None


def typed_cell(cell: Any) -> Scalar | None:
    """Return a cell's number or truth, if it is one; None if it is empty."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, int | float) else None
    if re.fullmatch(r"[-+]?\d{1,400}", cell):
        return int(cell)
    if is_number(cell):
        return float(number_text(cell))
    return {"": None, "True": True, "False": False}.get(cell, cell)


def _float(value: Any) -> float:
    try:
        return nan if value is None else float(value)
    except OverflowError:  # a whole number beyond all floats
        return inf if value > 0 else -inf


def _known_types(work: Work) -> dict[str, set[type]]:
    names = _head(work)[3:]
    known: dict[str, set[type]] = {
        name: {type(member.values[name]) for member in work.planned} for name in names
    }
    known["elapsed_s"] = {float}
    known.update({name: {str} for name in TEXTS})
    known.update({name: {int} for name in ("index", "replica", "exit_code")})
    return known


def _typed(column: "Series[str]", types: set[type]) -> "Series[Any]":
    """Convert texts to a type."""
    import pandas

    if types == {bool}:
        return column == "True"
    if not types <= {int, float}:
        return column
    numbers = pandas.to_numeric(column.where(column != ""), errors="coerce")
    if types != {int}:
        return numbers
    name = "UInt64" if numbers.max() >= 2**63 else "Int64"
    kind: Any = name if numbers.isna().any() else name.lower()
    return numbers.astype(kind)


def write_parquet(work: Work) -> Path:
    """Write results.parquet from results.csv; needs pyarrow."""
    path = work.base / work.layout.directory / "results.parquet"
    read_results(work).to_parquet(path, index=False)
    return path
