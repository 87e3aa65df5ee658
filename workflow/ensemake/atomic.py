"""Files that are written whole: a reader sees the old content or the new, never half of it."""

import os
import stat
from pathlib import Path
from secrets import token_hex

DEFAULT_MODE = 0o666
PRIVATE = 0o600  # what may hold secrets


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
    temporary = sibling(target)
    try:
        _create(temporary, data)
        temporary.chmod(mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sibling(target: Path) -> Path:
    """Return a new name beside a file: each writer has its own, so that none takes another's."""
    return target.with_name(f".{token_hex(6)}.tmp")


def _holds(target: Path, data: bytes, mode: int) -> bool:
    try:
        return target.read_bytes() == data and stat.S_IMODE(target.stat().st_mode) == mode
    except OSError:  # not there yet
        return False


def _create(path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, DEFAULT_MODE)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, DEFAULT_MODE)
    with open(descriptor, "wb") as file:
        file.write(data)
