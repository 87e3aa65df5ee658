"""Faults of what entities take from each other."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from ensemake.config.faults import KeyPath, Problem, did_you_mean
from ensemake.config.inputs import Choice
from ensemake.config.reserved import COLUMNS
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Config, Model
from ensemake.member.layout import OWN
from ensemake.member.taking import named_files
from ensemake.sweep.expressions import expression
from ensemake.sweep.upstream import choice_of


def graph_problems(config: Config, name: str) -> Iterator[Problem]:
    """Yield what is wrong with whom an entity takes from: nobody, itself, a circle."""
    for path, other in _references(config.entities[name]):
        if other not in config.entities:
            hint = did_you_mean(other, config.entities)
            yield path, f"there is no model or ensemble {other!r}{hint}"
        elif other == name:
            yield path, "takes from itself; name another entity"
        elif way := _way(config, other, name):
            told = " takes from ".join([name, *way])
            yield path, f"goes round in a circle: {told}; leave one of them out"


def same_job_problems(config: Config, name: str) -> Iterator[Problem]:
    """Yield what is wrong with running the members of an entity in the jobs of another."""
    entity, path = config.entities[name], ("batch_settings", "with")
    other = entity.batch_settings.with_ if entity.batch_settings else None
    if other is None:
        return
    if other not in entity.inputs:
        yield path, f"{other!r} is no input; name one of those that it takes from"
        return
    if entity.inputs[other].members != "one":
        yield path, f"gathers all of {other}; only what takes from one member can run with it"
    if config.entities[other].batch_settings is None:
        yield path, f"{other} has no batch_settings: its members have a job each"
    for between in sources_of(config, name):
        if between != other and _way(config, between, other):
            yield (
                path,
                f"takes from {between} too, which needs the end of {other}; leave out `with`",
            )


def _references(entity: Model) -> Iterator[tuple[KeyPath, str]]:
    for key, spec in entity.params.items():
        try:
            choice = choice_of(key, spec)
        except ValueError:  # told where the parameters are checked
            continue
        if choice is not None:
            yield ("params", key, "members"), choice.members
    for other in entity.inputs:
        yield ("inputs", other), other


def sources_of(config: Config, name: str) -> list[str]:
    """Return whom an entity takes from, as far as that can be said."""
    known = [other for _, other in _references(config.entities[name])]
    return [other for other in dict.fromkeys(known) if other in config.entities]


def _way(config: Config, start: str, end: str) -> list[str]:
    """Return the entities on the way from one that takes to one that is taken from."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop()
        if way[-1] == end:
            return way
        for other in sources_of(config, way[-1]):
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def choice_problems(
    key: str, choice: Choice, other: Model, params: Iterable[str]
) -> Iterator[Problem]:
    """Yield what is wrong with how members are chosen: columns that the other does not have."""
    path: KeyPath = ("params", key)
    columns = [*params, *other.derived, *other.metrics, *sorted(COLUMNS)]
    names = [(("sort_by",), choice.sort_by)] if choice.sort_by else []
    if choice.where is not None:
        try:
            names += [(("where",), name) for name in sorted(expression(choice.where).names)]
        except ValueError as error:
            yield (*path, "where"), str(error)
    for where, name in names:
        if name not in columns:
            hint = did_you_mean(str(name), columns)
            yield (*path, *where), f"{choice.members} has no column {name!r}{hint}"
    for item, name in enumerate(choice.per):
        if name not in params:
            hint = did_you_mean(name, params)
            yield (*path, "per", item), f"{choice.members} has no parameter {name!r}{hint}"


def input_problems(
    entity: Model,
    others: Mapping[str, tuple[Model, Mapping[str, Scalar]]],
    written: Collection[str],
) -> Iterator[Problem]:
    """Yield what is wrong with the files that are taken.

    Parameters
    ----------
    entity
        The one that takes.
    others
        Settings of those that are taken from, and the values of one member each.
    written
        Files that the generate step puts into the member's directory.
    """
    came: dict[str, str] = dict.fromkeys((*OWN, "inputs.json"), "ensemake itself")
    came |= dict.fromkeys(written, "files")
    for name, (other, values) in others.items():
        taken, path = entity.inputs[name], ("inputs", name)
        if taken.allow_failed and taken.members == "one":
            yield (*path, "allow_failed"), "goes with members: all; what one member lacks, it lacks"
        if taken.members == "one" and taken.files is None and not other.outputs:
            yield (
                path,
                f"{name} declares no outputs: say which files it gives (files: [NAME]) or []",
            )
        try:
            named = named_files(taken, other, values)
        except ValueError as error:  # in a template; in the outputs, it is told of those
            if taken.files is not None:
                yield (*path, "files"), str(error)
            continue
        for target in named.values() if taken.members == "one" else [name]:
            first = came.setdefault(target.rstrip("/"), f"the input {name}")
            if first != f"the input {name}":
                message = f"{target!r} comes from {first} too; give it another name"
                yield path, f"{message} (files: {{there: here}})"
