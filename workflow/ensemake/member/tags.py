"""Tagged files: text between delimiters is replaced by the value of the parameter it names.

Works on bytes, so that everything outside the tags stays what it was.
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from ensemake.config.scalars import Scalar
from ensemake.sweep.spaces import nearest
from ensemake.sweep.tables import is_fortran, number_text

Unknown = Literal["error", "default", "keep"]
Form = Literal["python", "fortran", "json"]


def fortran(value: Scalar) -> str:
    """Write a value as a constant of Fortran's, numbers in double precision."""
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return value if is_fortran(value) else "'" + value.replace("'", "''") + "'"
    if isinstance(value, int):
        return str(value)
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    mantissa = "".join(map(str, digits))
    rest, power = mantissa[1:].rstrip("0") or "0", int(exponent) + len(digits) - 1
    power = power if any(digits) else 0
    return f"{'-' * sign}{mantissa[0]}.{rest}d{power:+03d}"


def _json(value: Scalar) -> str:
    known = float(number_text(value)) if isinstance(value, str) and is_fortran(value) else value
    return json.dumps(known, ensure_ascii=False)


WRITE: dict[Form, Callable[[Scalar], str]] = {"python": str, "fortran": fortran, "json": _json}


def substitute(
    data: bytes,
    params: Mapping[str, Scalar],
    tag: tuple[str, str],
    unknown: Unknown,
    form: Form = "python",
) -> tuple[bytes, set[str]]:
    """Replace the tags in `data`, in one pass.

    Parameters
    ----------
    data
        The file, in UTF-8 or else Latin-1.
    params
        The values, written as plain text.
    tag
        The opening and the closing delimiter, literal text.
    unknown
        What to do about a tag that names no parameter: raise, drop the delimiters and keep the
        text between them as the default, or keep it untouched.
    form
        How values are written.

    Returns
    -------
    tuple of bytes and set of str
        The new file and the parameters it used.

    Raises
    ------
    ValueError
        An unknown tag, or a value that the encoding of the file cannot hold.
    """
    encoding = encoding_of(data)
    pattern = _pattern(_delimiters(tag), unknown == "keep", tuple(params), encoding)
    used: set[str] = set()
    lost: list[re.Match[bytes]] = []

    def replace(match: re.Match[bytes]) -> bytes:
        name = match["name"].decode(encoding)
        if name in params:
            used.add(name)
            return encode(WRITE[form](params[name]), encoding, name)
        lost.append(match)
        return match["name"]

    result = pattern.sub(replace, data) if pattern else data
    if lost and unknown == "error":
        raise ValueError(_unknown_tags(lost, params, encoding))
    return result, used


def encoding_of(data: bytes) -> str:
    """Return the encoding to read a file with: UTF-8 if it can be that, else Latin-1."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def encode(text: str, encoding: str, what: str) -> bytes:
    """Return `text` in the encoding of a file, or raise ValueError naming `what`."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        char = text[error.start : error.end]
        raise ValueError(
            f"{what}: {char!r} does not exist in {encoding}, the encoding of the file; "
            f"save the file as UTF-8"
        ) from None


def _delimiters(tag: tuple[str, str]) -> tuple[str, str]:
    for delimiter in tag:
        if not delimiter or re.search(r"[\r\n]", delimiter):
            raise ValueError(
                f"tag: {delimiter!r} cannot delimit a tag; write some text of one line"
            )
    return tag


@lru_cache(maxsize=64)
def _pattern(
    tag: tuple[str, str], only_known: bool, names: tuple[str, ...], encoding: str
) -> re.Pattern[bytes] | None:
    """Return the pattern of a tag, or None if the file cannot hold one."""
    try:
        start, end = (re.escape(delimiter.encode(encoding)) for delimiter in tag)
    except UnicodeEncodeError:
        return None
    if only_known:
        body = b"|".join(re.escape(name.encode(encoding)) for name in names)
        return re.compile(start + b"(?P<name>" + body + b")" + end) if names else None
    # Atomic: the text holds no closing delimiter, there is nothing to go back for. A possessive
    # group, `(...)++`, is the same but finds nothing in Python 3.11.2 (gh-101955).
    body = rb"(?![ \t])(?>(?:(?!" + start + b"|" + end + rb")[^\r\n])+)(?<![ \t])"
    return re.compile(start + b"(?P<name>" + body + b")" + end)


def _unknown_tags(lost: list[re.Match[bytes]], params: Mapping[str, Scalar], encoding: str) -> str:
    messages = []
    for match in lost:
        line = match.string.count(b"\n", 0, match.start()) + 1
        near = nearest(match["name"].decode(encoding), params)
        messages.append(f"line {line}: {match[0].decode(encoding)} names no parameter{near}")
    return (
        "\n".join(messages) + "\nif the text is the default value of the tag write "
        "unknown_tags: default; if it is no tag, unknown_tags: keep or another tag"
    )
