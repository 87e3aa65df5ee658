"""YAML as people write it: every key's line is kept, duplicate keys and YAML's traps are faults."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ensemake.config.faults import ConfigError, Fault, KeyPath

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TEXT_MEANT_AS_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")
OCTAL = re.compile(r"[-+]?0[0-7_]+")
DEEPEST = 100  # lists and mappings within each other
MOST_REPEATED = 100_000  # values that aliases may add to those that are written out
OTHER_BASE = re.compile(r"([-+]?)(0[xXbBoO][0-9a-fA-F_]+)")
BASES = {"x": "hexadecimal", "b": "binary", "o": "octal"}
EMPTY = "is empty; write experiment: NAME, and models or ensembles"


@dataclass
class Document:
    """A parsed file: its data, and the line (from 1) of every key and list item."""

    file: str
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    room: int = 0  # for how many values more there is room

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a key path, or of the nearest enclosing key."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path) or None

    def override(self, values: Mapping[str, Any]) -> None:
        """Set top-level keys from elsewhere: they have no line in the file."""
        if isinstance(self.data, dict):
            self.data.update(values)
            own = {path: n for path, n in self.lines.items() if not path or path[0] not in values}
            self.lines = own | {(key,): 0 for key in values}

    def fault(self, path: KeyPath, message: str) -> Fault:
        """Return a fault that knows its line."""
        return Fault(path, message, self.line(path))


def load_yaml(file: Path) -> Document:
    """Read a YAML file.

    Parameters
    ----------
    file
        Path of the file; shown in messages as given.

    Raises
    ------
    ConfigError
        If it cannot be read, is no YAML, or is empty. Duplicate keys and traps are left in
        ``Document.faults``, to be told together with what validation finds.
    """
    document = Document(str(file))
    text = _read(file)
    node = _compose(file, text)
    if node is None:
        raise ConfigError(str(file), [Fault((), EMPTY)])
    document.room = len(text) + MOST_REPEATED
    try:
        document.data = _build(document, node, ())
    except _EndlessError as error:
        raise ConfigError(str(file), [error.fault]) from None
    return document


def _compose(file: Path, text: str) -> yaml.Node | None:
    try:
        _check_depth(file, text)  # the parser calls itself, and would end Python
        node: yaml.Node | None = yaml.compose(text, Loader=LOADER)
        return node
    except yaml.YAMLError as error:
        fault = _syntax_fault(error, text)
    raise ConfigError(str(file), [fault])


def _check_depth(file: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            message = f"lists or mappings within each other, more than {DEEPEST} deep"
            line = event.start_mark.line + 1 if event.start_mark else None
            raise ConfigError(str(file), [Fault((), message, line)])


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
        # utf-8-sig: editors on Windows put a byte order mark in front
        return data.decode(encoding="utf-8-sig")
    except FileNotFoundError:
        fault = Fault((), "no such file; name yours with --configfile FILE")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fault = Fault((), "this line is not UTF-8 text; save the file as UTF-8", line)
    except OSError as error:
        fault = Fault((), f"cannot be read: {error.strerror}")
    raise ConfigError(str(file), [fault])


# What libyaml says, and what a person can do about it.
SYNTAX = {
    "mapping values are not allowed": "a second ': ' in one line, or a line set too far to the "
    "right; quote text that holds ': '",
    "did not find expected key": "this line does not line up with those above; check its blanks",
    "did not find expected '-' indicator": "this line does not line up with those above; check "
    "its blanks",
    "did not find expected ',' or ']'": "the list of line {began} is not closed; a ',' or ']' is "
    "missing",
    "did not find expected ',' or '}'": "the mapping of line {began} is not closed; a ',' or '}}' "
    "is missing",
    "could not find expected ':'": "the key of line {began} has no ':' with a blank after it",
    "found unexpected end of stream": "the quote of line {began} is not closed",
    "found unexpected document indicator": "the quote of line {began} is not closed",
    "found undefined alias": "a value that begins with * refers to an anchor (&name), and there "
    "is none; quote it if it is text",
    "found another document": "'---' begins a second document; a config is one only",
    "found unknown escape character": 'a backslash in "..." has a meaning of its own; '
    "use '...' instead",
}


def _syntax_fault(error: yaml.YAMLError, text: str) -> Fault:
    if isinstance(error, yaml.reader.ReaderError):
        # libyaml reads UTF-8 bytes, and counts them
        line = text.encode()[: error.position].count(b"\n") + 1
        return Fault((), "a control character; YAML allows none, remove it", line)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if "cannot start any token" in problem and mark:
        problem = _bad_start(text.splitlines()[mark.line][mark.column])
    else:
        problem = _remedy(problem, getattr(error, "context_mark", None))
    return Fault((), f"not valid YAML: {problem}", mark.line + 1 if mark else None)


def _bad_start(char: str) -> str:
    if char == "\t":
        return "a tab where YAML wants blanks; indent with blanks only"
    return f"no text can begin with {char}; quote it"


def _remedy(problem: str, began: Any) -> str:
    for known, remedy in SYNTAX.items():
        if known in problem:
            return remedy.format(began=began.line + 1 if began else "?")
    return problem


class _EndlessError(ValueError):
    """What aliases make of a file is too much."""

    def __init__(self, message: str, node: yaml.Node) -> None:
        super().__init__(message)
        self.fault = Fault((), message, node.start_mark.line + 1)


def _build(document: Document, node: yaml.Node, path: KeyPath) -> Any:
    document.room -= 1
    if len(path) > DEEPEST:
        message = "an alias (*name) lies within its own anchor (&name); write it out"
        raise _EndlessError(message, node)
    if document.room < 0:
        message = f"aliases (*name) repeat more than {MOST_REPEATED:,} values"
        raise _EndlessError(message, node)
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode):
        return [_build(document, item, (*path, i)) for i, item in enumerate(node.value)]
    return _scalar(document, node, path)


def _mapping(document: Document, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            merged |= _merge(document, value_node, path)
            continue
        key = _key(document, key_node, path)
        if key in own:
            first = document.lines[(*path, key)]
            message = f"given twice (first in line {first}); keep one"
            document.faults.append(Fault((*path, key), message, key_node.start_mark.line + 1))
            continue
        document.lines[(*path, key)] = key_node.start_mark.line + 1
        own[key] = _build(document, value_node, (*path, key))
    return merged | own


def _merge(document: Document, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    merged: dict[str, Any] = {}
    for part in reversed(parts):
        built = _build(document, part, path)
        if isinstance(built, dict):
            merged |= built
        else:
            document.faults.append(document.fault(path, "'<<' merges mappings only"))
    return merged


def _key(document: Document, node: yaml.Node, path: KeyPath) -> str:
    """Keys are text as written: ``no:`` and ``1:`` stay 'no' and '1'."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    line = node.start_mark.line + 1
    remedy = "Jinja2 wants quotes around it: '{{ ... }}'; else a key must be plain text"
    document.faults.append(Fault(path, remedy, line))
    return f"line {line}"


def _scalar(document: Document, node: Any, path: KeyPath) -> Any:
    trap = None if node.style else _trap(node)  # quoted text is what it looks like
    if trap:
        document.faults.append(document.fault(path, trap))
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or error
        document.faults.append(document.fault(path, f"cannot be read: {problem}; quote it"))
        return node.value


def _trap(node: Any) -> str | None:
    """Say how to write what YAML 1.1 reads as something else than a person means."""
    text, kind = str(node.value), node.tag.rpartition(":")[2]
    if kind == "bool" and text.lower() not in ("true", "false"):
        truth = "True" if text.lower() in ("yes", "on", "y") else "False"
        return f"YAML reads {text} as {truth}; write {truth.lower()}, or '{text}' for the text"
    if kind == "str" and TEXT_MEANT_AS_NUMBER.fullmatch(text):
        return f"YAML reads {text} as text; write {_number(text)}, or '{text}' for the text"
    if kind in ("int", "float") and ":" in text:
        return f"YAML reads {text} as a number in base 60; write '{text}' for the text"
    if kind == "int" and OCTAL.fullmatch(text):
        return f"YAML reads {text} as an octal number; write {_decimal(text)}, or '{text}'"
    based = OTHER_BASE.fullmatch(text)
    if based and kind in ("int", "str"):
        return _based(text)
    if kind in ("int", "float") and "_" in text:
        number = text.replace("_", "")
        return f"YAML reads {text} as {number}; write {number}, or '{text}' for the text"
    if kind == "timestamp":
        return f"YAML reads {text} as a date; write '{text}' for the text"
    return None


def _based(text: str) -> str | None:
    """Tell of 0x1F and 0b11, numbers to YAML, and of 0o17, a text to it."""
    base = BASES[text.lstrip("+-")[1].lower()]
    try:
        number = int(text, 0)
    except ValueError:  # 0bag, 0o9: text to everyone
        return None
    return f"{text} is {number} if it is {base}; write {number}, or '{text}' for the text"


def _decimal(text: str) -> str:
    """Return 010 as 10."""
    sign = "-" if text.startswith("-") else ""
    return sign + (text.lstrip("+-0_") or "0")


def _number(text: str) -> str:
    """Return 1e3 as YAML 1.1 wants it: 1.0e+3."""
    mantissa, exponent = re.split("[eE]", text)
    mantissa += "" if "." in mantissa else ".0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"
