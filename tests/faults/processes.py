"""The processes of a trial, found by a mark in their environment, and what each of them is."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "ENSEMAKE_FAULTS"  # of the environment of all that a trial starts


@dataclass(frozen=True)
class Process:
    """A living process of a trial."""

    pid: int
    words: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What it is, in the terms of the kinds of trials; empty for what is of no interest."""
        program = os.path.basename(self.words[0])
        if program.startswith(("redis-server", "valkey-server")):
            return "server"
        if program.startswith("python"):
            if self.words[1].endswith("batch.py"):
                return "runner"
            kinds = {"node_agent": "agent", "store.keeper": "keeper"}
            return next((kinds[k] for k in kinds if any(k in word for word in self.words)), "")
        if self.words[-1].endswith("/run.sh"):
            return "run.sh"
        return "member" if any(word.endswith("member.sh") for word in self.words[:2]) else ""

    def __str__(self) -> str:
        return f"{self.pid} {' '.join(self.words)[:100]}"


def alive(mark: str, folder: Path) -> list[Process]:
    """Return the processes that carry a mark, or work below a folder (PBS passes no marks on)."""
    return list(_alive(f"{MARK}={mark}".encode(), folder))


def _alive(mark: bytes, folder: Path) -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0") or _works_in(entry, folder):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                if words:  # none of one that has ended
                    yield Process(int(entry.name), tuple(words))
        except OSError:  # gone, or somebody else's
            continue


def _works_in(entry: Path, folder: Path) -> bool:
    return Path(os.readlink(entry / "cwd")).is_relative_to(folder)
