"""JSON and YAML files: values are replaced where they stand, so all else stays as it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from ensemake.formats.keys import Keys, innermost

BLANK = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]}:/]+', re.DOTALL)

Style = Literal["flow", "block", "plain", "quoted", "fixed"]


@dataclass(frozen=True)
class Span:
    """A value, and where it stands: of a mapping or a list, also what is in it."""

    begin: int
    end: int
    style: Style
    value: Any  # a scalar, or a mapping or list of spans
    first: int = -1  # where the first key of a mapping stands

    @property
    def plain(self) -> Any:
        """The value alone."""
        if isinstance(self.value, dict):
            return {key: one.plain for key, one in self.value.items()}
        return [one.plain for one in self.value] if isinstance(self.value, list) else self.value


class SpanText:
    """A text of one of the two formats, whose values are replaced one after another."""

    def __init__(self, text: str, is_json: bool) -> None:
        self.text, self._is_json = text, is_json
        self._read()

    def _read(self) -> None:
        self._top = json_spans(self.text) if self._is_json else yaml_spans(self.text)
        self.data = self._top.plain

    def set(self, way: Keys, value: Any) -> None:
        """Replace a value."""
        span = self._at(way)
        if span.style in ("block", "fixed"):
            raise ValueError("stands on several lines, which cannot be replaced; use a tag")
        lead = " " if span.begin == span.end and self.text[span.begin - 1] == ":" else ""
        self._replace(span.begin, span.end, lead + self._written(value, span.style))

    def create(self, key: str, value: Any) -> None:
        """Put in a key that is not there."""
        way, names = innermost(self.data, key)
        span = self._at(way)
        if not isinstance(span.value, dict):
            raise ValueError("holds no mapping at its top")
        for name in reversed(names[1:]):
            value = {name: value}
        word = self._written(value, "plain")
        name = json.dumps(names[0]) if self._is_json else self._written(names[0], "plain")
        if not span.value:
            self._replace(span.begin, span.end, f"{{{name}: {word}}}")
        elif span.style == "flow":
            blank = self.text[span.begin + 1 : span.first]
            between = blank if blank.isspace() else " "
            self._replace(span.first, span.first, f"{name}: {word},{between}")
        else:
            line = self.text.rfind("\n", 0, span.first) + 1
            indent = " " * (span.first - line)
            self._replace(span.first, span.first, f"{name}: {word}\n{indent}")

    def _replace(self, begin: int, end: int, word: str) -> None:
        self.text = self.text[:begin] + word + self.text[end:]
        self._read()

    def _at(self, way: Keys) -> Span:
        span = self._top
        for key in way:
            span = span.value[key]
        return span

    def _written(self, value: Any, style: Style) -> str:
        if self._is_json:
            return json.dumps(value, ensure_ascii=False)
        quote = '"' if style == "quoted" and isinstance(value, str) else None
        word = yaml.safe_dump(
            [value],  # as an item of a list: so it is right between brackets, too
            default_flow_style=True,
            default_style=quote,
            width=10**9,
            allow_unicode=str(value).isprintable(),
        )
        return word.rstrip("\n").removeprefix("[").removesuffix("]")


# ---- JSON ----


def json_spans(text: str) -> Span:
    """Return what a JSON text holds; comments as in JavaScript are left out.

    Raises
    ------
    ValueError
        It is none.
    """
    span = _json(text, 0)
    if _skip(text, span.end) != len(text):
        raise _no_json(text, span.end)
    return span


def _skip(text: str, place: int) -> int:
    found = BLANK.match(text, place)
    return found.end() if found else place


def _no_json(text: str, place: int) -> ValueError:
    return ValueError(f"is no JSON at line {text.count(chr(10), 0, place) + 1}")


def _json(text: str, place: int) -> Span:
    begin = _skip(text, place)
    if text[begin : begin + 1] in ("{", "["):
        return _json_many(text, begin, is_mapping=text[begin] == "{")
    found = SCALAR.match(text, begin)
    try:
        return Span(begin, found.end(), "plain", json.loads(found[0]))  # type: ignore[union-attr,index]
    except (AttributeError, TypeError, ValueError):
        raise _no_json(text, begin) from None


def _json_many(text: str, begin: int, is_mapping: bool) -> Span:
    items: dict[str, Span] = {}
    spans: list[Span] = []
    place, close = _skip(text, begin + 1), "}" if is_mapping else "]"
    first = place
    while text[place : place + 1] != close:
        span = key = _json(text, place)
        if is_mapping:
            colon = _skip(text, key.end)
            if text[colon : colon + 1] != ":" or not isinstance(key.value, str):
                raise _no_json(text, colon)
            span = items[key.value] = _json(text, colon + 1)
        spans.append(span)
        place = _skip(text, span.end)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != close:
            raise _no_json(text, place)
    return Span(begin, place + 1, "flow", items if is_mapping else spans, first)


# ---- YAML ----


def yaml_spans(text: str) -> Span:
    """Return what a YAML text holds; raise ValueError if it is none."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())}") from None
    return Span(0, len(text), "block", {}) if node is None else _yaml(node)


def _yaml(node: Any) -> Span:
    begin, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.ScalarNode):
        kinds: Mapping[Any, Style] = {None: "plain", "'": "quoted", '"': "quoted"}
        value = yaml.SafeLoader("").construct_object(node)
        return Span(begin, end, kinds.get(node.style, "fixed"), value)
    style: Style = "flow" if node.flow_style else "block"
    if isinstance(node, yaml.SequenceNode):
        return Span(begin, end, style, [_inside(node, one) for one in node.value])
    items = {str(key.value): _inside(key, value) for key, value in node.value}
    first = node.value[0][0].start_mark.index if node.value else -1
    return Span(begin, end, style, items, first)


def _inside(outer: Any, node: Any) -> Span:
    """An alias stands elsewhere: what it means can only be changed there."""
    span = _yaml(node)
    is_alias = node.start_mark.index < outer.start_mark.index
    return Span(span.begin, span.end, "fixed", span.value) if is_alias else span
