"""Curves of members, read from their files: of one that grows, only what is new."""

import os
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from ensemake.atomic import open_regular
from ensemake.config.metric import Series
from ensemake.metrics import arrays
from ensemake.metrics.columns import WARNING, Column, is_head, table_of
from ensemake.metrics.curve import Curve, Curves, ReadPlace
from ensemake.metrics.left import JsonLines, Left, read_json
from ensemake.metrics.numbers import as_float
from ensemake.metrics.read import fault_in, storable, value_at
from ensemake.metrics.texts import Patience, group_of, matches
from ensemake.sweep.tables import Table, decoded, is_number

SIGN = 64  # bytes by which a file is known again
BLOCK = 16 << 20  # bytes that are read at a time
LINES = (".jsonl", ".ndjson", ".jsonlines")

# Whether the curve begins anew, the cells of its index and those of its values.
Cells = tuple[Sequence[Any] | None, Sequence[Any]]
Found = tuple[bool, Sequence[Any] | None, Sequence[Any]]


class CurveReader:
    """Reads the curves of members, one after another.

    Parameters
    ----------
    series
        By name.
    most
        Points of a curve that are kept.
    """

    def __init__(self, series: Mapping[str, Series], most: int) -> None:
        self._series, self._most = series, most
        self._patience = Patience()

    def read(self, known: Curves, directory: Path, is_running: bool) -> None:
        """Add what the member's files have more than last time.

        Parameters
        ----------
        known
            What was read before.
        directory
            The member's.
        is_running
            Whether it may still be writing: then a line without an end does not count yet.
        """
        for name, one in self._series.items():
            curve = known.curves.setdefault(name, Curve())
            place = known.places.setdefault(name, ReadPlace())
            read = self._anew if _is_anew(one) else self._on
            try:
                told = read(curve, place, directory, one, is_running)
            except (OSError, ValueError, RecursionError) as error:
                known.curves[name], known.places[name], told = Curve(), ReadPlace(), error
            if told is not None:
                known.faults[name] = storable(f"series {name}: {fault_in(one, told)}")
            elif not curve.count:
                known.faults.pop(name, None)

    def _anew(
        self, curve: Curve, place: ReadPlace, directory: Path, one: Series, is_running: bool
    ) -> Exception | None:
        """Read a file that only makes sense as a whole, if it has changed."""
        about = (directory / one.file).stat()
        stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
        if stamp == place.stamp:
            return None
        index, value = _whole(Left(directory, is_running), one, self._patience)
        place.stamp = stamp
        return self._add(curve, (True, index, value))

    def _on(
        self, curve: Curve, place: ReadPlace, directory: Path, one: Series, is_running: bool
    ) -> Exception | None:
        """Read on in a file that grows at its end."""
        told: Exception | None = None
        with open(open_regular(directory / one.file), "rb") as file:
            sign = file.read(SIGN).hex()
            size = os.fstat(file.fileno()).st_size
            if size < place.offset or not sign.startswith(place.sign):  # another file
                place.offset, place.head = 0, ""
                _forget(curve)
            place.sign = sign
            file.seek(place.offset)
            while block := _block(file, is_running):
                found = _more(_text(block), one, place, self._patience)
                if found is None:  # too little to know what it is
                    break
                place.offset += len(block)
                told = self._add(curve, found) or told
        return told

    def _add(self, curve: Curve, found: Found) -> Exception | None:
        """Add points; return what is wrong with one of them, which is NaN then."""
        is_new, index, value = found
        if is_new:
            _forget(curve)
        told: list[Exception] = []
        values = _numbers(value, "point", curve.count, told)
        points = None if index is None else _numbers(index, "index of point", curve.count, told)
        curve.add(points, values, self._most)
        return told[0] if told else None


def _forget(curve: Curve) -> None:
    curve.index, curve.value, curve.count, curve.stride, curve.last = [], [], 0, 1, None


def _numbers(cells: Sequence[Any], what: str, first: int, told: list[Exception]) -> list[float]:
    found = []
    for place, cell in enumerate(cells, first):
        try:
            found.append(as_float(cell))
        except (ValueError, OverflowError) as error:
            told.append(ValueError(f"{what} {place}: {error}"))
            found.append(nan)
    return found


def _block(file: Any, is_running: bool) -> bytes:
    """Return the next lines; of the last one only what has an end, if more may come."""
    block: bytes = file.read(BLOCK)
    block += file.readline() if len(block) == BLOCK else b""
    return block[: block.rfind(b"\n") + 1] if is_running else block


def _text(block: bytes) -> str:
    return decoded(block, "replace").replace("\r\n", "\n").replace("\r", "\n")


def _is_lines(one: Series) -> bool:
    return Path(one.file).suffix in LINES


def _is_anew(one: Series) -> bool:
    if Path(one.file).suffix == ".gz" or one.variable is not None:
        return True
    return one.key is not None and not _is_lines(one)


# ---- what a file says more ----


def _more(text: str, one: Series, place: ReadPlace, patience: Patience) -> Found | None:
    if one.regex is not None:
        return (False, *_matched(text, one, patience))
    if one.key is not None:
        return (False, *_keyed([read_json(line) for line in text.split("\n") if line.strip()], one))
    return _logged(text, one, place) if one.table is not None else _tabled(text, one, place)


def _matched(text: str, one: Series, patience: Patience) -> Cells:
    found = list(matches(str(one.regex), text, patience))
    if one.index is None:
        return None, [group_of(match, text) for match in found]
    if found and one.index not in found[0].re.groupindex:
        raise ValueError(f"{one.regex!r} has no group (?P<{one.index}>...)")
    index = [group_of(match, text, one.index) for match in found]
    group = 2 if found and found[0].re.groupindex[str(one.index)] == 1 else 1
    if found and found[0].re.groups < group:
        raise ValueError(f"{one.regex!r} has no group but that of the index")
    return index, [group_of(match, text, group) for match in found]


def _keyed(lines: Sequence[Any], one: Series) -> Cells:
    """Return the values of the lines that have one, and their index."""
    pairs = [(value_at(line, str(one.index)), value_at(line, str(one.key))) for line in lines]
    kept = [(x, y) for x, y in pairs if y is not None]
    return None if one.index is None else [x for x, _ in kept], [y for _, y in kept]


def _tabled(text: str, one: Series, place: ReadPlace) -> Found | None:
    """Read rows, below the table's beginning, which says what their columns are."""
    table = table_of(place.head + text, one)
    if not place.head:
        if not table.rows or not any(map(is_number, table.rows[0][1])):  # may be units
            return None
        place.head = "\n".join(text.split("\n")[: table.rows[0][0]]) + "\n"
        return (False, *_cells(table, one))
    old = len(_cells(table_of(place.head, one), one)[1])
    index, value = _cells(table, one)
    return False, None if index is None else index[old:], value[old:]


def _logged(text: str, one: Series, place: ReadPlace) -> Found:
    """Read on in the table of a log, or begin with a new one."""
    text = "\n".join(line for line in text.split("\n") if not WARNING.match(line))
    try:
        table, is_new = table_of(text, one), True
    except ValueError:
        if not place.head:
            return False, None, []
        text = place.head + text
        table, is_new = table_of(text, one), False
    lines = text.rstrip("\n").split("\n")
    goes_on = table.rows[-1][0] == len(lines) if table.rows else is_head(lines[-1], str(one.table))
    place.head = " ".join(table.columns) + ("\n" if goes_on else "\nhas ended\n")
    return (is_new, *_cells(table, one))


def _cells(table: Table, one: Series) -> Cells:
    assert one.column is not None
    index = None if one.index is None else Column(table, one.index)
    return index, Column(table, one.column)


# ---- files that are read as a whole ----


def _whole(left: Left, one: Series, patience: Patience) -> Cells:
    if one.variable is not None:
        return _variables(left, one)
    if one.key is None:
        found = _more(left.whole(one.file), one, ReadPlace(), patience)
        return found[1:] if found else (None, [])
    data = left.json(one.file)
    if isinstance(data, JsonLines) or _is_lines(one):
        return _keyed(data if isinstance(data, JsonLines) else [data], one)
    index = None if one.index is None else _list(data, str(one.index))
    return index, _list(data, str(one.key))


def _list(data: Any, key: str) -> list[Any]:
    found = value_at(data, key)
    if not isinstance(found, list):
        raise ValueError(f"{key!r} is no list" if found is not None else f"no key {key!r}")
    return found


def _variables(left: Left, one: Series) -> Cells:
    index = None if one.index is None else _line(left, one.file, str(one.index))
    return index, _line(left, one.file, str(one.variable))


def _line(left: Left, file: str, name: str) -> list[Any]:
    values = arrays.read_variable(left.directory / file, name)
    if values.ndim != 1:
        raise ValueError(f"{name!r} has {values.ndim} dimensions, a curve has one")
    found: list[Any] = values.tolist()
    return found
