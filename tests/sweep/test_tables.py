"""CSV tables as spreadsheets, people and programs write them: read, or refused with a remedy."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.sweep.spaces import axis
from ensemake.sweep.tables import decoded, is_number, number_text, read_table, without_units

READ = {
    "plain": "T,el\n1.5,Li\n-2,Na\n",
    "Windows": "T,el\r\n1.5,Li\r\n-2,Na\r\n",
    "blanks": "T , el\n1.5, Li\n-2 ,Na\n",
    "quotes": '"T","el"\n"1.5","Li"\n"-2","Na"\n',
    "semicolons": "T;el\n1.5;Li\n-2;Na\n",
    "tabs": "T\tel\n1.5\tLi\n-2\tNa\n",
    "decimal commas": "T;el\n1,5;Li\n-2;Na\n",
    "decimal commas and tabs": "T\tel\n1,5\tLi\n-2\tNa\n",
    "said by the spreadsheet": "sep=;\nT;el\n1,5;Li\n-2;Na\n",
    "comments": "# made today, by hand\nT,el\n# cold\n1.5,Li\n  # 3,K\n-2,Na\n",
    "names in a comment": "# thermo\n# T;el\n1,5;0\n-2;1\n",
    "empty lines": "\nT,el\n\n1.5,Li\n-2,Na\n\n,\n  \n",
    "index without a name": ",T,el\n0,1.5,Li\n1,-2,Na\n",
    "empty columns": "T,el,,\n1.5,Li,,\n-2,Na,,\n",
    "a comma within": 'T;"el, symbol"\n1.5;Li\n-2;Na\n',
}


@pytest.mark.parametrize("kind", READ)
def test_read(kind: str) -> None:
    table = read_table(READ[kind])
    place = table.position("T")
    assert [float(table.cells(row)[place]) for row in range(len(table.rows))] == [1.5, -2]
    if kind not in ("names in a comment", "a comma within"):
        place = table.position("el")
        assert [table.cells(row)[place].strip() for row in (0, 1)] == ["Li", "Na"]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b""])
def test_byte_order_marks(mark: bytes) -> None:
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(mark, "utf-8")
    assert decoded(mark + "T,größe\n".encode(encoding)) == "T,größe\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x;y\n1,234;2\n5,678;1\n", "1,234 could be 1.234 or 1234; write numbers without commas"),
        ("x;y\n0,5;2\n1.5;1\n", "0,5 has a comma and 1.5 a point; write points in all"),
        ("a,b;c,d\n1,2;3,4\n", r"separated by ',' or ';'; put names into \"...\""),
        ('x,y\n1,"2\n', "line 2: unexpected end of data"),
        (f"x,y\n1,{'a' * 200_000}\n", "line 2: a cell has more than 131072 characters"),
    ],
)
def test_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_table(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,y\n1\n", "line 2: 1 values in 2 columns$"),
        ("x,y\n0,5,2\n", "line 2: 3 values in 2 columns; separate columns by ;"),
    ],
)
def test_rows_that_do_not_fit(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_table(text).cells(0)


def test_a_comment_sign_within_quotes_is_text() -> None:
    table = read_table('colour,note\n"#ff0000","first\n# second"\n')
    assert table.cells(0) == ["#ff0000", "first\n# second"]
    assert not table.comments


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("t,v\ns,kJ/mol\n0,1\n1,2\n", 2),
        ("t,v,state\ns,,none\n0,1,up\n", 1),
        ("t,v\n0,nan\n1,2\n", 2),
        ("el,kind\nLi,metal\nNe,gas\n", 2),
        ("t,v\n-,-\n", 1),
    ],
)
def test_units(text: str, rows: int) -> None:
    assert len(without_units(read_table(text)).rows) == rows


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0D-03", 1e-3),
        ("-.5d2", -50.0),
        ("0.6346-101", 0.6346e-101),
        ("1e5", 1e5),
        ("-7", -7.0),
        ("inf", float("inf")),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert is_number(text)
    assert float(number_text(text)) == value


@pytest.mark.parametrize("text", ["10_20", "1.5-2", "2024-01-02", "Na", "", "12d", "d5", "1,5"])
def test_no_numbers(text: str) -> None:
    assert not is_number(text)
    assert number_text(text) == text


CELL = st.text(",;\t\"'#|: \naZ09.ü", max_size=8).map(lambda text: f"a{text}z")
NAMES = st.lists(
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,6}", fullmatch=True), min_size=2, max_size=4, unique=True
)


@given(st.data(), NAMES, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_the_csv_module_writes_is_read_back(
    data: st.DataObject, names: list[str], delimiter: str, newline: str, quoted: bool
) -> None:
    row = st.lists(CELL, min_size=len(names), max_size=len(names))
    rows = data.draw(st.lists(row, min_size=1, max_size=5))
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerows([names, *rows])
    table = read_table(decoded(b"\xef\xbb\xbf" + text.getvalue().encode()))
    assert table.columns == names
    assert [table.cells(i) for i in range(len(rows))] == rows


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 99)), min_size=1, max_size=5),
    st.sampled_from([(",", "."), (";", "."), (";", ","), ("\t", ","), ("\t", ".")]),
)
def test_numbers_of_any_dialect(rows: list[tuple[float, int]], dialect: tuple[str, str]) -> None:
    delimiter, point = dialect
    lines = [f"{x:.4f}{delimiter}{n}".replace(".", point) for x, n in rows]
    table = read_table("\n".join([f"x{delimiter}n", *lines]))
    assert [float(table.cells(i)[0]) for i in range(len(rows))] == [
        float(f"{x:.4f}") for x, _ in rows
    ]


# ---- as parameters ----


def values(folder: Path, text: str, key: str) -> list[object]:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return list(axis(key, {"file": "t.csv"}, folder).values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x,y\nLi,1\nNa,2\n", ["Li", "Na"]),
        ('x,y\n"Na",1\n', ["Na"]),
        ("x,y\nnan,1\nfast,2\ninf,3\nnull,4\n", ["nan", "fast", "inf", "null"]),
        ("x,y\n12e4567,1\n13e4567,2\n", ["12e4567", "13e4567"]),
        ("x,y\n12e4567,1\n9af3,2\n", ["12e4567", "9af3"]),
        ("x,y\n1,\n2,nan\n", [1, 2]),
        ("x,y z\n1,\n2,\n", [1, 2]),
        ("x;y\n0,5;1\n2;1\n", [0.5, 2]),
        ("x,y\n64,1\n# 128,1\n", [64]),
        ("x\nauto\n64\n", ["auto", 64]),
    ],
)
def test_values_of_a_column(tmp_path: Path, text: str, wanted: list[object]) -> None:
    found = values(tmp_path, text, "x")
    assert found == [(value,) for value in wanted]
    assert [type(value) for (value,) in found] == [type(value) for value in wanted]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,y\n1,1\nNa,2\n", "line 3, column x: Na is not a value that can be swept"),
        ("x,y\n1,1\n-inf,2\n", "line 3, column x: -inf is not a value"),
        ("x,y\n1,1\n1e999,2\n", "line 3, column x: 1e999 is not a value"),
        ("x,y\nLi,1\n,2\n", "line 3, column x: an empty cell is not a value"),
        ("x,x\n1,1\n", "two columns 'x'"),
        ("x,y\n#ff0000,1\n", "line 2: '#ff0000,1' is a comment, or a value?"),
        ("x,y\nK,bar\n300,1\n", "line 2 holds units, not values; begin it with '# '"),
        ("x,y\na\0b,1\n", "holds a NUL character"),
    ],
)
def test_values_that_cannot_be_swept(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        values(tmp_path, text, "x")


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="is no regular file"):
        axis("x", {"file": "t.csv"}, tmp_path)


@given(st.text(",;\t\"#'|\r\n ab01.-\0\ud800", max_size=40))
def test_any_text_is_a_table_or_a_fault(text: str) -> None:
    try:
        table = without_units(read_table(text))
        cells = [table.cells(row) for row in range(len(table.rows))]
    except ValueError:
        return
    assert {len(row) for row in cells} <= {len(table.columns)}
