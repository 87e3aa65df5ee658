"""Numbers in what programs write, and one value of many."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from ensemake.config.metric import Metric
from ensemake.sweep.tables import is_number, number_text

MANTISSA = r"(?:\d+\.?\d*|\.\d+)"
NEXT = re.compile(
    rf"(?<![\w.])(?:[-+]?{MANTISSA}(?:[eEdDqQ][-+]?\d+|[-+]\d{{3}}(?!\d))?"
    r"|[-+]?(?:nan|inf(?:inity)?)(?!\w)|\*{2,})",
    re.IGNORECASE,
)
WIDE = re.compile(r"\s*\*{2,}\s*")
WHOLE = re.compile(r"[-+]?\d{1,4000}")


def number(cell: Any) -> float:
    """Return a number, whole ones as such; raise ValueError if it is none."""
    if isinstance(cell, int | float):
        return cell
    word = str(cell).strip()
    check_width(word)
    if not is_number(word):
        raise ValueError(f"{word[:80]!r} is no number" if word else "there is no value")
    return int(word) if WHOLE.fullmatch(word) else float(number_text(word))


def as_float(cell: Any) -> float:
    """Return a number as float; quickly, if it is written as most are."""
    if isinstance(cell, str) and "_" not in cell:
        try:
            return float(cell)
        except ValueError:
            pass
    return float(number(cell))


def check_width(word: str) -> None:
    """Fortran writes asterisks for a number that its format has no room for."""
    if WIDE.fullmatch(word):
        raise ValueError(f"{word.strip()!r} stands for a number that did not fit its format")


def pick_value(cells: Sequence[Any], metric: Metric, what: str = "row") -> Any:
    """Return the one that a metric asks for, or what it makes of many."""
    if metric.reduce is not None:
        return _reduced(cells[range_of(metric.rows)], metric.reduce, what)
    if not -len(cells) <= metric.row < len(cells):
        raise ValueError(f"no {what} {metric.row}, it has {len(cells)}")
    return cells[metric.row]


def range_of(rows: str | None) -> slice:
    """Return the slice that a text such as ``-50:`` means."""
    begin, _, end = (rows or ":").partition(":")
    return slice(int(begin) if begin else None, int(end) if end else None)


def _reduced(cells: Sequence[Any], how: str, what: str) -> Any:
    if how == "count":
        return len(cells)
    if not cells:
        raise ValueError(f"there are no {what}s to reduce")
    if how in ("first", "last"):
        return cells[0 if how == "first" else -1]
    return _REDUCE[how]([_number_of(cell, place, what) for place, cell in enumerate(cells)])


def _number_of(cell: Any, place: int, what: str) -> float:
    try:
        return number(cell)
    except ValueError as error:
        raise ValueError(f"{what} {place} of those to reduce: {error}") from None


def _numpy(name: str) -> Callable[[Sequence[float]], float]:
    def compute(values: Sequence[float]) -> float:
        import numpy  # a tenth of a second to import

        with numpy.errstate(all="ignore"):
            return float(getattr(numpy, name)(numpy.asarray(values, float)))

    return compute


def _extreme(choose: Callable[[Sequence[float]], float]) -> Callable[[Sequence[float]], float]:
    def compute(values: Sequence[float]) -> float:
        return next((value for value in values if value != value), None) or choose(values)

    return compute


_REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": _numpy("mean"),
    "std": _numpy("std"),
    "median": _numpy("median"),
    "min": _extreme(min),
    "max": _extreme(max),
    "sum": sum,
}
