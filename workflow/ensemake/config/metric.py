"""The config's sections on results: what is read from the files that a member leaves."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ensemake.config.scalars import InsidePath, Section, Text

Reduce = Literal["mean", "min", "max", "std", "sum", "median", "count", "first", "last"]
NEEDS_FILE = "'file' is missing: where it is read from"


def _rows(text: str) -> str:
    if not re.fullmatch(r"(-?\d{1,18})?:(-?\d{1,18})?", text):
        raise ValueError('must be a range of rows, such as "-50:" for the last 50 or "10:20"')
    return text


def _function(text: str) -> str:
    file, _, name = text.rpartition(":")
    if not file or not name.isidentifier() or "\0" in text:
        raise ValueError("must be FILE.py:FUNCTION or package.module:FUNCTION")
    return text


def _delimiter(text: str) -> str:
    if text != "blank" and (len(text) != 1 or text in '\r\n\0"'):
        raise ValueError("must be one character, or blank for columns separated by blanks")
    return text


Rows = Annotated[str, AfterValidator(_rows)]
Function = Annotated[str, AfterValidator(_function)]
Mark = Annotated[Text, Field(min_length=1)]
Separator = Annotated[str, AfterValidator(_delimiter)]


class Reading(Section):
    """Where values are read from, and how a table is written."""

    file: InsidePath | None = Field(
        None,
        examples=["out.json"],
        description="file in the member's directory; may be packed (`.gz`)",
    )
    key: Text | None = Field(
        None,
        description="JSON, JSON lines: key, dotted for nesting (`final.loss`, `losses.-1`)",
    )
    regex: Text | None = Field(
        None, description="text: regular expression, group 1 of its last match"
    )
    column: Text | int | None = Field(
        None, description="table: name of the column, or its place, from 0"
    )
    variable: Text | None = Field(None, description="netCDF, HDF5: name of the variable")
    delimiter: Separator | None = Field(
        None, description="table: what separates its columns, or `blank`; default what it shows"
    )
    comment: Mark | list[Mark] = Field(
        "#", description="table: what lines that are no rows begin with; several as a list"
    )
    skip: int = Field(0, ge=0, description="table: lines to leave out at its beginning")
    table: Text | None = Field(
        None,
        min_length=1,
        description="log: the last table in it whose line of names begins with this word",
    )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is said of a table."""
        return (self.delimiter, self.comment, self.skip, self.table) == (None, "#", 0, None)


class Metric(Reading):
    """A number or text read from a file that a member leaves behind."""

    after: Text | None = Field(
        None, min_length=1, description="text: the number that follows its last occurrence"
    )
    function: Function | None = Field(
        None, description="`FILE.py:FUNC` or `pkg.mod:FUNC`, for everything else; see below"
    )
    row: int = Field(-1, description="row, match or item, from 0, or from the end with a minus")
    rows: Rows | None = Field(None, description='those to reduce, such as `"-50:"`; default all')
    reduce: Reduce | None = Field(
        None,
        description="one value of many: `mean`, `min`, `max`, `std`, `sum`, `median`, `count`, "
        "`first`, `last`",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Metric":
        _check_kind(self, ("key", "regex", "after", "column", "variable", "function"))
        if self.function is not None and (self.file, self.reduce) != (None, None):
            raise ValueError("function finds its files and its value itself; take out the others")
        if self.rows is not None and self.reduce is None:
            raise ValueError("rows needs reduce: one value of many, such as mean")
        if self.reduce is not None and self.row != -1:
            raise ValueError("takes row, or reduce with rows, not both")
        return self


class Series(Reading):
    """A curve read from a file that a member leaves behind, also while it runs."""

    file: InsidePath = Field(
        examples=["log.csv"],
        description="file in the member's directory; may be packed (`.gz`)",
    )
    key: Text | None = Field(None, description="JSON lines, or a list in JSON: key, dotted")
    regex: Text | None = Field(
        None,
        description="text: regular expression, the first group (but that of index) of each match",
    )
    index: Text | int | None = Field(
        None,
        description="key, column or variable of the index; of a `regex`, its group of that name, "
        "`(?P<name>...)`; default 0, 1, 2, ...",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Series":
        _check_kind(self, ("key", "regex", "column", "variable"))
        return self


def _check_kind(section: Any, kinds: tuple[str, ...]) -> None:
    given = [kind for kind in kinds if getattr(section, kind) is not None]
    if len(given) != 1:
        raise ValueError(f"needs exactly one of {', '.join(kinds)}")
    if section.file is None and given != ["function"]:
        raise ValueError(NEEDS_FILE)
    if given != ["column"] and not section.is_plain:
        raise ValueError("delimiter, comment, skip and table go with column")
