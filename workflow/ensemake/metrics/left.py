"""What a member left: each of its files is read once for all metrics, and what is wrong with it.

What a program leaves may be anything: only regular files are read, and of limited size.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ensemake.atomic import LARGEST, read_end
from ensemake.sweep.tables import decoded

TOO_LARGE = f"has more than {LARGEST >> 20} MB, which is not read"


class Left:
    """The files of a member.

    Parameters
    ----------
    directory
        The member's.
    is_running
        Whether it may still be writing: then a line without an end does not count yet.
    """

    def __init__(self, directory: Path, is_running: bool = False) -> None:
        self.directory = directory
        self.is_running = is_running
        self._known: dict[Any, Any] = {}

    def once(self, key: Any, reader: Callable[[], Any]) -> Any:
        """Return what a reader gave, or raise what it raised, the first time."""
        if key not in self._known:
            self._known[key] = _attempt(reader)
        found = self._known[key]
        if isinstance(found, Exception):
            raise found
        return found

    def end(self, file: str) -> str:
        """Return a file's text; of a large one the end, from a new line on: the last counts."""
        return self._text(file)[0]

    def whole(self, file: str) -> str:
        """Return all of a file's text."""
        text, is_whole = self._text(file)
        if not is_whole:
            raise ValueError(TOO_LARGE)
        return text

    def json(self, file: str) -> Any:
        """Return the value of a JSON file; of JSON lines, a `JsonLines` of them."""
        return self.once((file, "json"), lambda: read_json(self.whole(file)))

    def _text(self, file: str) -> tuple[str, bool]:
        found: tuple[str, bool] = self.once((file, "text"), lambda: self._read(file))
        return found

    def _read(self, file: str) -> tuple[str, bool]:
        data, is_whole = content(self.directory / file)
        text = decoded(data if is_whole else data.partition(b"\n")[2], "replace")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if self.is_running and not text.endswith(("}\n", "}")):
            text = text[: text.rfind("\n") + 1]
        return text, is_whole


def _attempt(reader: Callable[[], Any]) -> Any:
    try:
        return reader()
    except (OSError, ValueError) as error:
        return error
    except RecursionError:
        return ValueError("is nested too deep to be read")


def content(path: Path) -> tuple[bytes, bool]:
    """Return a file's bytes, unpacked, at most the last `LARGEST`; and whether that is all."""
    data, is_whole = read_end(path, LARGEST)
    if path.suffix != ".gz":
        return data, is_whole
    if not is_whole:
        raise ValueError(TOO_LARGE)
    try:
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(LARGEST + 1)
    except (EOFError, OSError, zlib.error):
        raise ValueError("is no gzip file, or not all of it is there") from None
    if len(data) > LARGEST:
        raise ValueError(TOO_LARGE)
    return data, True


class JsonLines(list[Any]):
    """The values of JSON lines."""


def read_json(text: str) -> Any:
    """Read one JSON value, or lines of them."""
    try:
        return _one(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
    return JsonLines(
        _of_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line
    )


def _of_line(number: int, line: str) -> Any:
    try:
        return _one(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}: {error.msg}") from None


def _one(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python converts no more digits
        raise ValueError("holds a whole number of more than 4300 digits") from None
