"""Sets keys of a file in its own format; comments and layout stay."""

import copy
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, Protocol

from ensemake.formats.ini import IniText, written
from ensemake.formats.keys import Keys, no_key, value_in, way_to
from ensemake.formats.libraries import CANNOT, NamelistText, TomlText
from ensemake.formats.spans import SpanText


class _Text(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def data(self) -> Any: ...
    def set(self, way: Keys, value: Any) -> None: ...
    def create(self, key: str, value: Any) -> None: ...


_FORMATS: dict[str, Callable[[str], _Text]] = {
    "namelist": NamelistText,
    "JSON": lambda text: SpanText(text, is_json=True),
    "YAML": lambda text: SpanText(text, is_json=False),
    "TOML": TomlText,
    "INI": IniText,
}
SUFFIXES = {
    ".nml": "namelist",
    ".namelist": "namelist",
    ".json": "JSON",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
    **dict.fromkeys((".ini", ".cfg", ".conf", ".mdp", ".properties"), "INI"),
}


def format_of(name: str, text: str) -> str:
    """Return the format of a file, from its name, or else from its beginning.

    Raises
    ------
    ValueError
        Neither says it.
    """
    found = SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if found is None and re.search(r"^\s*[&$][A-Za-z]\w*", text, re.MULTILINE):
        return "namelist"
    if found is None and text.lstrip().startswith("{"):
        return "JSON"
    if found is None:
        known = ", ".join(SUFFIXES)
        raise ValueError(f"is of no format whose keys can be set ({known}); use tags")
    return found


def with_key(name: str, text: str, key: str, value: Any, create: bool) -> str:
    """Return a file's text with another value of a key.

    Parameters
    ----------
    name
        Its name, which tells the format.
    text
        Its content.
    key
        Names separated by dots, numbers for items of lists.
    value
        A number, a text, true or false, or a list of these.
    create
        Whether to put in a key that is not there; else that is a fault.

    Raises
    ------
    ValueError
        It is not there, the file is not of its format, or cannot be changed there.
    """
    kind = format_of(name, text)
    file = _FORMATS[kind](text.replace("\r\n", "\n"))
    key = key.lower() if kind == "namelist" else key
    before, way = copy.deepcopy(file.data), way_to(file.data, key)
    if way is not None:
        file.set(way, value)
        _check(file, before, way, value, kind)
    elif create:
        file.create(key, value)
    else:
        raise no_key(file.data, key)
    return file.text.replace("\n", "\r\n") if "\r\n" in text else file.text


def _check(file: _Text, before: Any, way: Keys, value: Any, kind: str) -> None:
    """See that the key has the value now, and that nothing else has changed."""
    *above, last = way
    holder = value_in(before, tuple(above))
    holder[last] = written(value, str(holder[last])) if kind == "INI" else value
    if file.data != before:
        raise ValueError(CANNOT)
