"""Metrics: one value each from the files a member left behind.

Whatever is wrong with what a program left is the reason for that cell and never costs the table.
"""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ensemake.config.metric import Metric
from ensemake.metrics import arrays
from ensemake.metrics.columns import Column, table_of
from ensemake.metrics.functions import Caller
from ensemake.metrics.left import JsonLines, Left
from ensemake.metrics.numbers import check_width, pick_value, range_of
from ensemake.metrics.texts import Patience, group_of, matches, numbers_after
from ensemake.sweep.tables import is_number, is_unicode, number_text

LONGEST = 10_000  # characters of a value


class Reader:
    """Reads the metrics of the members of a table; to be used in a ``with``.

    Parameters
    ----------
    metrics
        By name.
    base
        The working directory, where functions are looked for.
    """

    def __init__(self, metrics: Mapping[str, Metric], base: Path = Path()) -> None:
        self._metrics = metrics
        self._patience = Patience()
        self._caller = Caller(base, self._patience)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._caller.close()

    def read(
        self, directory: Path, known: Mapping[str, Any] | None = None, is_running: bool = False
    ) -> tuple[dict[str, Any], list[str]]:
        """Read all metrics of a member.

        Parameters
        ----------
        directory
            The member's.
        known
            Its parameters and their like, which functions are given.
        is_running
            Whether it may still be writing.

        Returns
        -------
        values, faults
            The values found, by name, and a line for each that was not.
        """
        values: dict[str, Any] = {}
        faults = []
        left = Left(directory, is_running)
        for name, metric in self._metrics.items():
            try:
                values[name] = _checked(self._value(left, metric, known or {}))
            except (OSError, ValueError, RecursionError) as error:
                faults.append(storable(f"metric {name}: {fault_in(metric, error)}"))
        return values, faults

    def _value(self, left: Left, metric: Metric, known: Mapping[str, Any]) -> Any:
        if metric.function is not None:
            return self._caller.call(metric.function, left.directory, known)
        kind = next(kind for kind in _READERS if getattr(metric, kind) is not None)
        return _READERS[kind](left, metric, self._patience)


def fault_in(section: Any, error: Exception) -> str:
    """Say what is wrong with a file, in words."""
    file = section.file
    if file is None:
        return f"{section.function}: {error}"
    if isinstance(error, FileNotFoundError):
        return f"no file {file}"
    return f"{file}: {getattr(error, 'strerror', None) or error}"


def _of_key(left: Left, metric: Metric, patience: Patience) -> Any:
    value, key = left.json(str(metric.file)), str(metric.key)
    if isinstance(value, JsonLines):
        found = [one for line in value if (one := value_at(line, key)) is not None]
        if not found:
            raise ValueError(f"no key {key!r}")
        return pick_value(list(map(_single(key), found)), metric, "line")
    found = value_at(value, key)
    if isinstance(found, list) and (metric.reduce or metric.row != -1):
        return pick_value(found, metric, "item")
    if found is None:
        is_null = value_at(value, key, missing=...) is None
        raise ValueError(f"{key!r} is null" if is_null else f"no key {key!r}")
    return pick_value([_single(key)(found)], metric, "item")


def value_at(value: Any, key: str, missing: Any = None) -> Any:
    """Return what a dotted key leads to."""
    if isinstance(value, dict) and key in value:  # a key that holds dots
        return value[key]
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return missing
    return value


def _single(key: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, dict | list):
            hint = "; give row, or reduce" * isinstance(value, list)
            raise ValueError(f"{key!r} is not a single value{hint}")
        return value

    return check


def _of_regex(left: Left, metric: Metric, patience: Patience) -> Any:
    text, pattern = left.end(str(metric.file)), str(metric.regex)
    most = 1 if (metric.row, metric.reduce) == (-1, None) else None
    found = list(deque(matches(pattern, text, patience), most))
    if not found and metric.reduce != "count":
        raise ValueError(f"nothing matches {pattern!r}")
    if metric.reduce == "count":
        return pick_value(found, metric)
    if metric.reduce:
        return pick_value([group_of(one, text) for one in found], metric, "match")
    return group_of(pick_value(found, metric, "match"), text)


def _of_words(left: Left, metric: Metric, patience: Patience) -> Any:
    most = 1 if (metric.row, metric.reduce) == (-1, None) else 0
    found = numbers_after(left.end(str(metric.file)), str(metric.after), most)
    return pick_value(found, metric, "number")


def _of_column(left: Left, metric: Metric, patience: Patience) -> Any:
    form = (metric.delimiter, str(metric.comment), metric.skip, metric.table)
    read = left.end if metric.table else left.whole
    table = left.once((metric.file, form), lambda: table_of(read(str(metric.file)), metric))
    assert metric.column is not None
    return pick_value(Column(table, metric.column), metric)


def _of_variable(left: Left, metric: Metric, patience: Patience) -> Any:
    rows = range_of(metric.rows) if metric.reduce else metric.row
    path = left.directory / str(metric.file)
    values = arrays.read_variable(path, str(metric.variable), rows)
    if metric.reduce is None:
        if values.size != 1:
            raise ValueError(f"its rows are of shape {values.shape}; give reduce")
        return values.item()
    every = metric.model_copy(update={"rows": None})
    return pick_value(values.ravel().tolist(), every, "value")


_READERS: dict[str, Callable[[Left, Metric, Patience], Any]] = {
    "key": _of_key,
    "regex": _of_regex,
    "after": _of_words,
    "column": _of_column,
    "variable": _of_variable,
}


def _checked(value: Any) -> Any:
    if value is None:
        raise ValueError("the value is null")
    if not isinstance(value, str):
        return value
    word = value.strip()
    if not word:
        raise ValueError("the value is empty")
    if len(value) > LONGEST:
        raise ValueError(f"the value has {len(value)} characters, more than {LONGEST}")
    check_width(word)
    return number_text(word) if is_number(word) else storable(value)


def storable(text: str) -> str:
    """Leave out what a table cannot hold: NUL, and half a character, which JSON may have."""
    text = text.replace("\0", "\ufffd")
    return text if is_unicode(text) else text.encode(errors="replace").decode()
