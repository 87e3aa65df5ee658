"""Metrics: one value each from the files a member left behind.

What a program leaves may be anything. Whatever is wrong with it is the reason for that cell and
never costs the table: only regular files are read, of limited size, for a limited time.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import regex

from ensemake.atomic import LARGEST, read_end, read_whole
from ensemake.config.metric import Metric
from ensemake.sweep.tables import (
    Table,
    decoded,
    is_number,
    is_unicode,
    number_text,
    read_table,
    without_units,
)

LONGEST = 10_000  # characters of a value
SEARCH_S = 20.0  # for a regular expression in one file
# How a number goes on before and after a part of it that has a point, or has none.
BEFORE = re.compile(r"(\d|(^|[^\w.])\.|[\d.][eEdD][-+]?|(^|[\s=:(])[-+])\Z")
BEFORE_WHOLE = re.compile(rf"{BEFORE.pattern}|\d\.\Z")
AFTER = re.compile(r"\d|[eEdD][-+]?\d|[-+]\d{3}(?!\d)")  # Fortran writes 0.1234-101
AFTER_WHOLE = re.compile(r"\d|\.\d|\.?[eEdD][-+]?\d")


class Patience:
    """How long each regular expression may still search; one that hangs hangs for all members."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}

    def last_match(self, pattern: str, text: str) -> "regex.Match[str] | None":
        """Return the last match; raise ValueError if that takes too long."""
        seconds = self._left.get(pattern, SEARCH_S)
        try:
            found = regex.finditer(pattern, text, regex.MULTILINE, timeout=seconds)
            last = deque(found, maxlen=1)
        except TimeoutError:
            self._left[pattern] = max(0.1, seconds / 2)
            told = f"{pattern!r} searched for {seconds:g} s, which is too long; write it simpler"
            raise ValueError(told) from None
        return last[0] if last else None


class _Left:
    """What a member left: each file is read once for all metrics, and what is wrong with it too."""

    def __init__(self, directory: Path, patience: Patience) -> None:
        self._directory = directory
        self._patience = patience
        self._known: dict[tuple[str, Callable[[Path], Any]], Any] = {}

    def value(self, metric: Metric) -> Any:
        if metric.key is not None:
            return _from_json(self._read(metric.file, _json), metric.key)
        if metric.regex is not None:
            return self._from_text(self._read(metric.file, _text), metric.regex)
        return _from_table(self._read(metric.file, _table), str(metric.column), metric.row)

    def _read(self, file: str, reader: Callable[[Path], Any]) -> Any:
        if (file, reader) not in self._known:
            self._known[file, reader] = _attempt(reader, self._directory / file)
        found = self._known[file, reader]
        if isinstance(found, Exception):
            raise found
        return found

    def _from_text(self, text: str, pattern: str) -> str:
        found = self._patience.last_match(pattern, text)
        if found is None:
            raise ValueError(f"nothing matches {pattern!r}")
        group = found.re.groups and 1
        if found[group] is None:
            raise ValueError(f"group 1 of {pattern!r} has no part in its last match, {found[0]!r}")
        _check_whole(text, *found.span(group))
        return str(found[group])


def read_metrics(
    directory: Path, metrics: Mapping[str, Metric], patience: Patience | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Read all metrics of a member.

    Parameters
    ----------
    directory
        The member's.
    metrics
        By name.
    patience
        Shared by the members of a table.

    Returns
    -------
    values, faults
        The values found, by name, and a line for each that was not.
    """
    values: dict[str, Any] = {}
    faults = []
    left = _Left(directory, patience or Patience())
    for name, metric in metrics.items():
        try:
            values[name] = _checked(left.value(metric))
        except FileNotFoundError:
            faults.append(f"metric {name}: no file {metric.file}")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            faults.append(_printable(f"metric {name}: {metric.file}: {reason}"))
    return values, faults


# ---- files ----


def _attempt(reader: Callable[[Path], Any], path: Path) -> Any:
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        return error
    except RecursionError:
        return ValueError("is nested too deep to be read")


def _json(path: Path) -> Any:
    text = decoded(read_whole(path, LARGEST), "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python converts no more digits
        raise ValueError("holds a whole number of more than 4300 digits") from None


def _table(path: Path) -> Table:
    return read_table(decoded(read_whole(path, LARGEST), "replace"))


def _text(path: Path) -> str:
    """Return a file's text; of a large one the end, from a new line on: the last match counts."""
    data, is_whole = read_end(path, LARGEST)
    text = decoded(data if is_whole else data.partition(b"\n")[2], "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# ---- values ----


def _from_json(value: Any, key: str) -> Any:
    if isinstance(value, dict) and key in value:  # a key that holds dots
        return _single(value[key], key)
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"no key {key!r}") from None
    return _single(value, key)


def _single(value: Any, key: str) -> Any:
    if isinstance(value, dict | list):
        raise ValueError(f"{key!r} is not a single value")
    if value is None:
        raise ValueError(f"{key!r} is null")
    return value


def _from_table(table: Table, column: str, row: int) -> str:
    table = without_units(table)
    if not -len(table.rows) <= row < len(table.rows):
        raise ValueError(f"no row {row}, it has {len(table.rows)}")
    place = table.position(column)
    return table.cells(row)[place].strip()


def _check_whole(text: str, begin: int, end: int) -> None:
    """A number whose exponent or first digits were left out is off by powers of ten."""
    group = text[begin:end].strip()
    if not is_number(group) or not re.search(r"\d", group):
        return
    before = "" if text[begin].isspace() else text[max(0, begin - 8) : begin].rpartition("\n")[2]
    after = "" if text[end - 1].isspace() else text[end : end + 8]
    has_point = "." in group
    is_begun = (BEFORE if has_point else BEFORE_WHOLE).search(before)
    if is_begun and group[0] in "+-":
        is_begun = re.search(r"[eEdD]\Z", before)  # 10-5 is no number, 1e-5 is
    if is_begun or (AFTER if has_point else AFTER_WHOLE).match(after):
        number = re.split(r"\s", before)[-1] + group + re.split(r"\s", after)[0]
        told = f"{group!r} is cut out of the number {number!r}"
        raise ValueError(rf"{told}; match it whole, as with (\S+)")


def _checked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    word = value.strip()
    if not word:
        raise ValueError("the value is empty")
    if len(value) > LONGEST:
        raise ValueError(f"the value has {len(value)} characters, more than {LONGEST}")
    return number_text(word) if is_number(word) else _printable(value)


def _printable(text: str) -> str:
    """Leave out what a table cannot hold: NUL, and half a character, which JSON may have."""
    text = text.replace("\0", "\ufffd")
    return text if is_unicode(text) else text.encode(errors="replace").decode()
