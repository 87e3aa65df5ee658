"""Which files a member's directory gets, from where, and what of them decides its results."""

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ensemake.config.faults import KeyedError, did_you_mean
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Files
from ensemake.member.layout import OWN
from ensemake.paths import expanded_path, left_in_path
from ensemake.sweep.expressions import template

TEMPLATE_SUFFIX = ".j2"
MOST_FILES = 50_000  # of one entry: more is somebody's home
LARGEST_TEMPLATE = 100_000_000  # bytes

# "inner" is a link from one place of a copied folder to another, "folder" an empty one.
Kind = Literal["configure", "template", "copy", "set", "link", "inner", "folder"]
KEYS: dict[str, Kind] = {"to_configure": "configure", "to_copy": "copy", "to_symlink": "link"}
KINDS: dict[str, Kind] = {**KEYS, "set": "set"}
FILLED: tuple[Kind, ...] = ("configure", "template", "set")  # whose content is the member's own


@dataclass(frozen=True)
class Source:
    """One file, link or empty folder of a member's directory.

    ``target`` is relative to the member's directory; ``key`` and ``item`` say which entry of the
    config asked for it. ``text`` is what a link says: as the config, or the copied link, has it.
    """

    kind: Kind
    path: Path
    target: str
    key: str
    item: int | str
    text: str = ""
    is_named: bool = False  # by the config


@dataclass(frozen=True)
class Entry:
    """One entry of the config; parameters are filled in. ``name`` is what it is called there."""

    key: str
    item: int | str
    text: str
    name: str = ""
    is_filled: bool = False

    def sources(self, base: Path, results: Path | None = None) -> list[Source]:
        """List what it puts into a member's directory; folders are walked.

        Raises
        ------
        KeyedError
            If there is no such file, or something in it cannot be used. With ``results``, the
            folder of an experiment, also if it holds that or lies in it.
        """
        paths = list(_meant(self.text, base))
        if not paths:
            raise self._error(_absence(self.text, base))
        if self.name and len(paths) > 1:
            raise self._error(f"{self.text!r} fits {len(paths)} files; one can have a name")
        if self.name and not _is_inside(self.name):
            raise self._error(f"{self.name!r} is no name in the member's directory")
        walk = _Walk(self, results and _real(results))
        return [source for path, text in paths for source in walk.of(path, text)]

    def _error(self, message: str) -> KeyedError:
        return KeyedError(("files", self.key, self.item), message)


def entries(files: Files, values: Mapping[str, Scalar] | None = None) -> Iterator[Entry]:
    """Yield the entries of a section; without values, those that are the same for all members."""
    for key, item, text, name in listed_files(files):
        if not is_filled(text + name):
            yield Entry(key, item, text, name)
        elif values is not None:
            text, name = (template(one).render(values) for one in (text, name))
            yield Entry(key, item, text, name, is_filled=True)


def listed_files(files: Files) -> Iterator[tuple[str, int, str, str]]:
    """Yield key, place, path and name there (or "") of all that a section lists."""
    for key in KEYS:
        for item, one in enumerate(getattr(files, key)):
            text, name = (one, "") if isinstance(one, str) else next(iter(one.items()))
            yield key, item, text, name


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) != "."


def is_filled(text: str) -> bool:
    """Tell whether a path has parameters."""
    return "{{" in text or "{%" in text


def are_filled(files: Files) -> bool:
    """Tell whether members differ in which files they get."""
    return any(is_filled(text + name) for _, _, text, name in listed_files(files))


def sources(files: Files, base: Path, values: Mapping[str, Scalar] | None = None) -> list[Source]:
    """List what goes into a member's directory; without values, into that of every member.

    Raises
    ------
    KeyedError
        If an entry cannot be used.
    """
    found = [source for entry in entries(files, values) for source in entry.sources(base)]
    return settled(found, files, base, values)


def settled(
    found: Sequence[Source], files: Files, base: Path, values: Mapping[str, Scalar] | None = None
) -> list[Source]:
    """Return what takes the place of what: named files of copied ones, files whose keys are set.

    Raises
    ------
    KeyedError
        If there is no such file, or it is a link.
    """
    named = {one.target for one in found if one.is_named and one.kind in FILLED}
    kept = [one for one in found if one.is_named or one.kind != "copy" or one.target not in named]
    kept = [_with_set(one) if one.target in files.set else one for one in kept]
    is_all = values is not None or not are_filled(files)
    missing = files.set.keys() - {one.target for one in kept} if is_all else ()
    for name in filter(missing.__contains__, files.set):
        kept += Entry("set", name, name, name).sources(base)
    return kept


def _with_set(source: Source) -> Source:
    if source.kind in ("configure", "template"):
        return source
    if source.kind == "copy":
        return replace(source, kind="set")
    message = "is no copy, so nothing can be set in it; put the file into to_copy"
    raise KeyedError(("files", "set", source.target), message)


def _meant(text: str, base: Path) -> Iterator[tuple[Path, str]]:
    """Yield the paths that a text means, and how each is written."""
    for name in (text, expanded_path(text)):
        if os.path.lexists(base / name):
            yield base / name, text
            return
    if glob.has_magic(name):
        for found in sorted(glob.glob(name, root_dir=base)):
            yield base / found, found


def _absence(text: str, base: Path) -> str:
    unknown = left_in_path(text)
    if unknown:
        return f"there is no {text!r}: {unknown} stands for nothing here"
    if glob.has_magic(text):
        return f"no file fits {text!r}; looked in {base.absolute()}"
    folder = Path(text).parent
    try:
        near = did_you_mean(text, [str(folder / name) for name in os.listdir(base / folder)])
    except OSError:
        near = ""
    return f"there is no {text!r}{near or f'; looked in {base.absolute()}'}"


class _Walk:
    """Through what one entry means, links followed."""

    def __init__(self, entry: Entry, results: Path | None) -> None:
        self.entry, self.results = entry, results
        self.kind = KINDS[entry.key]
        self.top = Path()
        self.count = 0
        self.within: list[tuple[int, int]] = []  # the folders around, as the file system knows them

    def of(self, path: Path, text: str) -> Iterator[Source]:
        if self.kind == "link":
            yield self._link(path, text)
            return
        self.top = _real(path)
        if path.is_dir():
            if self.kind == "set":
                raise self._error("is a directory; name a file")
            name = self.entry.name.rstrip("/")
            found = self._folder(path, f"{name}/" if name else "")
            yield from sorted(found, key=lambda source: source.path)
        else:
            yield from self._leaf(path, self.entry.name or path.name)

    def _link(self, path: Path, text: str) -> Source:
        name = self.entry.name or Path(expanded_path(text)).name
        if name in ("", ".."):
            raise self._error(f"{text!r} does not end in a name that a link can have")
        if not path.exists():
            raise self._error(f"{text!r} is a link that leads nowhere")
        return self._source("link", path, name, str(Path(text)))

    def _folder(self, path: Path, target: str) -> Iterator[Source]:
        self._check(path)
        about = path.stat()
        if (about.st_dev, about.st_ino) in self.within:
            raise self._error(f"{path} leads round in a circle of links")
        self.within.append((about.st_dev, about.st_ino))
        names = self._listed(path)
        for name in names:
            yield from self._any(path / name, f"{target}{name}")
        if not names and target:
            yield self._source("folder", path, target.rstrip("/"))
        self.within.pop()

    def _listed(self, path: Path) -> list[str]:
        try:
            return os.listdir(path)
        except OSError as error:
            raise self._error(f"{path} cannot be read: {error.strerror}") from None

    def _any(self, path: Path, target: str) -> Iterator[Source]:
        self.count += 1
        if self.count > MOST_FILES:
            raise self._error(f"{self.top} holds more than {MOST_FILES:,} files; name those needed")
        inner = self._inner(path, target) if path.is_symlink() else None
        if inner is not None:
            yield self._source("inner", path, target, inner)
        elif path.is_dir():
            yield from self._folder(path, f"{target}/")
        else:
            yield from self._leaf(path, target)

    def _inner(self, path: Path, target: str) -> str | None:
        """Return what a link says that leads to another folder of the copied one.

        Links to files have always been followed: kept, they would run members again that are done.
        """
        if not path.exists():
            raise self._error(f"{path} is a link that leads nowhere: to {os.readlink(path)}")
        real = _real(path)
        if self.kind != "copy" or not real.is_dir() or not real.is_relative_to(self.top):
            return None
        return os.path.relpath(real.relative_to(self.top), Path(target).parent)

    def _leaf(self, path: Path, target: str) -> Iterator[Source]:
        if not path.exists():
            raise self._error(f"{path} is a link that leads nowhere")
        if not stat.S_ISREG(path.stat().st_mode):
            raise self._error(f"{path} is no file with content (a pipe, a socket or a device)")
        if not os.access(path, os.R_OK):
            raise self._error(f"{path} cannot be read: no permission")
        is_large = self.kind in FILLED and path.stat().st_size > LARGEST_TEMPLATE
        if is_large and self.top.is_dir():
            yield self._source("copy", path, target)
            return
        if is_large:
            raise self._error(f"{path} is too large to be configured; put it into to_copy")
        if self.kind == "configure" and path.suffix == TEMPLATE_SUFFIX:
            yield self._source("template", path, target.removesuffix(TEMPLATE_SUFFIX))
        else:
            yield self._source(self.kind, path, target)

    def _check(self, folder: Path) -> None:
        """Results within what is copied would be copied into results, and change with each run."""
        real, results = _real(folder), self.results
        if results is None:
            return
        if results.is_relative_to(real):
            raise self._error(f"{folder} holds the results; name what a member needs of it")
        if real.is_relative_to(results):
            raise self._error(f"{folder} lies within the results, which change; copy it elsewhere")

    def _source(self, kind: Kind, path: Path, target: str, text: str = "") -> Source:
        is_named = bool(self.entry.name)
        target = str(PurePosixPath(target)) if is_named else target
        return Source(kind, path, target, self.entry.key, self.entry.item, text, is_named)

    def _error(self, message: str) -> KeyedError:
        return self.entry._error(message)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def clashes(found: list[Source], own: tuple[str, ...] = OWN) -> Iterator[tuple[Source, str]]:
    """Yield every source that would overwrite another one, or a file of ensemake's own."""
    taken: dict[str, Source] = {}
    for source in found:
        first = taken.setdefault(source.target, source)
        if source.target.split("/")[0] in own:
            yield source, f"{source.target!r} is written by ensemake itself; rename the file"
        elif first is not source:
            yield source, f"{source.target!r} comes from {first.path} too; rename one of them"
    for source in found:
        above = next((a for a in map(str, Path(source.target).parents) if a in taken), None)
        if above:
            message = f"{source.target!r} cannot lie in {above!r}, which {taken[above].path} is"
            yield source, f"{message}; rename one of them"


def fingerprint(source: Source, hash_of: Callable[[Path], str]) -> list[str | bool]:
    """Return what of a source decides the results: content and mode, of a link its target."""
    if source.kind in ("link", "inner"):  # as the config has it, wherever it is read from
        return [source.kind, source.target, source.text]
    if source.kind == "folder":
        return [source.kind, source.target]
    executable = bool(source.path.stat().st_mode & stat.S_IXUSR)
    return [source.kind, source.target, hash_of(source.path), executable]


def content_hash(path: Path) -> str:
    """Return SHA-256 over a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
