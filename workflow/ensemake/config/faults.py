"""Faults of a config file: gathered, told all at once, each with file, line and remedy."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]
LONGEST = 2000  # characters of a line that is told


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, and what to write instead."""

    path: KeyPath
    message: str
    line: int | None = None


class KeyedError(ValueError):
    """A fault that knows the key it comes from, below that of its model or ensemble."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path


class ConfigError(ValueError):
    """A config that cannot be run; ``str()`` of it is what the user reads.

    Parameters
    ----------
    file
        The config file's name, as the user wrote it.
    faults
        All that was found, in any order.
    """

    def __init__(self, file: str, faults: Iterable[Fault]) -> None:
        self.file = file
        self.faults = sorted(set(faults), key=lambda f: (f.line or 0, dotted(f.path), f.message))
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        count = len(self.faults)
        lines = [fault_line(self.file, fault) for fault in self.faults]
        return [*lines, f"{count} fault{'s' * (count > 1)} in {self.file}: nothing was run."]


def printable(text: str, most: int = LONGEST) -> str:
    """Return a text as one line that a terminal shows as it is: no escapes, no line ends.

    Values and file names come from anywhere; one must not clear the screen, or look like a line of
    ours.
    """
    kept = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return kept if len(kept) <= most else f"{kept[:most]}... ({len(kept):,} characters)"


def fault_line(file: str, fault: Fault) -> str:
    """Return the fault as one line: ``file:line: key.path: message``."""
    where = file if fault.line is None else f"{file}:{fault.line}"
    path = dotted(fault.path)
    told = f"{where}: {path}: {fault.message}" if path else f"{where}: {fault.message}"
    return printable(told)


def dotted(path: KeyPath) -> str:
    """Write a key path as ``ensembles.heat.files.to_copy[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
