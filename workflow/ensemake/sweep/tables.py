"""CSV tables as people, spreadsheets and programs write them, for parameters and for metrics.

Read: a byte order mark, commas, semicolons or tabs, blanks after them, lines of comment, empty
lines, columns without a name, decimal commas where another delimiter separates. What could be
read in two ways is refused, with what to write.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

DELIMITERS = ",;\t"
_COMMA = re.compile(r"[-+]?\d+,\d+([eEdD][-+]?\d+)?")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")  # 1,234: a thousand, or little more than one?
_POINT = re.compile(r"[-+]?\d*\.\d+([eEdD][-+]?\d+)?")
_FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))[dDqQ]([-+]?\d+)")
_SURELY = re.compile(r"[-+]?\d*\.?\d*[dDqQ][-+]\d+|.*\..*")  # 3d10 may be a name
_NO_LETTER = re.compile(r"([-+]?\d?\.\d+)([-+]\d{3})")  # Fortran's 0.1234-101

Record = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    columns
        Names, "" for a column without one.
    rows
        Line in the file, and cells.
    comments
        Line in the file, and text, of each comment below the names.
    delimiter
        What separates the cells.
    """

    columns: list[str]
    rows: list[Record]
    comments: list[tuple[int, str]]
    delimiter: str

    def position(self, name: str) -> int:
        """Return where a column is; raise ValueError if there is none, or two of that name."""
        if name and self.columns.count(name) > 1:
            raise ValueError(f"there are two columns {name!r}")
        if not name or name not in self.columns:
            shown = ", ".join(self.columns[:20]) + ", ..." * (len(self.columns) > 20)
            raise ValueError(f"no column {name!r}, it has {shown}")
        return self.columns.index(name)

    def cells(self, row: int) -> list[str]:
        """Return the cells of a row, one for each column; raise ValueError if it has others."""
        line, cells = self.rows[row]
        spare = cells[len(self.columns) :]
        if len(cells) >= len(self.columns) and not any(cell.strip() for cell in spare):
            return cells[: len(self.columns)]
        is_comma = spare and self.delimiter == ","
        remedy = "; separate columns by ; if numbers have decimal commas" if is_comma else ""
        raise ValueError(f"line {line}: {len(cells)} values in {len(self.columns)} columns{remedy}")


def decoded(data: bytes, errors: str = "strict") -> str:
    """Return text, whatever byte order mark it begins with; UTF-8 without one."""
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if is_utf16 else "utf-8-sig", errors)


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written down: JSON may hold half a character, a surrogate."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def read_table(text: str, delimiter: str = "") -> Table:
    """Read a table; its first line that is no comment names the columns.

    What separates them is seen from the text, if it is not given.

    Raises
    ------
    ValueError
        It is no table, or could be read in two ways; the message says what to write.
    """
    lines, said = _said_delimiter(list(io.StringIO(text, newline="")))
    delimiter = delimiter or said or _delimiter(lines)
    comments: list[tuple[int, str]] = []
    records = list(_records(lines, delimiter, comments))
    if not records:
        return Table([], [], comments, delimiter)
    columns, rows = _header(records, comments, delimiter)
    below = [comment for comment in comments if comment[0] > records[0][0]]
    return Table(columns, rows if delimiter == "," else _with_points(rows), below, delimiter)


def without_units(table: Table) -> Table:
    """Leave out a row of units below the names: words above columns of numbers."""
    first, *rest = table.rows or [(0, [""])]
    if any(is_number(cell) for cell in first[1]):
        return table
    sample = [cells for _, cells in rest[:100]]
    above = [cell for place, cell in enumerate(first[1]) if _is_numeric(sample, place)]
    return replace(table, rows=rest) if any(above) else table


def is_number(text: str) -> bool:
    """Tell whether a text is a number, NaN and infinity included."""
    try:
        float(number_text(text.strip()))
    except ValueError:
        return False
    return "_" not in text


def number_text(text: str) -> str:
    """Return a number as others than Fortran write it: 1.0D-03 as 1.0e-03; else the text."""
    found = _FORTRAN.fullmatch(text) or _NO_LETTER.fullmatch(text)
    return f"{found[1]}e{found[2]}" if found else text


def is_fortran(text: str) -> bool:
    """Tell whether a text is a number that only Fortran writes so, such as 1.0d-3 or 1d-3."""
    return number_text(text) != text and _SURELY.fullmatch(text) is not None


def _is_numeric(rows: Sequence[Sequence[str]], place: int) -> bool:
    cells = [row[place] for row in rows if place < len(row)]
    return bool(cells) and all(map(is_number, cells))


class _Lines(Iterator[str]):
    """Lines for the csv module without those of comment; a cell in quotes may hold any line."""

    def __init__(self, lines: Sequence[str], comments: list[tuple[int, str]]) -> None:
        self._lines, self._comments = enumerate(lines, 1), comments
        self.is_begin = True  # of a row
        self.number = 0

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        while self.is_begin and "#" in line and line.lstrip()[0] == "#":
            self._comments.append((self.number, line.strip()))
            self.number, line = next(self._lines)
        self.is_begin = False
        return line


def _records(
    lines: Sequence[str], delimiter: str, comments: list[tuple[int, str]]
) -> Iterator[Record]:
    source = _Lines(lines, comments)
    try:
        for row in csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True):
            if "".join(row).strip():
                yield source.number, row
            source.is_begin = True
    except csv.Error as error:
        told = f"a cell has more than {csv.field_size_limit()} characters"
        reason = told if "field limit" in str(error) else error
        raise ValueError(f"line {source.number}: {reason}") from None


def _said_delimiter(lines: list[str]) -> tuple[list[str], str]:
    """Spreadsheets may say it in a first line of their own: ``sep=;``."""
    said = re.fullmatch(rf'"?sep=([{DELIMITERS}])"?\s*', lines[0]) if lines else None
    return (["\n", *lines[1:]], said[1]) if said else (lines, "")


def _delimiter(lines: Sequence[str]) -> str:
    """Return what separates the names; where it could be several, what fits the rows, too."""
    head = next((line for line in lines if line.strip() and line.lstrip()[0] != "#"), "")
    outside = re.sub(r"\s*([,;])\s*", r"\1", re.sub(r'"[^"]*"', "", head.strip("\r\n ")))
    found = [one for one in DELIMITERS if one in outside]
    fitting = [one for one in found if _fits(lines, one)] if len(found) > 1 else found
    if len(found) > 1 and len(fitting) != 1:
        told = " or ".join(map(repr, found))
        raise ValueError(f'its columns could be separated by {told}; put names into "..."')
    return fitting[0] if fitting else ","


def _fits(lines: Sequence[str], delimiter: str) -> bool:
    try:
        return len({len(row) for _, row in _records(lines, delimiter, [])}) == 1
    except ValueError:
        return False


def _header(
    records: list[Record], comments: Sequence[tuple[int, str]], delimiter: str
) -> tuple[list[str], list[Record]]:
    """Return the names and the rows; programs put names into a comment above the numbers, too."""
    line, row = records[0]
    above = [text for number, text in comments if number < line]
    numbers = row if delimiter == "," else [_pointed(cell) for cell in row]
    if above and all(map(is_number, numbers)):
        names = above[-1].lstrip("# ").split(delimiter)
        if len(names) == len(row):
            return [name.strip().strip('"') for name in names], records
    return [name.strip() for name in row], records[1:]


def _with_points(rows: list[Record]) -> list[Record]:
    """Write decimal commas as points."""
    columns = list(zip_longest(*(row for _, row in rows), fillvalue=""))
    commas = [[cell for cell in column if _COMMA.fullmatch(cell.strip())] for column in columns]
    found = [cell for cells in commas for cell in cells]
    if found and all(_GROUPED.fullmatch(cell) for cell in found):
        told = f"{found[0].replace(',', '.')} or {found[0].replace(',', '')}"
        raise ValueError(f"{found[0]} could be {told}; write numbers without commas")
    for cells, column in zip(commas, columns, strict=True):
        mixed = [cell for cell in column if cells and _POINT.fullmatch(cell.strip())]
        if mixed:
            raise ValueError(f"{cells[0]} has a comma and {mixed[0]} a point; write points in all")
    return [(line, [_pointed(cell) for cell in row]) for line, row in rows]


def _pointed(cell: str) -> str:
    return cell.replace(",", ".") if _COMMA.fullmatch(cell.strip()) else cell
