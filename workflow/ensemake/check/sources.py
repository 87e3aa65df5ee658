"""Files of an entity: where they come from, and whether they get into each other's way."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ensemake.check.attempts import attempt
from ensemake.config.faults import KeyPath, Problem
from ensemake.config.schema import Ensemble, Model
from ensemake.member.files import Entry, Source, clashes, entries, settled
from ensemake.member.layout import OWN, tables


def file_problems(entity: Model, base: Path, results: Path) -> Iterator[Problem]:
    """Yield files that are not there, clash, or lead into the results."""
    found: list[Source] = []
    problems: list[Problem] = []
    for entry in entries(entity.files):
        path = ("files", entry.key, entry.item)
        problems += attempt(path, partial(_gather, entry, base, results, found))
    if not problems:
        problems += attempt(("files",), partial(_settle, entity, base, found))
    yield from problems
    if not problems:
        yield from _written(entity, found)


def _settle(entity: Model, base: Path, found: list[Source]) -> None:
    found[:] = settled(found, entity.files, base)


def _gather(entry: Entry, base: Path, results: Path, found: list[Source]) -> None:
    found += entry.sources(base, results)


def _written(entity: Model, found: list[Source]) -> Iterator[Problem]:
    """Tell what would be written over something else in a member's directory."""
    own = OWN if isinstance(entity, Ensemble) else (*OWN, *tables(entity))
    for source, message in clashes(found, own):
        yield source_path(source), message
    written = {source.target for source in found}
    for item, name in enumerate(entity.outputs):
        if name in written:
            message = "is put there by ensemake (files); an output is a file that the code writes"
            yield ("outputs", item), f"{name!r} {message}"
        if name.split("/")[0] in own and name not in ("run.out", "run.err"):
            yield ("outputs", item), f"{name!r} is a name of ensemake's own; choose another"


def source_path(source: Source) -> KeyPath:
    """Return the key path of a file."""
    return ("files", source.key, source.item)
