"""Values in plain text: what a regular expression matches, the number after some words."""

import re
from collections.abc import Iterator

import regex

from ensemake.metrics.numbers import NEXT, check_width
from ensemake.sweep.tables import is_number

SEARCH_S = 20.0  # for a regular expression in one file
# How a number goes on before and after a part of it that has a point, or has none.
BEFORE = re.compile(r"(\d|(^|[^\w.])\.|[\d.][eEdD][-+]?|(^|[\s=:(])[-+])\Z")
BEFORE_WHOLE = re.compile(rf"{BEFORE.pattern}|\d\.\Z")
AFTER = re.compile(r"\d|[eEdD][-+]?\d|[-+]\d{3}(?!\d)")  # Fortran writes 0.1234-101
AFTER_WHOLE = re.compile(r"\d|\.\d|\.?[eEdD][-+]?\d")


class Patience:
    """How long each thing may still take; what hangs, hangs for all members."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}

    def seconds(self, key: str, first: float) -> float:
        """Return how long it may take this time."""
        return self._left.get(key, first)

    def spent(self, key: str, seconds: float, least: float) -> None:
        """Note that it took all of them."""
        self._left[key] = max(least, seconds / 2)


def matches(pattern: str, text: str, patience: Patience) -> Iterator["regex.Match[str]"]:
    """Yield all matches; raise ValueError if that takes too long."""
    seconds = patience.seconds(pattern, SEARCH_S)
    try:
        yield from regex.finditer(pattern, text, regex.MULTILINE, timeout=seconds)
    except TimeoutError:
        patience.spent(pattern, seconds, 0.1)
        told = f"{pattern!r} searched for {seconds:g} s, which is too long; write it simpler"
        raise ValueError(told) from None


def group_of(match: "regex.Match[str]", text: str, group: int | str | None = None) -> str:
    """Return a group of a match, by default its first or all of it; no number is cut out."""
    group = (match.re.groups and 1) if group is None else group
    if match[group] is None:
        pattern = match.re.pattern
        raise ValueError(f"group {group} of {pattern!r} has no part in its match {match[0]!r}")
    _check_whole(text, *match.span(group))
    return str(match[group])


def numbers_after(text: str, words: str, most: int = 0) -> list[str]:
    """Return the number that follows each occurrence of some words; the last ones, if not all."""
    _, *parts = text.split(words)
    if not parts:
        raise ValueError(f"there is no {words!r}")
    return [_next(part, words) for part in parts[-most:]]


def _next(text: str, words: str) -> str:
    found = NEXT.search(text)
    if found is None:
        raise ValueError(f"no number follows {words!r}")
    check_width(found[0])
    return found[0]


def _check_whole(text: str, begin: int, end: int) -> None:
    """A number whose exponent or first digits were left out is off by powers of ten."""
    group = text[begin:end].strip()
    if not is_number(group) or not re.search(r"\d", group):
        return
    before = "" if text[begin].isspace() else text[max(0, begin - 8) : begin].rpartition("\n")[2]
    after = "" if text[end - 1].isspace() else text[end : end + 8]
    has_point = "." in group
    is_begun = (BEFORE if has_point else BEFORE_WHOLE).search(before)
    if is_begun and group[0] in "+-":
        is_begun = re.search(r"[eEdD]\Z", before)  # 10-5 is no number, 1e-5 is
    if is_begun or (AFTER if has_point else AFTER_WHOLE).match(after):
        number = re.split(r"\s", before)[-1] + group + re.split(r"\s", after)[0]
        told = f"{group!r} is cut out of the number {number!r}"
        raise ValueError(rf"{told}; match it whole, as with (\S+)")
