"""Keys of a member's files that are set: values from the parameters, files in their own formats."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ensemake.config.faults import KeyedError
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Files
from ensemake.formats.edit import with_key
from ensemake.member.tags import encode, encoding_of
from ensemake.sweep.expressions import expression, template
from ensemake.sweep.tables import is_fortran, number_text

ALONE = re.compile(r"\s*\{\{((?:(?!\}\}).)*)\}\}\s*", re.DOTALL)  # a value, not part of a text


def with_set(name: str, data: bytes, files: Files, values: Mapping[str, Scalar]) -> bytes:
    """Return a file's content with its keys set.

    Raises
    ------
    KeyedError
        A key cannot be set.
    """
    encoding = encoding_of(data)
    text = data.decode(encoding)
    for key, value in files.set[name].items():
        try:
            text = with_key(name, text, key, set_value(value, values), files.create)
        except ValueError as error:
            raise KeyedError(("files", "set", name, key), f"{name}: {error}") from None
    return encode(text, encoding, name)


def set_value(value: Any, values: Mapping[str, Scalar]) -> Any:
    """Return what a key is set to: of ``{{ x }}`` alone a number stays one."""
    if isinstance(value, list):
        return [set_value(one, values) for one in value]
    if not isinstance(value, str):
        return value
    alone = ALONE.fullmatch(value)
    found = expression(alone[1]).evaluate(values) if alone else template(value).render(values)
    if isinstance(found, str) and is_fortran(found):
        return float(number_text(found))
    if not isinstance(found, str | int | float | bool | list):
        raise ValueError(f"{value} is a {type(found).__name__}; it must be a text or a number")
    return found


def set_texts(keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts among the values of keys."""
    for value in keys.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield one
