"""Strategies: which members an ensemble has.

Each gives a sequence that knows its length and builds member i when asked, without the others.
What is drawn at random depends on hashes alone, so it is the same on every machine.
"""

import importlib
import inspect
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from ensemake.config.scalars import Scalar
from ensemake.sweep.spaces import (
    Axis,
    Distribution,
    Point,
    check_name,
    check_scalar,
    nearest,
    pick,
)

Combination = dict[str, Scalar]
_Build = Callable[[list[Axis], str, int | None, int], "Combinations"]

_ROUNDS = 8
_SOBOL_MOST = 21201  # dimensions that SciPy has numbers for
_SAMPLING = "random, latin_hypercube or sobol"


@dataclass(frozen=True, eq=False)
class Combinations(Sequence[Combination]):
    """`size` members, each built when asked for."""

    size: int
    member: Callable[[int], Combination]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Combination:  # type: ignore[override]
        if not isinstance(index, int):
            raise TypeError(f"members are asked for one by one, not by {index}")
        if not -self.size <= index < self.size:
            raise IndexError(f"there is no member {index} of {self.size}")
        return self.member(index % self.size)

    def __iter__(self) -> Iterator[Combination]:
        return map(self.member, range(self.size))


def combinations(
    axes: list[Axis], strategy: str, n_models: int | None, seed: int, base: Path
) -> Combinations:
    """Return the members of an ensemble.

    Parameters
    ----------
    axes
        The parameters, in the order of the config.
    strategy
        all_perm, step, random, latin_hypercube, sobol, ``FILE.py:FUNC`` or ``pkg.mod:FUNC``.
    n_models
        How many members; for strategies that sample, and callables with three arguments.
    seed
        Same seed, same members.
    base
        Directory that `FILE.py` is relative to and `pkg` is looked for in.

    Raises
    ------
    ValueError
        Axes, strategy and `n_models` do not fit each other, or a callable is at fault.
    """
    _check_names(axes)
    _check_n_models(n_models)
    if ":" in strategy:
        return _from_callable(axes, strategy, n_models, base)
    if strategy not in _STRATEGIES:
        raise ValueError(
            f"unknown strategy {strategy}{nearest(strategy, _STRATEGIES)}; known are "
            f"{', '.join(_STRATEGIES)}, FILE.py:FUNCTION and package.module:FUNCTION"
        )
    return _STRATEGIES[strategy](axes, strategy, n_models, seed)


# Strategies that take what is there.


def _all_perm(axes: list[Axis], strategy: str, n_models: int | None, seed: int) -> Combinations:
    columns = _columns(axes, strategy, n_models)
    _check_repeats(axes)
    size = math.prod(size for _, _, size in columns)
    if size > sys.maxsize:
        raise ValueError(f"all_perm: {size:.0e} members; to run some of them use random")
    return Combinations(size, partial(_of_product, columns))


def _step(axes: list[Axis], strategy: str, n_models: int | None, seed: int) -> Combinations:
    columns = _columns(axes, strategy, n_models)
    lengths = {axis.key: size for axis, (_, _, size) in zip(axes, columns, strict=True)}
    if len({length for length in lengths.values() if length > 1}) > 1:
        listed = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ValueError(f"step: the lists must have the same length (or one value), but {listed}")
    return Combinations(max(lengths.values(), default=1), partial(_of_zip, columns))


# A column is what an axis becomes once its values are known to be countable.
_Column = tuple[tuple[str, ...], Sequence[Point], int]


def _columns(axes: list[Axis], strategy: str, n_models: int | None = None) -> list[_Column]:
    if n_models is not None:
        raise ValueError(
            f"n_models: {strategy} takes all there is and samples nothing; "
            f"leave n_models out, or use {_SAMPLING}"
        )
    return [
        (axis.names, values, len(values)) for axis in axes for values in [_list(axis, strategy)]
    ]


def _list(axis: Axis, strategy: str) -> Sequence[Point]:
    if isinstance(axis.values, Distribution):
        raise ValueError(
            f"{axis.key}: {strategy} cannot draw from {axis.values.kind}; "
            f"use {_SAMPLING}, or list the values"
        )
    return axis.values


def _of_product(columns: list[_Column], index: int) -> Combination:
    points = []
    for names, values, size in reversed(columns):
        index, i = divmod(index, size)
        points.append((names, values[i]))
    return _member(reversed(points))


def _of_zip(columns: list[_Column], index: int) -> Combination:
    return _member((names, values[index if size > 1 else 0]) for names, values, size in columns)


def _member(points: Any) -> Combination:
    member: Combination = {}
    for names, point in points:
        member.update(zip(names, point, strict=True))
    return member


# Strategies that sample. The axes are sorted by name: the order of the config changes nothing.


def _random(axes: list[Axis], strategy: str, n_models: int | None, seed: int) -> Combinations:
    n = _required(strategy, n_models)
    _check_repeats(axes)
    columns = _countable(_sorted(axes))
    if columns is None:
        return Combinations(n, partial(_independent, axes, seed))
    size = math.prod(size for _, _, size in columns)
    _check_size(strategy, n, size)
    draw = partial(_drawn, [axis.names for axis in axes], columns, size, seed)
    return Combinations(n, draw)


def _drawn(
    names: list[tuple[str, ...]], columns: list[_Column], size: int, seed: int, index: int
) -> Combination:
    member = _of_product(columns, permuted(index, size, seed))
    return {name: member[name] for together in names for name in together}


def _independent(axes: list[Axis], seed: int, index: int) -> Combination:
    """Draw each axis by itself: with a continuous one among them no member comes twice."""
    return _member(
        (axis.names, _at(axis, uniform(f"{seed} {index} {_sort_key(axis)}"))) for axis in axes
    )


def _quasi(axes: list[Axis], strategy: str, n_models: int | None, seed: int) -> Combinations:
    n = _required(strategy, n_models)
    _check_repeats(axes)
    columns = _countable(axes)
    if columns is not None:
        _check_size(strategy, n, math.prod(size for _, _, size in columns))
    varied = [axis for axis in _sorted(axes) if not _is_constant(axis)]
    if strategy == "sobol" and len(varied) > _SOBOL_MOST:
        raise ValueError(
            f"sobol: {len(varied)} parameters vary, and it knows {_SOBOL_MOST} dimensions; "
            f"use latin_hypercube"
        )
    dimensions = {axis.names: i for i, axis in enumerate(varied)}
    sample = cache(partial(_SAMPLERS[strategy], n, len(varied), seed))
    return Combinations(n, partial(_of_sample, axes, dimensions, sample))


def _of_sample(
    axes: list[Axis],
    dimensions: Mapping[tuple[str, ...], int],
    sample: Callable[[], Any],
    index: int,
) -> Combination:
    row = sample()[index].tolist() if dimensions else []
    # a sample may be 0 or 1, and an unbounded distribution has no value there
    inside = [min(max(u, 2.0**-54), 1 - 2.0**-53) for u in row]
    return _member(
        (axis.names, _at(axis, inside[dimensions[axis.names]] if axis.names in dimensions else 0.5))
        for axis in axes
    )


# SciPy is imported when the first member is asked for: that alone takes a second.


def _latin_hypercube(n: int, dimensions: int, seed: int) -> Any:
    from scipy.stats import qmc

    return qmc.LatinHypercube(dimensions, rng=seed % 2**64).random(n)


def _sobol(n: int, dimensions: int, seed: int) -> Any:
    from scipy.stats import qmc

    with warnings.catch_warnings():
        # any number of members is fine, powers of two are only better balanced
        warnings.filterwarnings("ignore", message=".*balance properties", category=UserWarning)
        return qmc.Sobol(dimensions, rng=seed % 2**64).random(n)


_STRATEGIES: dict[str, _Build] = {
    "all_perm": _all_perm,
    "step": _step,
    "random": _random,
    "latin_hypercube": _quasi,
    "sobol": _quasi,
}
_SAMPLERS: dict[str, Callable[[int, int, int], Any]] = {
    "latin_hypercube": _latin_hypercube,
    "sobol": _sobol,
}


def _required(strategy: str, n_models: int | None) -> int:
    if n_models is None:
        raise ValueError(f"{strategy} needs n_models: how many members to draw")
    return n_models


def _check_size(strategy: str, n: int, size: int) -> None:
    if n > size:
        raise ValueError(
            f"n_models: {n} is more than the {size} combinations there are for {strategy}; "
            f"lower it, or use all_perm to take them all"
        )


def _sort_key(axis: Axis) -> str:
    return ",".join(sorted(axis.names))


def _sorted(axes: list[Axis]) -> list[Axis]:
    return sorted(axes, key=_sort_key)


def _is_constant(axis: Axis) -> bool:
    return not isinstance(axis.values, Distribution) and len(axis.values) == 1


def _countable(axes: list[Axis]) -> list[_Column] | None:
    """Return the columns, or None if one of the axes is continuous."""
    columns: list[_Column] = []
    for axis in axes:
        values = axis.values
        points = values.support if isinstance(values, Distribution) else values
        if points is None:
            return None
        columns.append((axis.names, points, len(points)))
    return columns


def _at(axis: Axis, u: float) -> Point:
    if isinstance(axis.values, Distribution):
        return (axis.values.quantile(u),)
    return axis.values[pick(len(axis.values), u)]


def uniform(key: str) -> float:
    """Return a number in (0, 1) that is a function of `key` alone."""
    bits = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") >> 12
    return (bits + 0.5) / 2**52  # 52 bits and a half are exact, and never 0 or 1


def permuted(index: int, size: int, seed: int) -> int:
    """Return where a seeded permutation of ``range(size)`` takes `index`.

    A Feistel network on pairs (left, right); those that number more than `size` are walked
    through until one is inside, which keeps it a permutation.
    """
    n_left = math.isqrt(size - 1) + 1
    n_right = -(-size // n_left)
    state = blake2b(f"ensemake random 1 {seed} {size}".encode(), digest_size=32)
    while True:
        index = _feistel(index, n_left, n_right, state)
        if index < size:
            return index


def _feistel(index: int, n_left: int, n_right: int, state: Any) -> int:
    left, right = divmod(index, n_right)
    for number in range(0, _ROUNDS, 2):
        left = (left + _hash(state, number, right)) % n_left
        right = (right + _hash(state, number + 1, left)) % n_right
    return left * n_right + right


def _hash(state: Any, number: int, half: int) -> int:
    state = state.copy()
    state.update(b" %d %d" % (number, half))
    return int.from_bytes(state.digest(), "big")


# Strategies that the user wrote.


def _from_callable(
    axes: list[Axis], strategy: str, n_models: int | None, base: Path
) -> Combinations:
    with _on_path(base):
        members = call_strategy(load_function(strategy, base), axes, strategy, n_models)
    return Combinations(len(members), lambda index: dict(members[index]))


def call_strategy(
    function: Callable[..., Any], axes: list[Axis], strategy: str, n_models: int | None
) -> list[Combination]:
    """Return the members that a function of the user's makes; `strategy` is its name in messages.

    Raises
    ------
    ValueError
        It takes other arguments, it fails, or what it returns is no list of parameters.
    """
    arguments: list[Any] = [
        [axis.key for axis in axes],
        [_plain(axis, _list(axis, strategy)) for axis in axes],
    ]
    if _takes(function, strategy, n_models) == 3:
        arguments.append(n_models)
    with _in_the_users_code(strategy):
        rows = function(*arguments)
    return _checked(strategy, rows, {axis.key: axis.names for axis in axes})


def _plain(axis: Axis, values: Sequence[Point]) -> list[Any]:
    return [value[0] for value in values] if len(axis.names) == 1 else list(values)


def load_function(strategy: str, base: Path) -> Callable[..., Any]:
    """Return a function of the user's, ``FILE.py:FUNC`` or ``pkg.mod:FUNC``.

    Raises
    ------
    ValueError
        There is none, or its file cannot be run.
    """
    source, _, name = strategy.rpartition(":")
    if not source or not name:
        raise ValueError(f"{strategy}: write FILE.py:FUNCTION or package.module:FUNCTION")
    module = _from_file(strategy, base / source) if source.endswith(".py") else None
    found = vars(module or _from_module(strategy, source))
    if name not in found:
        raise ValueError(f"{strategy}: there is no {name} in {source}{nearest(name, found)}")
    if not callable(found[name]):
        raise ValueError(f"{strategy}: {name} is no function but a {type(found[name]).__name__}")
    function: Callable[..., Any] = found[name]
    return function


def _from_file(strategy: str, path: Path) -> ModuleType:
    """Run the file itself: an import would leave, or trust, compiled code beside it."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{strategy}: cannot read {path}: {error.strerror}") from None
    module = ModuleType(f"ensemake_strategy_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    with _on_path(path.parent), _in_the_users_code(strategy):
        exec(compile(source, str(path), "exec"), vars(module))
    return module


def _from_module(strategy: str, name: str) -> ModuleType:
    with _in_the_users_code(strategy):
        try:
            importlib.invalidate_caches()
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                raise _UserError(
                    f"{strategy}: there is no module {name} in the working directory "
                    f"or among the installed packages; for a file write FILE.py:FUNCTION"
                ) from None
            raise


def _takes(function: Callable[..., Any], strategy: str, n_models: int | None) -> int:
    """Return whether a callable takes names and values (2) or n_models too (3)."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return 2  # some of those written in C tell nothing
    if _binds(signature, 3):
        return 3
    if not _binds(signature, 2):
        raise ValueError(
            f"{strategy} must take (names, values) or (names, values, n_models), not {signature}"
        )
    if n_models is not None:
        raise ValueError(
            f"n_models: {strategy} takes only (names, values); "
            f"leave n_models out, or add it as third argument"
        )
    return 2


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    entry = str(folder.absolute())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


class _UserError(ValueError):
    """A fault that has been put into words already."""


@contextmanager
def _in_the_users_code(strategy: str) -> Iterator[None]:
    """Say what the user's code raised, and where."""
    try:
        yield
    except _UserError:
        raise
    except (Exception, SystemExit) as error:
        place = _place(error)
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"{strategy} raised {type(error).__name__}: {reason}{place}") from None


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno} of {error.filename})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    if not frames:
        return ""
    # the last line of the user's own file, even if it failed deep in a library
    own = [frame for frame in frames if frame.filename == frames[0].filename][-1]
    return f" (line {own.lineno} of {own.filename})"


def _checked(
    strategy: str, rows: object, zipped: Mapping[str, tuple[str, ...]]
) -> list[Combination]:
    if not isinstance(rows, list):
        raise ValueError(
            f"{strategy} must return a list of dicts, not a {type(rows).__name__}"
            f"{'; write list(...)' if isinstance(rows, Iterator | tuple) else ''}"
        )
    if not rows:
        raise ValueError(f"{strategy} returned an empty list: there is nothing to run")
    members = [_checked_row(f"{strategy}, item {i}", row, zipped) for i, row in enumerate(rows)]
    for i, member in enumerate(members):
        if member.keys() != members[0].keys():
            raise ValueError(
                f"{strategy}: item {i} has the parameters {', '.join(member)} "
                f"but item 0 has {', '.join(members[0])}"
            )
    return members


def _checked_row(where: str, row: object, zipped: Mapping[str, tuple[str, ...]]) -> Combination:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected a dict of parameters, not a {type(row).__name__}")
    member: Combination = {}
    for key, value in row.items():
        names = zipped.get(key, (key,)) if isinstance(key, str) else (key,)
        for name, item in zip(names, _items(f"{where}: {key}", names, value), strict=True):
            if name in member:
                raise ValueError(f"{where}: {name} is given twice")
            member[_checked_name(where, name)] = check_scalar(_python(item), f"{where}: {name}")
    if not member:
        raise ValueError(f"{where}: the dict has no parameters")
    return member


def _checked_name(where: str, name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"{where}: {name!r} cannot name a parameter, only text can")
    try:
        return check_name(name)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _items(where: str, names: tuple[Any, ...], value: Any) -> Sequence[Any]:
    if len(names) == 1:
        return (value,)
    if not isinstance(value, list | tuple) or len(value) != len(names):
        raise ValueError(f"{where}: expected a tuple of {len(names)} values, not {value!r}")
    return value


def _python(value: Any) -> Any:
    """Turn a NumPy number into a plain one, without importing NumPy."""
    is_numpy = type(value).__module__.partition(".")[0] == "numpy"
    return value.item() if is_numpy and getattr(value, "shape", None) == () else value


# What must hold for all strategies.


def _check_names(axes: list[Axis]) -> None:
    seen: dict[str, str] = {}
    for axis in axes:
        for name in axis.names:
            if name in seen:
                raise ValueError(f"{name} is given by both {seen[name]!r} and {axis.key!r}")
            seen[name] = axis.key


def _check_n_models(n_models: int | None) -> None:
    if n_models is None:
        return
    if not isinstance(n_models, int) or isinstance(n_models, bool) or n_models < 1:
        raise ValueError(f"n_models: expected a number of members from 1, not {n_models!r}")


def _check_repeats(axes: list[Axis]) -> None:
    """A value listed twice makes equal members, except under step."""
    for axis in axes:
        if not isinstance(axis.values, list):
            continue  # computed values were checked when the space was made
        seen = set()
        for i, point in enumerate(axis.values):
            # 1, 1.0 and true are equal in Python but make different members
            typed = tuple((type(value), value) for value in point)
            if typed in seen:
                value = point[0] if len(point) == 1 else list(point)
                raise ValueError(
                    f"{axis.key}[{i}]: {value!r} is listed twice; remove one, "
                    f"or use replicas to run the same parameters several times"
                )
            seen.add(typed)
