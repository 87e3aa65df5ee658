"""Dotted keys into nested mappings and lists."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ensemake.config.faults import did_you_mean

Keys = tuple[str | int, ...]


def way_to(data: Any, key: str) -> Keys | None:
    """Return the way to what a dotted key means; None if it is not there.

    Parts of a key may hold dots themselves; numbers count items of lists.
    """
    if isinstance(data, Mapping):
        if key in data:
            return (key,)
        for head, rest in _splits(key):
            way = way_to(data[head], rest) if head in data else None
            if way:
                return (head, *way)
    if isinstance(data, list):
        head, _, rest = key.partition(".")
        if head.isdigit() and int(head) < len(data):
            way = way_to(data[int(head)], rest) if rest else ()
            return None if way is None else (int(head), *way)
    return None


def innermost(data: Any, key: str) -> tuple[Keys, list[str]]:
    """Return the way to the innermost mapping that is there, and what is missing below it."""
    for head, rest in reversed(list(_splits(key))):
        way = way_to(data, head)
        if way and isinstance(value_in(data, way), Mapping):
            return way, rest.split(".")
    return (), key.split(".")


def value_in(data: Any, way: Keys) -> Any:
    """Return what a way leads to."""
    for key in way:
        data = data[key]
    return data


def no_key(data: Any, key: str) -> ValueError:
    """Say that a key is not there, and which one may be meant."""
    near = did_you_mean(key, list(_all(data)))
    return ValueError(f"has no key {key!r}{near or '; with create: true it is made'}")


def _splits(key: str) -> Iterator[tuple[str, str]]:
    places = [place for place, letter in enumerate(key) if letter == "."]
    return ((key[:place], key[place + 1 :]) for place in places)


def _all(data: Any, before: str = "") -> Iterator[str]:
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(data, Mapping):
        items = list(data.items())
    elif isinstance(data, list):
        items = list(enumerate(data))
    for key, value in items[:200]:
        yield f"{before}{key}"
        yield from _all(value, f"{before}{key}.")
