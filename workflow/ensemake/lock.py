"""After kill -9 or a power cut Snakemake stays locked until --unlock; here it need not.

The kernel frees a lock of ours when its process ends, however it ends. Who gets it knows that no
other run of this experiment lives, and that what Snakemake left locked can be freed.
"""

import fcntl
import socket
from pathlib import Path
from typing import IO

SNAKEMAKE_LOCKS = Path(".snakemake/locks")

_held: list[IO[str]] = []  # open for as long as this process lives


def free_dead_lock(root: Path) -> None:
    """Remove the locks that a dead run of this machine left on the files below ``root``.

    Parameters
    ----------
    root
        Folder of the experiment's results, relative to the working directory.
    """
    folder = root / ".ensemake"
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "run.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a run is alive, or this file system cannot tell
        file.close()
        return
    _held.append(file)
    if _was_here(file):
        for lock in SNAKEMAKE_LOCKS.glob("*.lock"):
            if _concerns(lock, root):
                lock.unlink(missing_ok=True)


def _was_here(file: IO[str]) -> bool:
    """Some network file systems keep locks to each machine: only its own dead can be told."""
    file.seek(0)
    if file.read() == socket.gethostname():
        return True
    file.truncate(0)
    file.write(socket.gethostname())
    file.flush()
    return False


def _concerns(lock: Path, root: Path) -> bool:
    """Snakemake's locks list files, one on a line; those of other workflows stay."""
    paths = lock.read_text(encoding="utf-8").splitlines()
    return any(path.startswith(f"{root}/") for path in paths)
