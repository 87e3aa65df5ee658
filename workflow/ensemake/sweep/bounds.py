"""Jinja2 that comes to an end: a template or formula that would never do so is an error."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import SandboxedEnvironment

MOST_STEPS = 2_000_000  # turns of loops and calls, of one rendering
MOST_TEXT = 100_000_000  # characters that come out
MOST_BITS = 10_000  # of a whole number: 3,000 digits

WIDTH = re.compile(r"[%:][^\s%{}]*\d{7}")  # of one place of a format
PLACES = re.compile(r"%[^\s*]|\{")  # a number that fills a place is no width

_steps: ContextVar[list[int]] = ContextVar("steps")


class BoundedEnvironment(SandboxedEnvironment):
    """Counts the turns of loops and the calls, and looks at what may be long before it is made."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters["counted"] = _counted
        for name in ("center", "format", "indent"):
            self.filters[name] = _of_width(self.filters[name])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(
                loop.iter, "counted", [], [], None, None, lineno=loop.iter.lineno
            )
        return tree

    def call(self, *arguments: Any, **keywords: Any) -> Any:
        """Call what a template calls."""
        _step()  # twice: a call takes longer than a turn
        _step()
        text = getattr(arguments[1], "__self__", None)
        if isinstance(text, str):
            _check_width(text, (*arguments[2:], *keywords.values()))
        return super().call(*arguments, **keywords)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return what ``text.format`` is in the sandbox."""
        make = super().wrap_str_format(value)
        return make and _of_width(lambda text, *args, **words: make(*args, **words), value.__self__)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left * right``, ``left ** right`` or ``left % right``."""
        if operator == "%" and isinstance(left, str):
            _check_width(left, right if isinstance(right, tuple) else (right,))
        elif _size(operator, left, right) > _most(left, right):
            raise ValueError(f"the result of {operator} is too large")
        return super().call_binop(context, operator, left, right)


def _of_width(make: Callable[..., Any], *first: Any) -> Callable[..., Any]:
    def checked(*arguments: Any, **keywords: Any) -> Any:
        text, *more = (*first, *arguments)
        _check_width(str(text), (*more, *keywords.values()))
        return make(text, *more, **keywords)

    return checked


def _check_width(text: str, arguments: Iterable[Any]) -> None:
    """Refuse ``'x'.center(10**9)`` and ``'%0999999999d' % 1`` before they fill the memory."""
    wide = any(isinstance(one, int) and abs(one) > MOST_STEPS for one in arguments)
    if WIDTH.search(text) or (wide and not PLACES.search(text)):
        raise ValueError("a width is too large")


def rendered(make: Callable[[dict[str, Any]], Iterable[str]], values: dict[str, Any]) -> str:
    """Return the text that a template makes piece by piece.

    Raises
    ------
    ValueError
        If it takes too many steps, or becomes too long.
    """
    token = _steps.set([MOST_STEPS])
    try:
        return "".join(_short(make(values)))
    finally:
        _steps.reset(token)


def _short(pieces: Iterable[str]) -> Iterator[str]:
    left = MOST_TEXT
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise ValueError(f"the text becomes longer than {MOST_TEXT:,} characters")
        yield piece


def _counted(items: Any) -> Any:
    # what is no series is left to Jinja2's own words
    return _one_by_one(items) if isinstance(items, Iterable) and _is_there(items) else items


def _is_there(items: object) -> bool:
    return not isinstance(items, jinja2.Undefined)


def _one_by_one(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _step()
        yield item


def _step() -> None:
    with suppress(LookupError):  # formulas have no loops
        left = _steps.get()
        left[0] -= 1
        if left[0] < 0:
            raise ValueError(f"more than {MOST_STEPS:,} turns of loops and calls")


def _size(operator: str, left: Any, right: Any) -> int:
    """Return how long a product would be: items of text or a list, bits of a whole number."""
    if operator == "**":
        return left.bit_length() * right if _are_whole(left, right) else 0
    for series, times in ((left, right), (right, left)):
        if isinstance(series, str | list | tuple) and isinstance(times, int):
            return len(series) * times
    return left.bit_length() + right.bit_length() if _are_whole(left, right) else 0


def _most(left: Any, right: Any) -> int:
    return MOST_BITS if _are_whole(left, right) else MOST_STEPS


def _are_whole(left: object, right: object) -> bool:
    return isinstance(left, int) and isinstance(right, int)
