"""What each command of a member left: run.sh notes it in ``.step-<number>``, to be gone on from.

A note is a head and an entry for each file and folder, each ended by a NUL. The head has the
command's digest and how long run.out and run.err were. An entry has type, size, time of change,
name and, after ``//``, what a link points to. All of it must be as it was, or nothing is kept.
"""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from ensemake.atomic import LARGEST, read_whole, write_atomically
from ensemake.member.layout import OWN
from ensemake.member.state import read_status

NOTE = ".step-"
PRINTED = ("run.out", "run.err")
OURS = (*OWN, NOTE + "*", ".ensemake-????????????.tmp")
KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFBLK: "b",
    stat.S_IFCHR: "c",
}


def note(number: int) -> str:
    """Return the name of the note that a command, the first being 1, leaves."""
    return f"{NOTE}{number}"


def kept(directory: Path, chain: Sequence[str]) -> int:
    """Return how many commands need not run, for all that they left is as it was.

    Parameters
    ----------
    directory
        The member's directory.
    chain
        Digests of its commands.
    """
    numbers = range(len(chain), 0, -1)
    return next((n for n in numbers if _is_kept(directory, n, chain[n - 1])), 0)


def left(note: Path) -> set[str]:
    """Return the names, from the directory on, of what the commands so far have left."""
    _, *entries = _read(note)
    return {_name(entry) for entry in entries}


def printed(note: Path) -> tuple[int, int]:
    """Return how long run.out and run.err were when a command had ended."""
    head, *_ = _read(note)
    _, out, err = head.split()
    return int(out), int(err)


def note_completed(directory: Path, chain: Sequence[str], beside: Collection[str]) -> None:
    """Write the note of the last command of a member that completed, and now has more of them.

    run.sh leaves none of the last: what it says in status.json is enough.
    """
    status = read_status(directory)
    if status is None or status.status != "completed" or status.digest not in chain[:-1]:
        return
    number = chain.index(status.digest) + 1
    with suppress(OSError):
        sizes = [(directory / name).stat().st_size for name in PRINTED]
        head = f"{status.digest} {sizes[0]} {sizes[1]}"
        entries = sorted(_entries(directory, "", (*OURS, *beside)))
        data = b"".join(os.fsencode(text) + b"\0" for text in [head, *entries])
        write_atomically(directory / note(number), data)


def forget(directory: Path) -> None:
    """Remove the notes: everything is to run."""
    for path in directory.glob(NOTE + "*"):
        path.unlink()


def _is_kept(directory: Path, number: int, digest: str) -> bool:
    try:
        head, *entries = _read(directory / note(number))
        if head.split()[0] != digest or not _has_printed(directory, head):
            return False
        return all(_entry(directory, _name(entry)) == entry for entry in entries)
    except (OSError, ValueError, IndexError):
        return False


def _has_printed(directory: Path, head: str) -> bool:
    sizes = zip(PRINTED, head.split()[1:], strict=True)
    return all((directory / name).stat().st_size >= int(size) for name, size in sizes)


def _read(path: Path) -> list[str]:
    """A large directory has a large note."""
    return os.fsdecode(read_whole(path, 16 * LARGEST)).split("\0")[:-1]


def _name(entry: str) -> str:
    return entry.split(" ", 3)[3].partition("//")[0]


def _entry(directory: Path, name: str) -> str:
    path = directory / name
    found = path.lstat()
    kind = KINDS[stat.S_IFMT(found.st_mode)]
    if kind == "d":
        return f"d 0 0 {name}//"
    seconds, rest = divmod(found.st_mtime_ns, 10**9)
    target = os.readlink(path) if kind == "l" else ""
    return f"{kind} {found.st_size} {seconds}.{rest:09d}0 {name}//{target}"


def _entries(directory: Path, folder: str, left_out: Collection[str]) -> Iterator[str]:
    for one in os.scandir(directory / folder):
        name = f"{folder}{one.name}"
        if not any(fnmatch(name, pattern) for pattern in left_out):
            yield _entry(directory, name)
            if one.is_dir(follow_symlinks=False):
                yield from _entries(directory, f"{name}/", ())
