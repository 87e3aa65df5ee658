"""What another recipe left in a member's directory: moved to previous/, back with the recipe.

Codes go on from the newest checkpoint they find, so a member has to start in a directory that holds
what its recipe says and nothing else. Each step is a rename; what a kill cut short is finished the
next time, for a folder with a name of its own, `.moving` or `.back`, stands until it is done.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from ensemake.atomic import TEMPORARY
from ensemake.member.runscript import digest_in

FOLDER = "previous"


def make_way(directory: Path, digest: str, ran: str, kept: Collection[str]) -> None:
    """Leave in a member's directory only what belongs to a recipe.

    What this recipe left before another one took its place is brought back. The caller holds the
    member's lock.

    Parameters
    ----------
    directory
        The member's directory.
    digest
        The recipe that is to be generated there.
    ran
        The one that ran there last, ``""`` if none has.
    kept
        Names that do not belong to the member: a model's tables lie beside its files.
    """
    if not os.listdir(directory):  # as most are
        return
    folder = directory / FOLDER
    if folder.is_symlink():  # a program's; what it leads to is not ours
        folder.unlink()
    moving, back = folder / ".moving", folder / ".back"
    if back.is_dir():
        _finish(back, directory)
    if moving.is_dir() or _is_of_another(directory, digest, ran, kept):
        _set_aside(directory, moving, kept)
    if not (directory / "run.sh").exists():
        for place in _of_recipe(folder, digest):
            place.rename(back)
            _finish(back, directory)
            return


def _is_of_another(directory: Path, digest: str, ran: str, kept: Collection[str]) -> bool:
    written = _written(directory)
    if not ran and not written:  # half generated, or nobody's
        return next(_entries(directory, kept), None) is not None
    return ran not in ("", digest) or written not in (None, digest)


def _written(directory: Path) -> str | None:
    """Return the recipe that a run.sh was written for; None if there is none to read."""
    try:
        return digest_in((directory / "run.sh").read_text(errors="replace")) or "?"
    except OSError:
        return None


def _entries(directory: Path, kept: Collection[str]) -> Iterator[str]:
    for name in os.listdir(directory):
        of_table = len(kept) > 0 and TEMPORARY.fullmatch(name)
        if name not in kept and name not in (".lock", FOLDER) and not of_table:
            yield name


def _set_aside(directory: Path, moving: Path, kept: Collection[str]) -> None:
    """First run.sh, so that nothing is run in half a directory, then what claims a success."""
    moving.mkdir(parents=True, exist_ok=True)
    for name in sorted(_entries(directory, kept), key=_first):
        if os.path.lexists(moving / name):  # of an earlier time that was cut short
            moving.rename(_next(moving.parent))
            moving.mkdir()
        _move(directory / name, moving / name)
    if any(moving.iterdir()):
        moving.rename(_next(moving.parent))
    else:
        moving.rmdir()
    lock = directory / ".lock"
    if lock.is_symlink() or (lock.exists() and lock.stat().st_nlink > 1):
        lock.unlink()  # a program's; what it leads to is not ours
    elif lock.exists():
        os.truncate(lock, 0)  # nothing of what ran is there any more


def _finish(back: Path, directory: Path) -> None:
    """Bring back; what claims a success comes last."""
    for name in sorted(os.listdir(back), key=_first, reverse=True):
        with suppress(OSError):  # an empty folder that Snakemake made for what it waits for
            (directory / name).rmdir()
        _move(back / name, directory / name)
    back.rmdir()


def _first(name: str) -> tuple[bool, bool]:
    return name != "run.sh", name != "status.json"


def _next(folder: Path) -> Path:
    numbers = [int(name) for name in os.listdir(folder) if name.isdecimal()]
    return folder / str(max(numbers, default=0) + 1)


def _of_recipe(folder: Path, digest: str) -> Iterator[Path]:
    """Yield the numbered folders that this recipe left, the newest first."""
    names = os.listdir(folder) if folder.is_dir() else []
    for number in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        if _written(folder / str(number)) == digest:
            yield folder / str(number)


def _move(path: Path, target: Path) -> None:
    """Rename; a folder that may not be written has to be while it gets another parent."""
    try:
        path.rename(target)
    except PermissionError:
        if path.is_symlink() or not path.is_dir():
            raise
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IWUSR)
        path.rename(target)
        target.chmod(mode)
