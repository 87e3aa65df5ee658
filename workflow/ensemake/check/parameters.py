"""Parameters of an entity: their axes, and the names that its templates know."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ensemake.check.attempts import attempt_params
from ensemake.config.faults import Problem
from ensemake.config.schema import Config, Ensemble, Model
from ensemake.member.files import sources
from ensemake.member.input_faults import choice_problems, input_problems
from ensemake.sweep.members import axes
from ensemake.sweep.spaces import Axis, axis
from ensemake.sweep.upstream import Upstream, axis_of_members, choice_of, variable


def chosen_problems(config: Config, entity: Model, upstream: Upstream) -> Iterator[Problem]:
    """Yield what is wrong with parameters that are members of others."""
    for key, others in upstream.points.items():
        choice = choice_of(key, entity.params[key])
        if choice is not None:
            other = config.entities[choice.members]
            yield from choice_problems(key, choice, other, others.params)


def taken_problems(
    config: Config, entity: Model, upstream: Upstream, base: Path
) -> Iterator[Problem]:
    """Yield what is wrong with what members take from others."""
    written = [source.target for source in sources(entity.files, base)]
    others = {
        source.entity: (config.entities[source.entity], source.members[0].values)
        for source in upstream.sources
    }
    yield from input_problems(entity, others, written)


def parameter_problems(entity: Model, base: Path, upstream: Upstream) -> Iterator[Problem]:
    """Yield axes that cannot be made, and names that are given twice."""
    seen: dict[str, str] = {}
    for key, spec in entity.params.items():
        path = ("params", key)
        make = partial(_axis, entity, key, base, upstream)
        problems = list(attempt_params(entity, path, make))
        yield from problems
        names = () if problems else make().names
        if not isinstance(entity, Ensemble) and isinstance(spec, list | dict):
            yield path, "a model has one value for each parameter; for several use ensembles"
        for name in names:
            if name in seen:
                yield path, f"{name!r} is given by {seen[name]} already; rename one of them"
            seen[name] = f"the key {key!r}"
    for name in entity.derived.keys() & seen.keys():
        yield ("derived", name), f"{name!r} is given by {seen[name]} already; rename one of them"


def _axis(entity: Model, key: str, base: Path, upstream: Upstream) -> Axis:
    spec = entity.params[key]
    if choice_of(key, spec) is not None:
        return axis_of_members(key, upstream.points[key], entity.params)
    return axis(key, spec, base)


def known_names(entity: Model, base: Path, upstream: Upstream) -> list[str]:
    """Return the names that templates may use."""
    names = [name for axis in axes(entity, base, upstream) for name in axis.names]
    taken = [variable(source.entity) for source in upstream.sources if source.is_one]
    return [*names, "replica", *taken]
