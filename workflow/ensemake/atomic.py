"""Files that are written whole, so that a reader never sees half of one; and read with bounds.

What a program leaves may be anything: a pipe that nobody writes to, a link to a device without an
end. Reading it neither waits nor fills the memory.
"""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

DEFAULT_MODE = 0o666
LARGEST = 64 << 20  # bytes of a file from outside that are read
PRIVATE = 0o600  # what may hold secrets
TEMPORARY = re.compile(r"\.ensemake-[0-9a-f]{12}\.tmp")


def granted(mode: int) -> int:
    """Return a mode without what this process's umask keeps from others."""
    return mode & ~UMASK


def _umask() -> int:
    """It can only be read by setting it; once, before there are threads."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


UMASK = _umask()


def write_atomically(target: Path, data: bytes, mode: int = DEFAULT_MODE) -> None:
    """Make a file hold these bytes; untouched if it does.

    Parameters
    ----------
    target
        The file; its folder is made where it is missing.
    data
        Its whole content.
    mode
        Its permission bits, before the umask takes some away.
    """
    mode = granted(mode)
    if _holds(target, data, mode):
        return
    with replacing(target) as (temporary, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        temporary.chmod(mode)


@contextmanager
def replacing(target: Path) -> Iterator[tuple[Path, int]]:
    """Give a new file, open for writing, that takes the place of another in the end.

    It is locked, so that who clears up after the dead sees that its writer lives.
    """
    temporary, descriptor = _created(target)
    try:
        yield temporary, descriptor
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk
            error.filename = str(target)
        raise
    finally:
        os.close(descriptor)


def _created(target: Path) -> tuple[Path, int]:
    """Make it again if it was taken for one of the dead before it was locked."""
    while True:
        temporary = sibling(target)
        descriptor = _create(temporary)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)


def sibling(target: Path) -> Path:
    """Return a new name beside a file: each writer has its own, so that none takes another's."""
    return target.with_name(f".ensemake-{token_hex(6)}.tmp")


def clear_dead(folder: Path) -> None:
    """Remove from a folder what writers left that were killed; a folder that is not there is clear.

    Called by the run that holds the lock of what lies there.
    """
    with suppress(OSError):  # not ours to write: it stays
        for name in filter(TEMPORARY.fullmatch, os.listdir(folder)):
            _clear(f"{folder}/{name}")


def _clear(path: str) -> None:
    """Remove a file whose writer does not hold it, and hold it as long as that takes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a link, that is made and renamed at once
        os.unlink(path)
        return
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(descriptor)


def _holds(target: Path, data: bytes, mode: int) -> bool:
    try:
        return read_whole(target, len(data)) == data and stat.S_IMODE(target.stat().st_mode) == mode
    except (OSError, ValueError):  # not there yet, or something else
        return False


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, DEFAULT_MODE)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, DEFAULT_MODE)


def read_whole(path: str | Path, most: int) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no regular file, or larger.
    """
    descriptor = open_regular(path)
    try:
        data = os.read(descriptor, most + 1)
        while len(data) <= most and (more := os.read(descriptor, most + 1 - len(data))):
            data += more
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise ValueError(f"has more than {most >> 20} MB, which is not read")
    return data


def read_end(path: str | Path, most: int) -> tuple[bytes, bool]:
    """Return the last `most` bytes of a regular file, and whether that is all of it; as above."""
    with open(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - most))
        return file.read(most), size <= most


def open_regular(path: str | Path) -> int:
    """Open a regular file to read and return its descriptor; raise ValueError if it is none."""
    # without O_NONBLOCK a pipe would be waited for
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ValueError("is no regular file")
