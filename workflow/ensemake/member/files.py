"""Which files a member's directory gets, from where, and what of them decides its results."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ensemake.config.schema import Files

OWN = ("run.sh", "params.json", "run.out", "run.err", "status.json", ".lock", "previous")
TEMPLATE_SUFFIX = ".j2"

Kind = Literal["configure", "template", "copy", "link"]


@dataclass(frozen=True)
class Source:
    """One file (or link) of a member's directory.

    ``target`` is relative to the member's directory; ``key`` and ``item`` say which entry of the
    config asked for it.
    """

    kind: Kind
    path: Path
    target: str
    key: str
    item: int


def sources(files: Files, base: Path) -> list[Source]:
    """List what goes into a member's directory; directories are walked.

    Raises
    ------
    FileNotFoundError
        If an entry does not exist. Use `missing` to find all of them first.
    """
    found = [
        *_walked("configure", "to_configure", files.to_configure, base),
        *_walked("copy", "to_copy", files.to_copy, base),
    ]
    for item, name in enumerate(files.to_symlink):
        found.append(Source("link", base / name, Path(name).name, "to_symlink", item))
    return found


def _walked(kind: Kind, key: str, names: list[str], base: Path) -> Iterator[Source]:
    for item, name in enumerate(names):
        top = base / name
        inner = _files_below(top) if top.is_dir() else [top]
        for path in inner:
            target = path.relative_to(top) if top.is_dir() else Path(path.name)
            yield _source(kind, path, target, key, item)


def _files_below(top: Path) -> list[Path]:
    return sorted(Path(folder) / name for folder, _, names in os.walk(top) for name in names)


def _source(kind: Kind, path: Path, target: Path, key: str, item: int) -> Source:
    if kind == "configure" and target.suffix == TEMPLATE_SUFFIX:
        return Source("template", path, str(target.with_suffix("")), key, item)
    return Source(kind, path, str(target), key, item)


def missing(files: Files, base: Path) -> Iterator[tuple[str, int, str]]:
    """Yield (key, item, name) of every entry that does not exist."""
    for key in ("to_configure", "to_copy", "to_symlink"):
        for item, name in enumerate(getattr(files, key)):
            if not (base / name).exists():
                yield key, item, name


def clashes(found: list[Source]) -> Iterator[tuple[Source, str]]:
    """Yield every source that would overwrite another one, or a file of ensemake's own."""
    taken: dict[str, Source] = {}
    for source in found:
        first = taken.setdefault(source.target, source)
        if source.target.split("/")[0] in OWN:
            yield source, f"{source.target!r} is written by ensemake itself; rename the file"
        elif first is not source:
            yield source, f"{source.target!r} comes from {first.path} too; rename one of them"


def fingerprint(source: Source, files: Files) -> list[str | bool]:
    """Return what of a source decides the results: content and mode, of a link its target."""
    if source.kind == "link":  # as the config has it, wherever the config is read from
        return [source.kind, source.target, str(Path(files.to_symlink[source.item]))]
    executable = bool(source.path.stat().st_mode & stat.S_IXUSR)
    return [source.kind, source.target, content_hash(source.path), executable]


def content_hash(path: Path) -> str:
    """Return SHA-256 over a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
