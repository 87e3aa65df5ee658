"""Tables in files: CSV, columns between blanks, and the tables within a log."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

from ensemake.config.metric import Reading
from ensemake.config.run import as_list
from ensemake.sweep.tables import Record, Table, is_number, read_table, without_units

WARNING = re.compile(r"\s*WARNING", re.IGNORECASE)  # may stand amid the rows of a log's table


def table_of(text: str, form: Reading) -> Table:
    """Return the table that a text is, or holds.

    Raises
    ------
    ValueError
        It is no table, or holds none that begins so.
    """
    if form.table is not None:
        return _in_log(text, form.table)
    if form.is_plain:
        return without_units(read_table(text))
    lines = text.split("\n")
    lines[: form.skip] = [""] * min(form.skip, len(lines))
    marks = tuple(as_list(form.comment))
    lines = [f"# {line.lstrip()}" if line.lstrip().startswith(marks) else line for line in lines]
    if form.delimiter == "blank":
        return without_units(read_table("\n".join(map(_tabbed, lines)), "\t"))
    return without_units(read_table("\n".join(lines), form.delimiter or ""))


def _tabbed(line: str) -> str:
    return re.sub(r"[ \t]+", "\t", line.strip())


def _in_log(text: str, word: str) -> Table:
    lines = text.split("\n")
    heads = (n for n in range(len(lines) - 1, -1, -1) if is_head(lines[n], word))
    head = next(heads, None)
    if head is None:
        raise ValueError(f"no table begins with {word!r}")
    columns = lines[head].split()
    return Table(columns, list(_rows(lines, head, len(columns))), [], " ")


def is_head(line: str, word: str) -> bool:
    """Tell whether a line names the columns of a table that begins with a word."""
    return line.split(maxsplit=1)[:1] == [word] and not is_row(line.split(), len(line.split()))


def is_row(cells: Sequence[str], width: int) -> bool:
    """Tell whether cells are a row of so many numbers."""
    return len(cells) == width and all(is_number(cell) or set(cell) == {"*"} for cell in cells)


def _rows(lines: Sequence[str], head: int, width: int) -> Iterator[Record]:
    for number, line in enumerate(islice(lines, head + 1, None), head + 2):
        cells = line.split()
        if is_row(cells, width):
            yield number, cells
        elif not WARNING.match(line):
            return


class Column(Sequence[str]):
    """The cells of a column, by its name or its place; a row that is cut off is told when asked."""

    def __init__(self, table: Table, name: str | int) -> None:
        self._table = table if isinstance(name, str) else nameless(table)
        self._name = name

    def __len__(self) -> int:
        return len(self._table.rows)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self._cell(n) for n in range(len(self))[row]]
        return self._cell(row)

    def __iter__(self) -> Iterator[str]:
        return map(self._cell, range(len(self)))

    def _cell(self, row: int) -> str:
        cells = self._table.rows[row][1]
        if len(cells) != len(self._table.columns):
            cells = self._table.cells(row)
        return cells[self._place].strip()

    @cached_property
    def _place(self) -> int:
        width = len(self._table.columns)
        if isinstance(self._name, str):
            return self._table.position(self._name)
        if not -width <= self._name < width:
            raise ValueError(f"no column {self._name}, it has {width}")
        return self._name


def nameless(table: Table) -> Table:
    """Return a table that may have no line of names: what seems to be one is a row then."""
    is_one = bool(table.columns) and all(map(is_number, table.columns))
    return replace(table, rows=[(1, table.columns), *table.rows]) if is_one else table
