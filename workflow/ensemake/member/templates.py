"""Jinja2 template files: their encoding and their line ends are kept."""

import re
from collections import Counter
from collections.abc import Mapping

from ensemake.config.scalars import Scalar
from ensemake.member.tags import encode, encoding_of
from ensemake.sweep.expressions import template


def render_file(data: bytes, params: Mapping[str, Scalar]) -> bytes:
    """Render the contents of a template file, keeping its encoding and its line ends.

    The file is read as UTF-8, or else Latin-1. Mixed line ends become the most frequent one.

    Raises
    ------
    ValueError
        It cannot be rendered, or a value does not exist in the encoding of the file.
    """
    encoding = encoding_of(data)
    text = data.decode(encoding)
    newlines = Counter(re.findall(r"\r\n|\r|\n", text)).most_common(1)
    rendered = template(text, newlines[0][0] if newlines else "\n").render(params)
    return encode(rendered, encoding, "a value")
