"""A tree of links with names to read, ``T=300/p=1.0``, for people and tools that go by names."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ensemake.config.scalars import Scalar
from ensemake.errors import WrongValueError
from ensemake.member.plan import Planned, Work
from ensemake.results.outcomes import varying

LONGEST = 200  # bytes of a name; file systems end at 255
OURS = ".ensemake-view"


def make_view(works: Sequence[Work], to: Path) -> Iterator[tuple[str, int]]:
    """Make links to the directories of members that have been generated.

    Parameters
    ----------
    works
        The entities; each gets a folder of its own.
    to
        Where to: a new folder, or one that this made before, whose links are renewed.

    Yields
    ------
    entity, count
        How many links were made for each entity.

    Raises
    ------
    WrongValueError
        If the folder holds something else.
    """
    if to.exists() and not (to / OURS).exists() and any(to.iterdir()):
        raise WrongValueError(f"{to} is no view and not empty; name a new folder")
    to.mkdir(parents=True, exist_ok=True)
    (to / OURS).touch()
    for work in works:
        _clear(to / work.entity)
        yield work.entity, sum(_link(work, member, path) for member, path in _paths(work, to))


def _paths(work: Work, to: Path) -> Iterator[tuple[Planned, Path]]:
    names = [name for name in varying(work.planned) if name not in work.settings.derived]
    for member in work.planned:
        parts = [_part(name, member.values[name]) for name in names]
        yield member, Path(to, work.entity, *parts)


def _part(name: str, value: Scalar) -> str:
    """Return a folder's name; what a path cannot hold is written as %2F."""
    text = f"{name}={value}".replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    cut = text.encode()[:LONGEST].decode(errors="ignore")
    return cut if cut == text else f"{cut}…"


def _link(work: Work, member: Planned, path: Path) -> bool:
    directory = work.base / member.directory
    if not directory.is_dir():
        return False
    if path.is_symlink():  # a long value, cut short
        path = path.with_name(f"{path.name} {member.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(directory.resolve(), path.parent.resolve()))
    return True


def _clear(folder: Path) -> None:
    """Remove links and the folders that they leave empty; nothing else is ever in a view."""
    if folder.is_symlink():
        folder.unlink()
    for path, names, files in os.walk(folder, topdown=False):
        for name in [*names, *files]:
            inner = Path(path, name)
            if inner.is_symlink():
                inner.unlink()
        if not os.listdir(path):
            os.rmdir(path)
