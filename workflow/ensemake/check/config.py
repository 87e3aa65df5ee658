"""From a config file to a checked `Config`: all faults at once, before anything is built or run."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ensemake.check.attempts import attempt_params
from ensemake.check.first_member import first_member_problems
from ensemake.check.names import name_problems
from ensemake.check.outcomes import check_problems, metric_problems
from ensemake.check.parameters import (
    chosen_problems,
    known_names,
    parameter_problems,
    taken_problems,
)
from ensemake.check.programs import batch_problems, program_problems
from ensemake.check.sources import file_problems
from ensemake.check.texts import text_problems
from ensemake.config.faults import ConfigError, Fault, Problem
from ensemake.config.schema import Config
from ensemake.config.shape_faults import shape_problems
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.member.expansion import trial_upstream
from ensemake.member.input_faults import graph_problems, same_job_problems
from ensemake.member.layout import root, store_layout
from ensemake.member.plan import Work
from ensemake.paths import left_in_path
from ensemake.store.checkpoint import CHECKPOINT, is_held
from ensemake.store.faults import database_problems, shared_problems
from ensemake.sweep.upstream import choice_of


def load_config(
    file: Path, overrides: Mapping[str, Any] | None = None, base: Path = Path()
) -> Config:
    """Read and check a config file.

    Parameters
    ----------
    file
        Path of the YAML file.
    overrides
        Top-level keys that replace those of the file, as from ``--config results=/scratch``.
    base
        The working directory, from which relative paths start.

    Raises
    ------
    ConfigError
        With every fault found.
    """
    document = load_yaml(file)
    document.override(overrides or {})
    return check_config(document, base)


def check_config(document: Document, base: Path = Path()) -> Config:
    """Check a parsed config: its shape, and of what is sound there, what its keys mean together."""
    faults = _shape_faults(document)
    config = Config.model_validate(_sound(document.data, faults) if faults else document.data)
    problems = [*name_problems(config), *_results(config), *database_problems(config, base)]
    if not config.entities and not faults:
        problems.append(((), "describes nothing to run; give models or ensembles"))
    for name in config.entities:
        kind = "models" if name in config.models else "ensembles"
        for path, message in _entity(name, config, base):
            problems.append(((kind, name, *path), message))
    faults += [document.fault(path, message) for path, message in problems]
    if faults:
        raise ConfigError(document.file, faults)
    return config


def check_shape(document: Document) -> Config:
    """Check keys and types alone: what a cluster job does, quick for any size of ensemble."""
    faults = _shape_faults(document)
    if faults:
        raise ConfigError(document.file, faults)
    return Config.model_validate(document.data)


def expanded(document: Document, make: Callable[[str], Work], entity: str) -> Work:
    """Return the members of an entity of a checked config; what only they show are faults too.

    Parameters
    ----------
    make
        Makes them, such as `Expansion.work`.
    """
    try:
        return make(entity)
    except ConfigError as error:
        faults = [document.fault(fault.path, fault.message) for fault in error.faults]
        raise ConfigError(document.file, faults) from None


def _shape_faults(document: Document) -> list[Fault]:
    faults = list(document.faults)
    told = {fault.path for fault in faults}
    try:
        Config.model_validate(document.data)
    except ValidationError as error:
        problems = shape_problems(error, document.data)
        faults += [document.fault(*problem) for problem in problems if problem[0] not in told]
    return faults


def _sound(data: Any, faults: list[Fault]) -> dict[str, Any]:
    """Leave out every model, ensemble and top-level key with a fault of shape."""
    top = dict(data) if isinstance(data, dict) else {}
    for kind in ("models", "ensembles", "databases"):
        if isinstance(top.get(kind), dict):
            top[kind] = dict(top[kind])
    for key, *inner in (fault.path for fault in faults if fault.path):
        owner = top.get(str(key)) if inner else top
        if isinstance(owner, dict):
            owner.pop(inner[0] if inner else key, None)
    return {"experiment": "unknown", **top}


def _results(config: Config) -> Iterator[Problem]:
    unknown = left_in_path(config.results)
    if unknown:
        yield ("results",), f"{unknown} in {config.results!r} stands for nothing here"
    elif not config.results.isprintable() or set(config.results) & set("{}"):
        message = "has braces or characters that cannot be seen; Snakemake takes no such folder"
        yield ("results",), f"{config.results!r} {message}"


def _is_held(config: Config, base: Path, store: str) -> bool:
    return is_held(base / store_layout(root(config), store).state / CHECKPOINT)


def _entity(name: str, config: Config, base: Path) -> Iterator[Problem]:
    entity = config.entities[name]
    wrong = list(graph_problems(config, name))
    for key, spec in entity.params.items():
        wrong += attempt_params(entity, ("params", key), partial(choice_of, key, spec))
    if wrong:
        yield from wrong
        return
    try:
        upstream = trial_upstream(config, name, base)
    except (ValueError, OSError, IndexError):  # told of the others
        return
    problems = [
        *same_job_problems(config, name),
        *parameter_problems(entity, base, upstream),
        *chosen_problems(config, entity, upstream),
        *file_problems(entity, base, base / root(config)),
        *batch_problems(entity),
        *shared_problems(config, name, partial(_is_held, config, base)),
        *check_problems(entity),
        *program_problems(entity, base),
    ]
    known = known_names(entity, base, upstream) if not problems else None
    if known is not None:
        problems += [*text_problems(entity, known), *metric_problems(entity, known, base)]
        problems += taken_problems(config, entity, upstream, base)
    if not problems:
        problems += first_member_problems(name, config, base, upstream)
    yield from problems
