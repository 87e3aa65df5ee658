"""What the config no longer describes, members and older results: listed, deleted on demand."""

import os
import re
import shutil
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ensemake.atomic import LARGEST, read_whole
from ensemake.lock import hold
from ensemake.member.plan import Work
from ensemake.member.previous import FOLDER
from ensemake.results.outcomes import leftovers


def prune(work: Work, confirmed: bool, takers: Sequence[Work] = ()) -> list[str]:
    """List, or delete, an entity's leftover member directories, and what older recipes left.

    Parameters
    ----------
    work
        The entity's members as the config describes them now.
    confirmed
        Whether to delete. Only directories that hold a run.sh are ever considered.
    takers
        The entities that take from it: what their members still use is told.

    Returns
    -------
    list of str
        What was found or done, for people.

    Raises
    ------
    RunningError
        If it is confirmed while a run works on the entity.
    """
    if confirmed:  # a run may be working on what the config described when it began
        hold(work.base / work.layout.lock, work.entity)
    found = leftovers(work)
    used = _used(work.entity, takers) if found else {}
    for path in found if confirmed else []:
        _remove(path)
        place = work.layout.place(path.name, str(path.relative_to(work.base)))
        work.layout.done(place).unlink(missing_ok=True)
        if path.parent != work.base / work.layout.directory:
            with suppress(OSError):  # a sub-folder that still holds others
                path.parent.rmdir()
    verb = "deleted" if confirmed else "would delete"
    lines = [f"{verb} {path}{used.get(path.name, '')}" for path in found]
    return [*lines, *(f"{verb} {line}" for line in _previous(work, confirmed))]


def _used(entity: str, takers: Sequence[Work]) -> dict[str, str]:
    """Return who takes from which members, by their names: as each run.sh has it."""
    pattern = re.compile(rf"(?<=[( ]){re.escape(entity)}/([\w.-]+) ")
    users: dict[str, Counter[str]] = {}
    for taker in takers:
        for path in [*(taker.base / one.directory for one in taker.planned), *leftovers(taker)]:
            with suppress(OSError, ValueError):
                text = read_whole(path / "run.sh", LARGEST).decode(errors="replace")
                for name in set(pattern.findall(text.partition("_ensemake_start")[0])):
                    users.setdefault(name, Counter())[taker.entity] += 1
    return {
        name: f", from which {_listed(counts)} take{'s' * (counts.total() == 1)}"
        for name, counts in users.items()
    }


def _listed(counts: Counter[str]) -> str:
    members = (f"{n} member{'s' * (n > 1)} of {entity}" for entity, n in counts.items())
    return " and ".join(members)


def prune_advice(count: int, confirmed: bool) -> str:
    """Say what was done with so many leftover directories, or how to delete them."""
    if not count:
        return "Nothing to prune: all directories belong to the config, and hold its results only."
    if confirmed:
        return f"{count} deleted."
    how = "ensemake prune --yes, or the target prune with --config confirm=prune"
    return f"Nothing was deleted. To delete: {how}"


def _previous(work: Work, confirmed: bool) -> Iterator[str]:
    """Delete, if that is confirmed, what older recipes left, and tell how much it is."""
    folders = [work.base / member.directory / FOLDER for member in work.planned]
    left = [path for folder in folders if folder.is_dir() for path in _finished(folder)]
    size = sum(_size(path) for path in left)
    for path in left if confirmed else []:
        _remove(path)
        with suppress(OSError):
            path.parent.rmdir()
    if left:
        members = len({path.parent for path in left})
        plural = "s" if members > 1 else ""
        where = work.layout.member("*") / FOLDER
        yield f"{where}: older results of {members} member{plural}, {size / 1e6:.1f} MB"


def _finished(folder: Path) -> Iterator[Path]:
    """Yield what was moved; a move that was cut short has yet to be finished."""
    return (path for path in folder.iterdir() if path.name not in (".moving", ".back"))


def _size(path: Path) -> int:
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return path.lstat().st_size + sum(file.lstat().st_size for file in files)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all in it, also folders that may not be written."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    path.chmod(path.stat().st_mode | stat.S_IRWXU)
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = Path(folder, name)
            if not inner.is_symlink():
                inner.chmod(inner.stat().st_mode | stat.S_IRWXU)
    shutil.rmtree(path)
