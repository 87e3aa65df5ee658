"""What members take from the members of other entities: points of their spaces, and inputs."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Protocol

from pydantic import ValidationError

from ensemake.config.faults import KeyedError, did_you_mean
from ensemake.config.inputs import Choice, Input
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Model
from ensemake.sweep.spaces import Axis, check_name

Taken = tuple[tuple[str, tuple[int, ...]], ...]  # entity, positions of those of its members
SHOWN = 5  # members or values that a message names


class Named(Protocol):
    """What is asked of a member of another entity."""

    @property
    def name(self) -> str: ...
    @property
    def values(self) -> Mapping[str, Scalar]: ...


@dataclass(frozen=True)
class Others:
    """Members of another entity; ``derived`` are their values that are no parameters."""

    members: Sequence[Named]
    derived: Collection[str] = ()

    @cached_property
    def params(self) -> list[str]:
        """The names of their parameters."""
        values = self.members[0].values if self.members else {}
        return [name for name in values if name not in self.derived and name != "replica"]


@dataclass(frozen=True)
class Intake:
    """Members of another entity, and which of them a member takes.

    Attributes
    ----------
    entity, settings
        The other's name, and what the config says of the input.
    others
        Its members.
    by_replica
        Both have several replicas: the same is taken.
    link
        The parameter that names a member of the other, if one does: that very member is taken.
    """

    entity: str
    settings: Input
    others: Others
    by_replica: bool = False
    link: str | None = None
    _indexes: dict[tuple[str, ...], dict[Any, tuple[int, ...]]] = field(default_factory=dict)

    @property
    def members(self) -> Sequence[Named]:
        """The members of the other."""
        return self.others.members

    @property
    def is_one(self) -> bool:
        """Whether a member takes from one member alone."""
        return self.settings.members == "one"

    def positions(self, params: Mapping[str, Scalar], replica: int) -> tuple[int, ...]:
        """Return the positions of the members that the member with these parameters takes.

        Raises
        ------
        KeyedError
            If there is none, or more than the one that is wanted.
        """
        if self.link is not None:
            found = self._named.get(str(params[self.link]), ())
        elif self.is_one and len(self.members) == 1 and self.settings.match is None:
            found = (0,)
        else:
            names = self._shared(params)
            found = self._index(names).get(self._key(names, params, replica), ())
        if len(found) == 1 or (found and not self.is_one):
            return found
        raise KeyedError(("inputs", self.entity), self._fault(params, found))

    def _shared(self, params: Mapping[str, Scalar]) -> tuple[str, ...]:
        theirs = self.others.params
        for name in self.settings.match or ():
            for whose, known in (("this", params), (self.entity, theirs)):
                if name not in known:
                    message = f"{whose} has no parameter {name!r}{did_you_mean(name, known)}"
                    raise KeyedError(("inputs", self.entity, "match"), message)
        if self.settings.match is not None:
            return tuple(self.settings.match)
        return tuple(name for name in params if name in theirs)

    @cached_property
    def _named(self) -> dict[str, tuple[int, ...]]:
        return {member.name: (place,) for place, member in enumerate(self.members)}

    def _index(self, names: tuple[str, ...]) -> dict[Any, tuple[int, ...]]:
        if names not in self._indexes:
            index: dict[Any, list[int]] = {}
            for place, member in enumerate(self.members):
                key = self._key(names, member.values, int(member.values["replica"]))
                index.setdefault(key, []).append(place)
            self._indexes[names] = {key: tuple(places) for key, places in index.items()}
        return self._indexes[names]

    def _key(self, names: tuple[str, ...], params: Mapping[str, Scalar], replica: int) -> Any:
        """1 and 1.0 are equal; true is not 1."""
        values = [params[name] for name in names]
        kinds = [isinstance(value, bool) for value in values]
        return (*values, *kinds, replica if self.by_replica else 0)

    def _fault(self, params: Mapping[str, Scalar], found: Sequence[int]) -> str:
        names = self._shared(params)
        wanted = ", ".join(f"{name}={params[name]!r}" for name in names)
        if not found:
            there = "; ".join(_values(name, self.members) for name in names)
            remedy = "name those that must be equal (match: [NAME]), or mend the values"
            count = f"none of the {len(self.members)} members of {self.entity}"
            return f"{count} has {wanted or 'such values'}; there {there}; {remedy}"
        some = [self.members[place].name for place in found[:SHOWN]]
        listed = ", ".join(some) + " ..." * (len(found) > SHOWN)
        which = f"with {wanted} " if wanted else ""
        return (
            f"{len(found)} members of {self.entity} {which}could be meant ({listed}); "
            "if all are, write members: all"
        )


def _values(name: str, members: Iterable[Named]) -> str:
    values = list(dict.fromkeys(repr(member.values[name]) for member in members))
    more = " ..." * (len(values) > SHOWN)
    return f"{name} is {', '.join(values[:SHOWN])}{more}"


@dataclass(frozen=True)
class TrialIntake(Intake):
    """Takes the first member, whatever the parameters: to try what is written with it."""

    def positions(self, params: Mapping[str, Scalar], replica: int) -> tuple[int, ...]:
        """Return the first position."""
        return (0,)


@dataclass(frozen=True)
class Upstream:
    """What an entity takes from others: members by parameter key, and its inputs."""

    points: Mapping[str, Others] = field(default_factory=dict)
    sources: Sequence[Intake] = ()


NOTHING = Upstream()


def choice_of(key: str, spec: object) -> Choice | None:
    """Return what a parameter's entry says, if its points are the members of another entity.

    Raises
    ------
    ValueError
        If it says so in a wrong way.
    """
    if not isinstance(spec, Mapping) or "members" not in spec:
        return None
    try:
        choice = Choice.model_validate(spec)
    except ValidationError as error:
        raise ValueError(f"{key}: {_told(error.errors()[0])}") from None
    if choice.per and choice.first is None:
        raise ValueError(f"{key}: per says for what `first` counts; write first: N, too")
    if choice.descending and choice.sort_by is None:
        raise ValueError(f"{key}: descending says how `sort_by` sorts; write sort_by: NAME, too")
    check_name(key)
    return choice


def _told(item: Any) -> str:
    word = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        known = list(Choice.model_fields)
        near = did_you_mean(word, known)
        return f"unknown key {word!r} beside members{near or '; known are ' + ', '.join(known)}"
    return f"{word}: {item['msg'][0].lower()}{item['msg'][1:]}"


def choices(entity: Model) -> dict[str, Choice]:
    """Return the parameters of an entity whose points are members of others."""
    found = {key: choice_of(key, spec) for key, spec in entity.params.items()}
    return {key: choice for key, choice in found.items() if choice is not None}


def takes_from(entity: Model) -> list[str]:
    """Return the names of the entities that one takes from."""
    named = [choice.members for choice in choices(entity).values()]
    return list(dict.fromkeys([*named, *entity.inputs]))


def axis_of_members(key: str, others: Others, own: Iterable[str]) -> Axis:
    """Return the axis of members: their parameters together, and their names under its key.

    Parameters
    ----------
    own
        Parameters that the config gives values of their own.
    """
    given = {name.strip() for other in own for name in other.split(",")}
    names = [name for name in others.params if name not in given]
    points = [(*(m.values[name] for name in names), m.name) for m in others.members]
    return Axis((*names, key), points)


@cache
def variable(entity: str) -> str:
    """Return how formulas and templates call an entity: ``Training-Ensemble`` has no dash there."""
    name = re.sub(r"\W", "_", entity, flags=re.ASCII)
    return f"_{name}" if name[0].isdigit() else name
