"""What is wrong with stores, and with those that share them, in a config of sound shape."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ensemake.config.batch import BatchSettings
from ensemake.config.faults import KeyPath, Problem, did_you_mean
from ensemake.config.schema import Config, Model
from ensemake.store.program import find_server
from ensemake.store.seats import BUS
from ensemake.sweep.upstream import takes_from

HIGHEST = 65535 - BUS
RESERVED = ("overview.html", "overview.log", "config.json", "runs")


def database_problems(config: Config, base: Path) -> Iterator[Problem]:
    """Yield what is wrong with the stores."""
    for name, store in config.databases.items():
        path = ("databases", name)
        if name in RESERVED:
            yield path, f"{name!r} is a name of ensemake's own; rename it"
        if store.batch_settings.size is not None:
            message = "all that share a store run in one job; leave it out"
            yield (*path, "batch_settings", "size"), message
        if store.batch_settings.with_ is not None:
            yield (*path, "batch_settings", "with"), "a store has a job of its own; leave it out"
        if store.nodes > 1 and store.port + store.nodes - 1 > HIGHEST:
            yield (*path, "port"), f"several servers have ports up to {HIGHEST}; choose a lower one"
        for item, module in enumerate(store.modules):
            if not (base / module).is_file():
                yield (*path, "modules", item), f"there is no file {module}"
        yield from _job(config, name)
        if not store.batch_settings.preamble:  # which may bring one
            yield from _server(name, store.server)


def _job(config: Config, name: str) -> Iterator[Problem]:
    own = config.databases[name].batch_settings
    for other in config.linked(name):
        theirs = other in config.databases and config.databases[other].batch_settings
        if theirs and name > other and BatchSettings() not in (own, theirs) and own != theirs:
            message = f"runs in one job with {other}, which has batch_settings; give them to one"
            yield ("databases", name, "batch_settings"), message


def _server(name: str, named: str | None) -> Iterator[Problem]:
    try:
        find_server(named)
    except FileNotFoundError as error:
        if named:
            yield ("databases", name, "server"), str(error)
        else:
            yield (
                ("databases", name),
                f"{error}, or name one (databases: {{{name}: {{server: PATH}}}})",
            )


def shared_problems(config: Config, name: str, is_held: Callable[[str], bool]) -> Iterator[Problem]:
    """Yield what is wrong with how an entity shares a store.

    Parameters
    ----------
    is_held
        Tells of a store whether a script holds it: then it has no job that all have to share.
    """
    entity, own = config.entities[name], {**config.models, **config.ensembles}[name]
    if entity.colocated_db is not None:
        yield from _colocated(entity)
    elif entity.database is None and entity.key_prefixing:
        yield ("key_prefixing",), "is for those that have a store; give it a database"
    if not entity.stores:
        if entity.reads_from:
            yield ("reads_from",), "is for those that share a store; give it a database"
        return
    told = list(_names(config, entity))
    yield from told
    if told:
        return
    in_jobs = [store for store in entity.stores if not is_held(store)]
    if own.batch_settings is not None and in_jobs:
        where = f"databases: {{{in_jobs[0]}: {{batch_settings: ...}}}}"
        yield ("batch_settings",), f"its store's job runs it; write them there ({where})"
    yield from _companions(config, name, entity, in_jobs)


def _names(config: Config, entity: Model) -> Iterator[Problem]:
    """Of several stores each is found by variables with its name."""
    for item, store in enumerate(entity.stores):
        path: KeyPath = ("database", item) if len(entity.stores) > 1 else ("database",)
        if store not in config.databases:
            hint = did_you_mean(store, config.databases)
            yield path, f"there is no {store!r} in databases{hint}"
        elif entity.has_named_stores and not re.fullmatch("[A-Za-z0-9_]+", store):
            message = f"its variables would be called SSDB_{store}, which is no name of a variable"
            yield path, f"{message}; rename the store: letters, digits and _"


def _colocated(entity: Model) -> Iterator[Problem]:
    """The server is found where run.sh starts, which a batch's preamble may prepare."""
    if entity.restart is not None and len(entity.run_settings) > 1:
        message = "would go on with one of several commands, and the store starts empty"
        yield ("restart",), f"{message}; leave it out, or colocated_db"
    if not (entity.preamble or (entity.batch_settings and entity.batch_settings.preamble)):
        try:
            find_server()
        except FileNotFoundError as error:
            yield ("colocated_db",), str(error)


def _companions(
    config: Config, name: str, entity: Model, in_jobs: Sequence[str]
) -> Iterator[Problem]:
    """Those that share a store run at the same time, so none waits for the end of another."""
    linked = {other for store in in_jobs for other in config.linked(store)}
    beside = {n for n, one in config.entities.items() if linked.intersection(one.stores)}
    others = {n for n, one in config.entities.items() if {*entity.stores} & {*one.stores}}
    for source in takes_from(entity):
        waits = next((n for n in (source, *_all_sources(config, source)) if n in beside), None)
        if waits:
            message = f"runs beside {waits}, whose end it would wait for; give one of them no store"
            yield ("database",), message
    for item, source in enumerate(entity.reads_from):
        if source not in others:
            hint = did_you_mean(source, others)
            names = " or ".join(map(repr, entity.stores))
            yield ("reads_from", item), f"{source!r} does not share {names}{hint}"
        elif not config.entities[source].key_prefixing:
            message = f"{source} writes its keys without a prefix; give it key_prefixing: true"
            yield ("reads_from", item), message


def _all_sources(config: Config, name: str) -> Iterator[str]:
    for source in takes_from(config.entities[name]) if name in config.entities else ():
        yield source
        yield from _all_sources(config, source)
