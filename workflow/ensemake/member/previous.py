"""What another recipe left in a member's directory: moved to previous/, back with the recipe.

Codes go on from the newest checkpoint they find, so a member has to start in a directory that holds
what its recipe says and nothing else. Each step is a rename; what a kill cut short is finished the
next time, for a folder with a name of its own, `.moving` or `.back`, stands until it is done.
"""

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ensemake.atomic import TEMPORARY, open_regular, write_atomically
from ensemake.member import steps
from ensemake.member.runscript import digest_in

FOLDER = "previous"
STAYS = ".stays-"  # and a number: the note on what stayed, where only a part was set aside


def make_way(directory: Path, chain: Sequence[str], ran: str, kept: Collection[str]) -> bool:
    """Leave in a member's directory only what belongs to a recipe.

    What its first commands have left stays if they are the same. What this recipe left before
    another one took its place is brought back. The caller holds the member's lock.

    Parameters
    ----------
    directory
        The member's directory.
    chain
        The digests of its commands, the last being that of the recipe to be generated there.
    ran
        The recipe that ran there last, ``""`` if none has.
    kept
        Names that do not belong to the member: a model's tables lie beside its files.

    Returns
    -------
    bool
        Whether something is left by commands that need not run: the files stay as these left them.
    """
    if not os.listdir(directory):  # as most are
        return False
    folder = directory / FOLDER
    if folder.is_symlink():  # a program's; what it leads to is not ours
        folder.unlink()
    moving, back = folder / ".moving", folder / ".back"
    if back.is_dir():
        _finish(back, directory)
    if moving.is_dir():
        _set_aside(directory, moving, kept)
        ran = ""
    steps.note_completed(directory, chain, kept)
    if _is_of_another(directory, chain, ran, kept):
        _set_aside(directory, moving, kept, _staying(directory, chain))
    if not (directory / "run.sh").exists():
        _bring_back(directory, chain, kept)
    return steps.kept(directory, chain) > 0


def _staying(directory: Path, chain: Sequence[str]) -> int:
    """Return how many commands' results stay: none if all of another time can be brought back."""
    folders = _of_recipe(directory / FOLDER, chain[-1])
    is_there = any(not _stays(place) for place in folders)
    return 0 if is_there else steps.kept(directory, chain)


def _bring_back(directory: Path, chain: Sequence[str], kept: Collection[str]) -> None:
    """Bring back all that this recipe left; else what one with the same first commands left."""
    folder = directory / FOLDER
    number = steps.kept(directory, chain)
    begun = (directory / steps.note(number)).read_bytes() if number else b""
    for place in _of_recipe(folder, chain[-1]):
        if _stays(place) == begun:
            _return(place, directory)
            return
    for place in () if number else _numbered(folder):
        if steps.kept(place, chain) and not _stays(place):
            _return(place, directory)
            _set_aside(directory, folder / ".moving", kept, steps.kept(directory, chain))
            return


def _stays(place: Path) -> bytes:
    """Return the note on what stayed when a part was set aside; nothing if all was."""
    return next((path.read_bytes() for path in place.glob(f"{STAYS}*")), b"")


def _return(place: Path, directory: Path) -> None:
    back = place.with_name(".back")
    place.rename(back)
    _finish(back, directory)


def _is_of_another(directory: Path, chain: Sequence[str], ran: str, kept: Collection[str]) -> bool:
    written = _written(directory)
    if not ran and not written:  # half generated, or nobody's
        is_empty = next(_entries(directory, kept), None) is None
        return not is_empty and not steps.kept(directory, chain)
    return ran not in ("", chain[-1]) or written not in (None, chain[-1])


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


def _set_aside(directory: Path, moving: Path, kept: Collection[str], number: int = 0) -> None:
    """Move what is there, but for what the first commands, as many as `number`, have left."""
    moving.mkdir(parents=True, exist_ok=True)
    if number:
        data = (directory / steps.note(number)).read_bytes()
        write_atomically(moving / f"{STAYS}{number}", data)
    if _stays(moving):
        _move_rest(directory, moving, kept)
    else:
        moving = _move_all(directory, moving, kept)
    if any(moving.iterdir()):
        moving.rename(_next(moving.parent))
    else:
        moving.rmdir()
    lock = directory / ".lock"
    if lock.is_symlink() or (lock.exists() and lock.stat().st_nlink > 1):
        lock.unlink()  # a program's; what it leads to is not ours
    elif lock.exists():
        os.truncate(lock, 0)  # nothing of what ran is there any more


def _move_all(directory: Path, moving: Path, kept: Collection[str]) -> Path:
    """First run.sh, so that nothing is run in half a directory, then what claims a success."""
    for name in sorted(_entries(directory, kept), key=_first):
        if os.path.lexists(moving / name):  # of an earlier time that was cut short
            moving.rename(_next(moving.parent))
            moving.mkdir()
        _move(directory / name, moving / name)
    return moving


def _move_rest(directory: Path, moving: Path, kept: Collection[str]) -> None:
    """In the same order; the beginning of what was printed stays as well."""
    note = next(moving.glob(f"{STAYS}*"))
    number = int(note.name.removeprefix(STAYS))
    stays = steps.left(note) | {steps.note(n) for n in range(1, number + 1)}
    for name in sorted(_rest(directory, _entries(directory, kept), stays), key=_first):
        if name in steps.PRINTED and os.path.lexists(moving / name):
            continue  # that beginning, of a time that was cut short
        (moving / name).parent.mkdir(parents=True, exist_ok=True)
        _move(directory / name, moving / name)
    for name, size in zip(steps.PRINTED, steps.printed(note), strict=True):
        with open(open_regular(moving / name), "rb") as file:
            write_atomically(directory / name, file.read(size))


def _rest(directory: Path, names: Iterable[str], stays: Collection[str]) -> Iterator[str]:
    for name in names:
        path = directory / name
        if name not in stays:
            yield name
        elif path.is_dir() and not path.is_symlink():
            inner = [f"{name}/{one}" for one in os.listdir(path)]
            yield from _rest(directory, inner, stays)


def _finish(back: Path, directory: Path) -> None:
    """Bring back; what claims a success comes last."""
    names = sorted(os.listdir(back), key=_first, reverse=True)
    for name in (name for name in names if not name.startswith(STAYS)):
        target = directory / name
        with suppress(OSError):  # an empty folder that Snakemake made for what it waits for
            target.rmdir()
        if target.is_dir() and not target.is_symlink():  # a part of it stayed
            _finish(back / name, target)
        else:
            _move(back / name, target)
    for note in back.glob(f"{STAYS}*"):
        note.unlink()
    back.rmdir()


def _first(name: str) -> tuple[bool, bool]:
    return name != "run.sh", name != "status.json"


def _next(folder: Path) -> Path:
    numbers = [int(name) for name in os.listdir(folder) if name.isdecimal()]
    return folder / str(max(numbers, default=0) + 1)


def _of_recipe(folder: Path, digest: str) -> Iterator[Path]:
    """Yield the numbered folders that this recipe left, the newest first."""
    return (place for place in _numbered(folder) if _written(place) == digest)


def _numbered(folder: Path) -> Iterator[Path]:
    names = os.listdir(folder) if folder.is_dir() else []
    for number in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
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
