"""Parameter spaces: what a config says about a parameter, turned into an axis of values.

Values are computed when they are asked for, in plain Python: NumPy's power functions differ in
the last digit between processors, and a member's id is a hash of its values.
"""

import difflib
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import overload

from ensemake.atomic import LARGEST, read_whole
from ensemake.config.reserved import COLUMNS
from ensemake.config.scalars import Scalar
from ensemake.sweep.tables import (
    Table,
    decoded,
    is_fortran,
    is_number,
    is_unicode,
    number_text,
    read_table,
    without_units,
)

Point = tuple[Scalar, ...]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({
    "and", "caller", "elif", "else", "false", "False", "if", "in", "is", "none", "None", "not",
    "or", "self", "super", "true", "True",
})  # fmt: skip
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)?(\.\d*)?([eE][-+]?\d+)?")
_EXACT = Context(prec=32)
_MOST = 10**8


@dataclass(frozen=True)
class Distribution:
    """A distribution to draw from: uniform, loguniform, normal or integers."""

    kind: str
    a: float
    b: float

    def quantile(self, u: float) -> Scalar:
        """Return the value below which a share `u` (0 < u < 1) of the draws lies."""
        return _QUANTILES[self.kind](self.a, self.b, u)

    @property
    def support(self) -> Sequence[Point] | None:
        """All values it can take, or None if these cannot be counted."""
        if self.kind != "integers":
            return None
        return _Computed(int(self.b) - int(self.a), partial(_stepped, int(self.a), 1))


@dataclass(frozen=True)
class Axis:
    """One or more parameters that vary together.

    Attributes
    ----------
    names
        The parameters.
    values
        The points of the axis, each a tuple aligned with `names`, or a distribution.
    log
        The values are spread evenly on a logarithmic scale.
    """

    names: tuple[str, ...]
    values: Sequence[Point] | Distribution
    log: bool = False

    @property
    def key(self) -> str:
        """The key of the axis as a config writes it: ``"LR"`` or ``"nx, ny"``."""
        return ", ".join(self.names)


def axis(key: str, spec: object, base: Path = Path()) -> Axis:
    """Return the axis that one entry of ``params`` describes.

    Parameters
    ----------
    key
        A parameter name, or several separated by commas.
    spec
        A scalar (a constant), a list, or a mapping with one key, the kind of space.
    base
        Directory that the path of a table is relative to.

    Raises
    ------
    ValueError
        The names or the values make no sense; the message says what to write instead.
    """
    names = _names(key)
    if isinstance(spec, Mapping):
        return _space(names, spec, base)
    if len(names) > 1:
        return Axis(names, _zipped(names, spec))
    if not isinstance(spec, list):
        return Axis(names, ((check_scalar(spec, key),),))
    if not spec:
        raise ValueError(f"{key}: the list is empty; give it at least one value")
    return Axis(names, [(check_scalar(value, f"{key}[{i}]"),) for i, value in enumerate(spec)])


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean X?)"``, or nothing if no known name is near."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


def check_name(name: str) -> str:
    """Return `name` if a parameter may be called so, else raise ValueError."""
    if name in _RESERVED:
        raise ValueError(f"{name}: this word has a meaning in Jinja2; choose another name")
    if name in COLUMNS:
        raise ValueError(f"{name}: ensemake's tables have a column {name!r}; choose another name")
    if _NAME.fullmatch(name):
        return name
    hint = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    instead = f"; write {hint}" if _NAME.fullmatch(hint) and hint not in _RESERVED else ""
    raise ValueError(
        f"{name!r} cannot name a parameter: use letters, digits and _, not a digit first{instead}"
    )


def check_scalar(value: object, where: str) -> Scalar:
    """Return `value` if it can be the value of a parameter, else raise ValueError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value} is not a number that can be swept")
    if isinstance(value, str):
        return _check_text(value, where)
    if isinstance(value, int | float):
        return value
    raise _unusable(value, where)


def _check_text(text: str, where: str) -> str:
    if "\0" in text:
        raise ValueError(f"{where}: {text!r} holds a NUL character, which no program can be given")
    if not is_unicode(text):
        raise ValueError(f"{where}: {text!r} holds half a character, which no file can hold")
    return text


def _unusable(value: object, where: str) -> ValueError:
    if value is None:
        return ValueError(f"{where}: a value is missing; write one, or quote it: 'null'")
    if isinstance(value, list | tuple | dict):
        return ValueError(
            f"{where}: expected text, a number or true/false, not a {type(value).__name__}; "
            f'to vary several parameters together write "nx, ny": [[64, 64], [128, 256]]'
        )
    return ValueError(
        f"{where}: expected text, a number or true/false, not {value} "
        f"({type(value).__name__}); quote it if it is text"
    )


def _names(key: str) -> tuple[str, ...]:
    names = tuple(check_name(name.strip()) for name in key.split(","))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{key}: {twice[0]} is named twice")
    return names


def _zipped(names: tuple[str, ...], spec: object) -> list[Point]:
    key, n = ", ".join(names), len(names)
    example = "[[" + ", ".join("1" * n) + "], [" + ", ".join("2" * n) + "]]"
    if not isinstance(spec, list) or not all(isinstance(row, list | tuple) for row in spec):
        raise ValueError(f'{key}: expected a list of lists of {n}, such as "{key}": {example}')
    if not spec:
        raise ValueError(f"{key}: the list is empty; give it at least one list of {n} values")
    for i, row in enumerate(spec):
        if len(row) != n:
            raise ValueError(f"{key}[{i}]: {len(row)} values for {n} parameters, in {list(row)}")
    return [
        tuple(check_scalar(value, f"{name}[{i}]") for name, value in zip(names, row, strict=True))
        for i, row in enumerate(spec)
    ]


def _space(names: tuple[str, ...], spec: Mapping[object, object], base: Path) -> Axis:
    key, known = ", ".join(names), [*_SPACES, "file"]
    if len(spec) != 1:
        raise ValueError(f"{key}: expected one of {', '.join(known)}, with nothing beside it")
    ((kind, items),) = spec.items()
    if kind not in known:
        near = nearest(str(kind), known)
        raise ValueError(f"{key}: unknown space {kind}{near}; known are {', '.join(known)}")
    if kind == "file":
        return _table(names, items, base)
    if len(names) > 1:
        raise ValueError(f"{key}: {kind} is for one parameter; write a list of lists, or file")
    where = f"{key}: {kind}"
    values = _SPACES[str(kind)](where, _numbers(str(kind), items, where))
    return Axis(names, values, log=kind in ("logspace", "geomspace", "loguniform"))


def _numbers(kind: str, items: object, where: str) -> list[float]:
    usages = _USAGE[kind]
    wanted = " or ".join(f"[{', '.join(usage.split())}]" for usage in usages)
    if not isinstance(items, list) or len(items) not in [len(u.split()) for u in usages]:
        raise ValueError(f"{where}: expected {wanted}, not {items!r}")
    numbers = [_of_fortran(check_scalar(value, where)) for value in items]
    for value in numbers:
        if isinstance(value, str | bool):
            raise ValueError(f"{where}: expected {wanted} in numbers, not {value!r}")
    return [value for value in numbers if not isinstance(value, str)]


def _of_fortran(value: Scalar) -> Scalar:
    is_number = isinstance(value, str) and is_fortran(value)
    return float(number_text(str(value))) if is_number else value


# The spaces. Each takes the place to name in a message, and the numbers of the config.


@dataclass(frozen=True)
class _Computed(Sequence[Point]):
    """`size` points of one value each, computed when asked for."""

    size: int
    value: Callable[[int], Scalar]

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | Sequence[Point]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.size))]
        if not -self.size <= index < self.size:
            raise IndexError(index)
        return (self.value(index % self.size),)


def _linspace(where: str, items: list[float]) -> Sequence[Point]:
    a, b, n = *_floats(where, items[:2]), _count(where, items[2])
    return _distinct(where, _Computed(n, partial(_linear, a, b, n)))


def _logspace(where: str, items: list[float]) -> Sequence[Point]:
    a, b, n = *_floats(where, items[:2]), _count(where, items[2])
    if not all(-307 <= exponent <= 308 for exponent in (a, b)):
        raise ValueError(
            f"{where}: the ends are exponents of 10, from -307 to 308; "
            f"to give the values themselves write geomspace: [{items[0]}, {items[1]}, {n}]"
        )
    ln10 = _EXACT.ln(Decimal(10))
    a_log, b_log = (_EXACT.multiply(Decimal(exponent), ln10) for exponent in (a, b))
    return _distinct(where, _Computed(n, partial(_exponential, a_log, b_log, n)))


def _geomspace(where: str, items: list[float]) -> Sequence[Point]:
    a, b, n = *_positive(where, items[:2]), _count(where, items[2])
    a_log, b_log = (_EXACT.ln(Decimal(end)) for end in (a, b))
    return _distinct(where, _Computed(n, partial(_exponential, a_log, b_log, n)))


def _arange(where: str, items: list[float]) -> Sequence[Point]:
    if all(isinstance(item, int) for item in items):
        return _range(where, items)
    a, b, step = _floats(where, items)
    if step == 0 or (b - a) / step <= 0:
        raise ValueError(f"{where}: no values from {a} to {b} in steps of {step}")
    if (b - a) / step > _MOST:
        raise ValueError(f"{where}: more than {_MOST} values; take a larger step, or uniform")
    # NumPy, too, takes as step the difference of the first two values
    return _distinct(
        where, _Computed(math.ceil((b - a) / step), partial(_stepped, a, (a + step) - a))
    )


def _range(where: str, items: list[float]) -> Sequence[Point]:
    if not all(isinstance(item, int) for item in items):
        raise ValueError(f"{where}: expected integers, not {items}; for others write arange")
    a, b, step = (int(item) for item in [*items, 1][:3])
    if step == 0 or not range(a, b, step):
        raise ValueError(f"{where}: no values from {a} to {b} (not included) in steps of {step}")
    return _Computed(_few(where, -((a - b) // step)), partial(_stepped, a, step))


def _uniform(where: str, items: list[float]) -> Distribution:
    lo, hi = _ordered(where, _floats(where, items))
    return Distribution("uniform", lo, hi)


def _loguniform(where: str, items: list[float]) -> Distribution:
    lo, hi = _ordered(where, _positive(where, items))
    return Distribution("loguniform", lo, hi)


def _normal(where: str, items: list[float]) -> Distribution:
    mean, sd = _floats(where, items)
    if sd <= 0:
        raise ValueError(f"{where}: the standard deviation must be above 0, not {sd}")
    return Distribution("normal", mean, sd)


def _integers(where: str, items: list[float]) -> Distribution:
    if not all(isinstance(item, int) for item in items):
        raise ValueError(f"{where}: expected integers, not {items}; for others write uniform")
    lo, hi = _ordered(where, items)
    _few(where, int(hi) - int(lo))
    return Distribution("integers", lo, hi)


_SPACES: dict[str, Callable[[str, list[float]], Sequence[Point] | Distribution]] = {
    "linspace": _linspace,
    "logspace": _logspace,
    "geomspace": _geomspace,
    "arange": _arange,
    "range": _range,
    "uniform": _uniform,
    "loguniform": _loguniform,
    "normal": _normal,
    "integers": _integers,
}
_USAGE = {
    "linspace": ["first last how_many"],
    "logspace": ["first_exponent last_exponent how_many"],
    "geomspace": ["first last how_many"],
    "arange": ["first end step"],
    "range": ["first end", "first end step"],
    "uniform": ["low high"],
    "loguniform": ["low high"],
    "normal": ["mean standard_deviation"],
    "integers": ["low high"],
}


def _floats(where: str, items: Sequence[float]) -> list[float]:
    try:
        floats = [float(item) for item in items]
    except OverflowError:
        raise ValueError(f"{where}: a number of {items} is too large") from None
    if not math.isfinite(floats[1] - floats[0]):
        raise ValueError(f"{where}: {items[0]} and {items[1]} are too far apart")
    return floats


def _positive(where: str, items: Sequence[float]) -> list[float]:
    if min(items) <= 0:
        raise ValueError(f"{where}: both ends must be above 0, not {items[0]} and {items[1]}")
    return _floats(where, items)


def _ordered(where: str, ends: list[float]) -> list[float]:
    if ends[0] >= ends[1]:
        raise ValueError(f"{where}: the upper end {ends[1]} must be above the lower {ends[0]}")
    return ends


def _count(where: str, n: float) -> int:
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"{where}: the number of values must be an integer from 1, not {n}")
    if n > _MOST:
        raise ValueError(f"{where}: {n} values are more than {_MOST}; write uniform, or fewer")
    return n


def _few(where: str, n: int) -> int:
    if n > sys.maxsize:
        raise ValueError(f"{where}: {n} values are more than Python can count")
    return n


def _distinct(where: str, values: _Computed) -> _Computed:
    """Steps too small for a float repeat a value, first of all at the ends."""
    n = len(values)
    if n > 1 and (values[0] == values[1] or values[-1] == values[-2]):
        raise ValueError(
            f"{where}: two of the {n} values are equal, {values[0][0]!r}; move the ends apart, "
            f"or use replicas to run the same parameters several times"
        )
    return values


# How a value is computed: each formula gives the same digits on every machine.


def _stepped(a: float, step: float, i: int) -> float:
    return a + i * step


def _linear(a: float, b: float, n: int, i: int) -> float:
    if i == n - 1 and n > 1:
        return b
    return i * ((b - a) / max(n - 1, 1)) + a


def _exponential(a_log: Decimal, b_log: Decimal, n: int, i: int) -> float:
    share = _EXACT.divide(Decimal(i), Decimal(max(n - 1, 1)))
    return _exp_between(a_log, b_log, share)


def _exp_between(a_log: Decimal, b_log: Decimal, share: Decimal) -> float:
    distance = _EXACT.multiply(share, _EXACT.subtract(b_log, a_log))
    return float(_EXACT.exp(_EXACT.add(a_log, distance)))


def _uniform_quantile(lo: float, hi: float, u: float) -> float:
    return min(lo + u * (hi - lo), hi)


def _loguniform_quantile(lo: float, hi: float, u: float) -> float:
    lo_log, hi_log = (_EXACT.ln(Decimal(end)) for end in (lo, hi))
    return _exp_between(lo_log, hi_log, Decimal(u))


def _normal_quantile(mean: float, sd: float, u: float) -> float:
    # the mathematics libraries of two machines may disagree beyond 12 digits
    return mean + sd * float(f"{NormalDist().inv_cdf(u):.12g}")


def _integers_quantile(lo: float, hi: float, u: float) -> int:
    return int(lo) + pick(int(hi) - int(lo), u)


_QUANTILES: dict[str, Callable[[float, float, float], Scalar]] = {
    "uniform": _uniform_quantile,
    "loguniform": _loguniform_quantile,
    "normal": _normal_quantile,
    "integers": _integers_quantile,
}


def pick(n: int, u: float) -> int:
    """Return floor(u * n), exactly, for 0 <= u < 1."""
    numerator, denominator = u.as_integer_ratio()
    return numerator * n // denominator


# Tables.


def _table(names: tuple[str, ...], path: object, base: Path) -> Axis:
    where = f"{', '.join(names)}: file"
    if not isinstance(path, str) or not path:
        raise ValueError(f"{where}: expected the path of a CSV table, not {path!r}")
    table = _read_rows(base / path, f"{where}: {path}")
    header = [name for name in table.columns if name]
    if not set(names) & set(header) and len(names) == 1:
        names = tuple(header)
        _check_columns(header, f"{where}: {path}")
    for name in names:
        if name not in header:
            near = nearest(name, header)
            raise ValueError(f"{where}: {path} has no column {name}{near}; it has {header}")
    columns = [_column(table, name, f"{where}: {path}") for name in names]
    return Axis(names, list(zip(*columns, strict=True)))


def _read_rows(path: Path, where: str) -> Table:
    try:
        table = read_table(decoded(read_whole(path, LARGEST)))
        rows = [(line, table.cells(i)) for i, (line, _) in enumerate(table.rows)]
        _check_comments(table)
    except UnicodeError as error:
        raise ValueError(f"{where}: cannot be read as a CSV table in UTF-8: {error}") from None
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{where}: cannot be read as a CSV table: {error}") from None
    if not rows:
        raise ValueError(f"{where}: expected a line of column names and at least one row")
    _check_units(table, where)
    return replace(table, rows=rows)


def _check_comments(table: Table) -> None:
    """``#ff0000,1`` may be a row that begins with a colour; ``#64,128`` one that is left out."""
    for line, text in table.comments:
        if text[1:2].strip() and text.count(table.delimiter) == len(table.columns) - 1:
            raise ValueError(
                f"line {line}: {text!r} is a comment, or a value? Put a blank after #, or "
                f"the value into quotes"
            )


def _check_units(table: Table, where: str) -> None:
    """One word above numbers may be a value like them; a line of words is what they measure."""
    if len(without_units(table).rows) < len(table.rows):
        line, cells = table.rows[0]
        if len(cells) > 1:
            raise ValueError(f"{where}: line {line} holds units, not values; begin it with '# '")


def _check_columns(header: list[str], where: str) -> None:
    for name in header:
        try:
            check_name(name)
        except ValueError as error:
            hint = "; separate columns by commas" if len(header) == 1 else ""
            raise ValueError(f"{where}: column {error}{hint}") from None


def _column(table: Table, name: str, where: str) -> list[Scalar]:
    """Type each cell by itself: a new row must not change the type, and the id, of the others."""
    try:
        place = table.position(name)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    words = [(line, cells[place].strip()) for line, cells in table.rows]
    values = [_cell(cells[place], f"{where}, line {line}") for line, cells in table.rows]
    texts = [word for (_, word), value in zip(words, values, strict=True) if isinstance(value, str)]
    is_text = any(not _is_no_value(word) for word in texts)
    for line, word in words:
        if not word or not (is_text or not _is_no_value(word) or _may_be_text(word, values)):
            told = f"{word or 'an empty cell'} is not a value that can be swept"
            raise ValueError(f"{where}, line {line}, column {name}: {told}; leave out the row")
    return values


def _is_no_value(word: str) -> bool:
    return word.lower() in ("null", "na") or (
        is_number(word) and not math.isfinite(float(number_text(word)))
    )


def _may_be_text(word: str, values: Sequence[Scalar]) -> bool:
    """Without numbers beside it, ``Na`` is sodium and ``12e4567`` a name, ``nan`` no number."""
    has_numbers = any(not isinstance(value, str) for value in values)
    return not has_numbers and (word.lower() == "na" or word[-1].isdigit())


def _cell(text: str, where: str) -> Scalar:
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    # 007 stays text: a number would lose its zeros
    if not _NUMBER.fullmatch(word) or not re.search(r"\d", re.split("[eE]", word)[0]):
        return check_scalar(text, where)
    if re.fullmatch(r"[-+]?\d+", word):
        return int(word) if len(word) <= 4000 else text  # Python converts no more digits
    return float(word) if math.isfinite(float(word)) else text
