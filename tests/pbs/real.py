"""What tests on a real PBS share. They need a home directory that the nodes share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def asked(*command: str) -> str:
    """Return what a command of PBS prints, nothing if it cannot."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def server_answers() -> bool:
    """Tell whether there is a PBS here, and not just its commands."""
    wanted = os.environ.get("PBS_CONF_FILE") or shutil.which("qstat")
    return bool(wanted) and "pbs_version" in asked("qstat", "-B", "-f")


def free_nodes(cpus: int) -> int:
    """Return how many nodes have so many CPUs free."""
    rooms = re.findall(r"^\S+ +free .* (\d+)/\d+ +\S+ +\S+ +\S+$", asked("pbsnodes", "-aSj"), re.M)
    return sum(int(room) >= cpus for room in rooms)


def in_queue(folder: Path) -> list[str]:
    """Return the ids of the unfinished jobs of a folder."""
    ids = asked("qselect").split()
    listed = asked("qstat", "-E", "-f", "-F", "dsv", *ids) if ids else ""
    mine = [line for line in listed.splitlines() if str(folder) in line]
    return [line.split("|")[0].removeprefix("Job Id: ") for line in mine]


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that the nodes see; afterwards no job of it is left."""
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="pbs-test-") as folder:
        yield Path(folder)
        left = in_queue(Path(folder))
        if left:
            subprocess.run(["qdel", "-W", "force", *left])
