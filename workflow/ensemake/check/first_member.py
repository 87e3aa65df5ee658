"""The first member of an entity, made for trial: what only values show."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ensemake.check.attempts import attempt, attempt_params
from ensemake.check.outcomes import metric_name_problems, named_columns, plot_problems
from ensemake.check.sources import source_path
from ensemake.check.texts import all_words, without_line
from ensemake.config.faults import Problem
from ensemake.config.reserved import COLUMNS
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Config, Model, Resource
from ensemake.config.shape_faults import value_text
from ensemake.member.command import filled, template_of
from ensemake.member.files import FILLED, sources
from ensemake.member.generate import configured
from ensemake.sweep.members import expand
from ensemake.sweep.upstream import Upstream, variable

# Resources that are counts, and what they are called elsewhere.
UNITS = {
    "tasks": "",
    "cpus_per_task": "",
    "nodes": "",
    "gpu": "",
    "mem_mb": " of megabytes (2000 for 2 GB)",
    "mem_mb_per_cpu": " of megabytes (2000 for 2 GB)",
    "disk_mb": " of megabytes (2000 for 2 GB)",
}
LEAST = {"gpu": 0, "disk_mb": 0}
MEANT = {
    "memory": "mem_mb (megabytes)",
    "cpus": "cpus_per_task",
    "threads": "cpus_per_task",
    "ntasks": "tasks",
    "gpus": "gpu",
    "time": "runtime (minutes)",
    "walltime": "runtime (minutes)",
}


def first_member_problems(
    name: str, config: Config, base: Path, upstream: Upstream
) -> Iterator[Problem]:
    """Make one member as a trial: most of what can go wrong with all goes wrong with the first."""
    entity = config.entities[name]
    made: list[dict[str, Scalar]] = []
    trial = partial(_make_first, name, config, base, upstream, made)
    for path, message in attempt_params(entity, ("perm_strategy",), trial):
        n_models = message.removeprefix("n_models: ")
        yield (path, message) if n_models == message else (("n_models",), n_models)
    for values in made:
        yield from metric_name_problems(entity, values)  # a strategy may bring parameters
        given = {**config.models, **config.ensembles}[name].labels
        columns = [*values, *entity.metrics, *COLUMNS]
        yield from named_columns([(("labels", one), one) for one in given], columns)
        yield from plot_problems(entity, columns, base)
        known = _with_inputs(upstream, values)
        yield from _attempt_words(entity, known)
        yield from _attempt_files(entity, known, base)


def _with_inputs(upstream: Upstream, values: Mapping[str, Any]) -> dict[str, Any]:
    taken = {variable(s.entity): s.members[0].values for s in upstream.sources if s.is_one}
    return {**taken, **values}


def _make_first(
    name: str, config: Config, base: Path, upstream: Upstream, made: list[dict[str, Scalar]]
) -> None:
    members = expand(name, config.entities[name], base, upstream)
    members.check_size(config.max_members)
    first = members.first
    if first is not None:  # `where` may keep none, which is told when all are made
        made.append(first.values)


def _attempt_words(entity: Model, values: Mapping[str, Scalar]) -> Iterator[Problem]:
    for path, word in all_words(entity):
        if template_of(word) is not None:
            yield from attempt(path, partial(_filled, word, values))
    for key, value in entity.resources.items():
        action = partial(_resource, key, value, {**values, "attempt": 1})
        yield from attempt(("resources", key), action)


def _filled(text: object, values: Mapping[str, Scalar]) -> str:
    """Fill parameters into a text of the config."""
    try:
        return filled([text], values)[0]
    except ValueError as error:
        raise ValueError(without_line(text, error)) from None


def _resource(key: str, value: Resource, values: Mapping[str, Scalar]) -> None:
    if key in MEANT:
        raise ValueError(f"is called {MEANT[key]}, here")
    if key not in UNITS:
        return
    number = _filled(value, values) if isinstance(value, str) else value
    try:
        is_whole = float(number) == int(float(number)) >= LEAST.get(key, 1)
    except (ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        least, unit = LEAST.get(key, 1), UNITS[key]
        raise ValueError(f"expected a whole number{unit} from {least}, got {value_text(number)}")


def _attempt_files(entity: Model, values: Mapping[str, Scalar], base: Path) -> Iterator[Problem]:
    for source in sources(entity.files, base, values):
        if source.kind in FILLED:
            data = source.path.read_bytes()
            trial = partial(configured, source, data, entity, values)
            yield from attempt(source_path(source), trial)
