"""From an ensemble's config to its members: a sequence that makes member i when asked for it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from ensemake.config.faults import KeyedError, KeyPath, did_you_mean
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Ensemble, Model
from ensemake.sweep import strategies
from ensemake.sweep.bounds import MOST_BITS
from ensemake.sweep.expressions import Expression, expression
from ensemake.sweep.identity import member_id
from ensemake.sweep.spaces import Axis, Distribution, axis, check_scalar
from ensemake.sweep.upstream import NOTHING, Taken, Upstream, axis_of_members, variable

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
LONGEST = 200
PARAMETERS = 50  # of each member, as far as there are as many members as may be
REPEATED = re.compile(r"(.+)\1{19}$")


@dataclass(frozen=True, slots=True)
class Member:
    """One run of an ensemble.

    ``params`` (swept and constant) decide the id; ``derived`` follow from them.
    """

    index: int
    name: str
    replica: int
    params: dict[str, Scalar]
    derived: dict[str, Scalar]
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()  # entity, positions of its members

    @property
    def values(self) -> dict[str, Scalar]:
        """All that a template may use: parameters, derived ones, ``replica``."""
        return {**self.params, **self.derived, "replica": self.replica}


class Members(Sequence[Member]):
    """The members of an ensemble, in the order of its strategy, replicas together.

    Parameters
    ----------
    name
        Name of the ensemble.
    ensemble
        Its config.
    base
        Folder that relative paths (tables, strategy files) start from.
    upstream
        Members of others that are points of its spaces, or inputs.

    Raises
    ------
    ValueError
        If a space or the strategy cannot be used.
    """

    def __init__(
        self, name: str, ensemble: Ensemble, base: Path, upstream: Upstream = NOTHING
    ) -> None:
        self.name = name
        self.ensemble = ensemble
        self.axes = axes(ensemble, base, upstream)
        self.sources = upstream.sources
        self._sets = strategies.combinations(
            self.axes, ensemble.perm_strategy, ensemble.n_models, ensemble.seed, base
        )
        self._derived = {key: expression(text) for key, text in ensemble.derived.items()}
        self._has_formulas = bool(self._derived or ensemble.where)

    def __len__(self) -> int:
        if self.ensemble.where is None:
            return self.drawn
        return len(self._kept)

    @property
    def drawn(self) -> int:
        """Number of members before ``where``."""
        return self._sets.size * self.ensemble.replicas

    @property
    def first(self) -> Member | None:
        """The first member, found without the others; None if ``where`` keeps none."""
        if self.ensemble.where is None:
            return self[0]
        condition = expression(self.ensemble.where)
        drawn = next((n for n in range(self.drawn) if self._holds(condition, n)), None)
        return None if drawn is None else self._member(0, drawn)

    def check_size(self, most: int) -> None:
        """Raise KeyedError if there are more than so many, before anything is made of them."""
        axes = sum(len(axis.names) for axis in self.axes)
        if self.drawn > most:
            told = f"{self.drawn:,} members"
        elif self.drawn * axes > most * PARAMETERS:
            told = f"{self.drawn:,} members of {axes:,} parameters"
        else:
            return
        sizes = f" ({self._sizes()})" if self._sizes() else ""
        remedy = f"if that is meant, raise max_members (now {most:,}) at the top of the config"
        raise KeyedError(("params",), f"{told}{sizes} are more than can be; {remedy}")

    def _sizes(self) -> str:
        """Return how the number of members comes about, as a product."""
        sizes = [
            f"{len(axis.values):,} {axis.key}"
            for axis in self.axes
            if not isinstance(axis.values, Distribution) and len(axis.values) > 1
        ]
        if self.ensemble.replicas > 1:
            sizes.append(f"{self.ensemble.replicas:,} replicas")
        is_product = self.ensemble.perm_strategy == "all_perm" and len(sizes) <= 8
        return " x ".join(sizes) if is_product else ""

    @overload
    def __getitem__(self, index: int) -> Member: ...
    @overload
    def __getitem__(self, index: slice) -> list[Member]: ...
    def __getitem__(self, index: int | slice) -> Member | list[Member]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        return self._member(
            position, position if self.ensemble.where is None else self._kept[position]
        )

    def _member(self, position: int, drawn: int) -> Member:
        params, replica, derived, inputs = self._values(drawn)
        name = self._name(position, params, replica)
        return Member(position, name, replica, params, derived, inputs)

    def __iter__(self) -> Iterator[Member]:
        return (self[i] for i in range(len(self)))

    def _name(self, position: int, params: dict[str, Scalar], replica: int) -> str:
        if self.ensemble.naming == "index":
            return f"{self.name}_{position}"
        if self.ensemble.naming == "hash":
            return member_id(params, replica)
        return _named_by(self.ensemble.naming, params, replica)

    def _values(self, drawn: int) -> tuple[dict[str, Scalar], int, dict[str, Scalar], Taken]:
        which, replica = divmod(drawn, self.ensemble.replicas)
        params = self._sets[which]
        taken = tuple((s.entity, s.positions(params, replica)) for s in self.sources)
        return params, replica, self._derive(params, replica, self._known(taken)), taken

    def _known(self, taken: Taken) -> dict[str, Any]:
        """Return the values of the members that are inputs, as formulas know them."""
        if not self._has_formulas:
            return {}
        both = zip(self.sources, taken, strict=True)
        return {
            variable(source.entity): source.members[found[0]].values
            for source, (_, found) in both
            if source.is_one
        }

    def _derive(
        self, params: dict[str, Scalar], replica: int, known: Mapping[str, Any]
    ) -> dict[str, Scalar]:
        derived: dict[str, Scalar] = {}
        for key, formula in self._derived.items():
            values = {**params, **derived, "replica": replica}
            with _at(("derived", key), values):
                derived[key] = _scalar(formula.evaluate({**known, **values}))
        return derived

    @cached_property
    def _kept(self) -> list[int]:
        condition = expression(self.ensemble.where or "true")
        return [drawn for drawn in range(self.drawn) if self._holds(condition, drawn)]

    def _holds(self, condition: Expression, drawn: int) -> bool:
        params, replica, derived, taken = self._values(drawn)
        values = {**params, **derived, "replica": replica}
        with _at(("where",), values):
            return bool(condition.evaluate({**self._known(taken), **values}))


def _named_by(key: str, params: Mapping[str, Scalar], replica: int) -> str:
    if key not in params:
        message = f"expected hash, index or a parameter, got {key!r}{did_you_mean(key, params)}"
        raise KeyedError(("naming",), message)
    name = f"{params[key]}_{replica}" if replica else str(params[key])
    if NAME.fullmatch(name) and len(name) <= LONGEST and not REPEATED.search(name):
        return name
    message = f"{key}={params[key]!r} names no folder; use letters, digits and . _ - only"
    if len(name) > LONGEST:
        message = f"{key}: a value of {len(name)} characters; a folder's name has at most {LONGEST}"
    elif NAME.fullmatch(name):  # Snakemake takes it for a rule that calls itself
        message = f"{key}={params[key]!r} repeats itself 20 times, which Snakemake does not allow"
    raise KeyedError(("naming",), message)


@contextmanager
def _at(path: KeyPath, values: Mapping[str, Scalar]) -> Iterator[None]:
    """Say of which key, and of which member, a formula cannot be computed."""
    try:
        yield
    except ValueError as error:
        member = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise KeyedError(path, f"{error}, for {member}") from None


def _scalar(value: Any) -> Scalar:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError(f"is a number of some {value.bit_length() * 3 // 10:,} digits")
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        return value
    if isinstance(value, str):
        return str(check_scalar(value, "it"))
    raise ValueError(f"is {value!r}; it must be a finite number, text, or true or false")


def axes(ensemble: Model, base: Path, upstream: Upstream = NOTHING) -> list[Axis]:
    """Return the spaces of all parameters, in the order of the config."""
    points, own = upstream.points, ensemble.params
    return [
        axis_of_members(key, points[key], own) if key in points else axis(key, spec, base)
        for key, spec in own.items()
    ]


def expand(name: str, entity: Model, base: Path, upstream: Upstream = NOTHING) -> Members:
    """Return the members of an ensemble, or the one of a model."""
    if isinstance(entity, Ensemble):
        return Members(name, entity, base, upstream)
    fields = {key: getattr(entity, key) for key in Model.model_fields}
    return Members(name, Ensemble.model_construct(**fields), base, upstream)


def duplicates(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (first, second) positions of every name that stands twice."""
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if first.setdefault(name, position) != position:
            yield first[name], position
