"""Spaces: NumPy's numbers, the same on every machine, and messages that say what to write."""

import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemake.sweep.spaces import Axis, Distribution, axis, nearest, pick

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


def values(spec: object, key: str = "x") -> list[object]:
    found = axis(key, spec).values
    assert not isinstance(found, Distribution)
    return [point[0] for point in found]


def quantile(spec: object, u: float) -> object:
    found = axis("x", spec).values
    assert isinstance(found, Distribution)
    return found.quantile(u)


@pytest.mark.parametrize("constant", [3, 0.5, "adam", True, -0.0, "", "ünïcode", "x y"])
def test_scalar_is_a_constant(constant: object) -> None:
    assert values(constant) == [constant]
    assert type(values(constant)[0]) is type(constant)


def test_list_keeps_types_and_order() -> None:
    found = values([2, 1.0, "1", True, 1])
    assert found == [2, 1.0, "1", True, 1]
    assert [type(value) for value in found] == [int, float, str, bool, int]


@settings(deadline=None)
@given(numbers, numbers, st.integers(1, 60))
def test_linspace_is_numpys_to_the_last_digit(a: float, b: float, n: int) -> None:
    wanted = np.linspace(a, b, n).tolist()
    if n > 1 and (wanted[0] == wanted[1] or wanted[-1] == wanted[-2]):
        with pytest.raises(ValueError, match="are equal"):
            values({"linspace": [a, b, n]})
        return
    assert values({"linspace": [a, b, n]}) == wanted


@settings(deadline=None)
@given(numbers, st.floats(1e-3, 1e3), st.integers(1, 200))
def test_arange_is_numpys_to_the_last_digit(a: float, step: float, n: int) -> None:
    for end, signed in [(a + n * step, step), (a - n * step, -step)]:
        assert values({"arange": [a, end, signed]}) == np.arange(a, end, signed).tolist()


@settings(deadline=None)
@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-7, 7).filter(bool))
def test_range_and_integer_arange_are_pythons(a: int, b: int, step: int) -> None:
    wanted = list(range(a, b, step))
    for kind in ("range", "arange"):
        if wanted:
            assert values({kind: [a, b, step]}) == wanted
        else:
            with pytest.raises(ValueError, match="no values from"):
                values({kind: [a, b, step]})


@settings(deadline=None)
@given(st.floats(1e-30, 1e30), st.floats(1e-30, 1e30), st.integers(1, 40))
def test_geomspace_is_numpys_but_for_the_last_digits(a: float, b: float, n: int) -> None:
    if n > 1 and abs(a - b) <= 1e-9 * a:
        return
    found = values({"geomspace": [a, b, n]})
    assert found == pytest.approx(np.geomspace(a, b, n).tolist(), rel=1e-12)
    assert found[0] == a
    assert n == 1 or found[-1] == b


def test_log_spaces_give_round_numbers_exactly() -> None:
    assert values({"geomspace": [1, 1000, 4]}) == [1.0, 10.0, 100.0, 1000.0]
    assert values({"geomspace": [0.0001, 1, 5]}) == [0.0001, 0.001, 0.01, 0.1, 1.0]
    assert values({"logspace": [-3, 0, 4]}) == [0.001, 0.01, 0.1, 1.0]
    assert values({"logspace": [0, 1, 3]}) == [1.0, 3.1622776601683795, 10.0]


def test_values_are_plain_python_numbers() -> None:
    kinds = {"linspace": [0, 1, 3], "logspace": [0, 1, 3], "geomspace": [1, 2, 3]}
    for kind, items in kinds.items():
        assert {type(value) for value in values({kind: items})} == {float}
    assert {type(value) for value in values({"range": [0, 3]})} == {int}
    assert {type(value) for value in values({"arange": [0, 3, 0.5]})} == {float}


def test_a_huge_space_is_not_built() -> None:
    grid = axis("x", {"linspace": [0, 1, 10**8]}).values
    assert not isinstance(grid, Distribution)
    assert len(grid) == 10**8
    assert grid[-1] == (1.0,)
    assert grid[10**7] == (np.linspace(0, 1, 10**8, dtype=float)[10**7],)
    assert list(grid[1:3]) == [grid[1], grid[2]]
    with pytest.raises(IndexError):
        grid[10**8]


def test_million_points_equal_numpys() -> None:
    assert values({"linspace": [0.01, 0.5, 10**6]}) == np.linspace(0.01, 0.5, 10**6).tolist()


def test_log_tells_how_to_plot() -> None:
    assert axis("x", {"geomspace": [1, 2, 3]}).log
    assert axis("x", {"loguniform": [1, 2]}).log
    assert not axis("x", {"linspace": [1, 2, 3]}).log


def test_distributions() -> None:
    assert quantile({"uniform": [2, 4]}, 0.25) == 2.5
    assert quantile({"loguniform": [0.01, 1]}, 0.5) == 0.1
    assert quantile({"normal": [10, 2]}, 0.5) == 10.0
    assert quantile({"normal": [0, 1]}, 0.975) == pytest.approx(1.959963984540054, rel=1e-11)
    assert [quantile({"integers": [3, 5]}, u) for u in (0.01, 0.49, 0.5, 0.99)] == [3, 3, 4, 4]


@settings(deadline=None)
@given(st.floats(2**-54, 1 - 2**-53))
def test_quantiles_stay_inside(u: float) -> None:
    assert 1 <= quantile({"uniform": [1, 3]}, u) <= 3
    assert 1 <= quantile({"loguniform": [1, 3]}, u) <= 3
    assert quantile({"integers": [1, 3]}, u) in (1, 2)
    assert quantile({"normal": [0, 1]}, u) == pytest.approx(NormalDist().inv_cdf(u), rel=1e-11)


def test_integers_can_be_counted_the_others_not() -> None:
    integers = Distribution("integers", 3, 6).support
    assert integers is not None
    assert list(integers) == [(3,), (4,), (5,)]
    assert Distribution("uniform", 3, 6).support is None


@settings(deadline=None)
@given(st.integers(1, 10**30), st.integers(0, 2**53 - 1))
def test_pick_is_exact(n: int, bits: int) -> None:
    assert pick(n, bits / 2**53) == bits * n // 2**53


def test_zipped_names() -> None:
    assert axis("nx, ny", [[64, 32.0], ["a", True]]) == Axis(
        ("nx", "ny"), [(64, 32.0), ("a", True)]
    )
    assert axis(" nx,ny ", [[1, 2]]).key == "nx, ny"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = "nx, label,dt,on\n64,a b,0.5,true\n128, 007 ,1e-3,FALSE\n\n"
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbf" + rows.replace("\n", "\r\n").encode())
    return tmp_path


def test_table_with_all_its_columns(table: Path) -> None:
    found = axis("grid", {"file": "table.csv"}, table)
    assert found.names == ("nx", "label", "dt", "on")
    assert found.values == [(64, "a b", 0.5, True), (128, "007 ", 0.001, False)]
    assert [type(value) for value in found.values[0]] == [int, str, float, bool]


def test_table_with_some_columns(table: Path) -> None:
    assert axis("dt, nx", {"file": "table.csv"}, table).values == [(0.5, 64), (0.001, 128)]
    assert axis("nx", {"file": "table.csv"}, table).values == [(64,), (128,)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a line of column names and at least one row"),
        ("a,b\n", "at least one row"),
        ("a,b\n1,2\n3\n", "line 3: 1 values in 2 columns"),
        ("a,b\n1,\n", "line 2, column b: an empty cell is not a value"),
        ("a,b\n1,NaN\n", "NaN is not a value"),
        ("a,b\n1,1e999\n2,1\n", "1e999 is not a value"),
        ("a,a\n1,2\n", "two columns 'a'"),
        ("a b\n1 2\n", "separate columns by commas"),
        ("a-b,c\n1,2\n", "write a_b"),
        ("\xff", "cannot be read as a CSV table in UTF-8"),
        ('a,b\n"1,2\n', "cannot be read as a CSV table"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as told:
        axis("k", {"file": "t.csv"}, tmp_path)
    assert str(told.value).startswith("k: file: t.csv")


def test_table_faults_of_the_config(table: Path) -> None:
    with pytest.raises(ValueError, match=r"k: file: .*No such file"):
        axis("k", {"file": "nowhere.csv"}, table)
    with pytest.raises(ValueError, match=r"no column lable \(did you mean label\?\)"):
        axis("nx, lable", {"file": "table.csv"}, table)
    with pytest.raises(ValueError, match="expected the path of a CSV table, not 3"):
        axis("k", {"file": 3}, table)


FAULTS = [
    ("x", [], "x: the list is empty"),
    ("x", [1, None], r"x\[1\]: a value is missing"),
    ("x", None, "x: a value is missing"),
    ("x", [math.nan], r"x\[0\]: nan is not a number that can be swept"),
    ("x", math.inf, "x: inf is not a number that can be swept"),
    ("x", [[1, 2]], r'x\[0\]: .* not a list; to vary several .* write "nx, ny"'),
    ("x", [{"a": 1}], "not a dict"),
    ("x", {}, "expected one of linspace, .*file, with nothing beside it"),
    ("x", {"linspace": [0, 1, 2], "log": True}, "with nothing beside it"),
    ("x", {"linspce": [0, 1, 2]}, r"unknown space linspce \(did you mean linspace\?\)"),
    ("x", {"LinSpace": [0, 1, 2]}, r"did you mean linspace"),
    ("x", {"linspace": [0, 1]}, r"x: linspace: expected \[first, last, how_many\], not \[0, 1\]"),
    ("x", {"linspace": 5}, "expected .*, not 5"),
    ("x", {"linspace": [0, "one", 5]}, "in numbers, not 'one'"),
    ("x", {"linspace": [0, True, 5]}, "in numbers, not True"),
    ("x", {"linspace": [0, math.inf, 5]}, "inf is not a number"),
    ("x", {"linspace": [0, None, 5]}, "a value is missing"),
    ("x", {"linspace": [0, 1, 0]}, "must be an integer from 1, not 0"),
    ("x", {"linspace": [0, 1, 2.5]}, "must be an integer from 1, not 2.5"),
    ("x", {"linspace": [0, 1, 10**9]}, "write uniform, or fewer"),
    ("x", {"linspace": [1, 1, 3]}, "two of the 3 values are equal, 1.0; .* use replicas"),
    ("x", {"linspace": [-1e308, 1e308, 3]}, "too far apart"),
    ("x", {"linspace": [10**400, 1, 3]}, "too large"),
    ("x", {"logspace": [0.001, 5000, 3]}, r"exponents of 10.*write geomspace: \[0.001, 5000, 3\]"),
    ("x", {"geomspace": [0, 1, 3]}, "both ends must be above 0, not 0 and 1"),
    ("x", {"loguniform": [-1, 1]}, "both ends must be above 0"),
    ("x", {"arange": [0, 1, 0]}, "no values from 0 to 1"),
    ("x", {"arange": [0.0, 1, -0.1]}, "no values from 0.0 to 1.0 in steps of -0.1"),
    ("x", {"arange": [0, 1, 1e-9]}, "take a larger step"),
    ("x", {"range": [0, 0.5]}, r"expected integers, not \[0, 0.5\]; for others write arange"),
    ("x", {"range": [3]}, r"expected \[first, end\] or \[first, end, step\], not \[3\]"),
    ("x", {"range": [0, 10**30]}, "more than Python can count"),
    ("x", {"uniform": [2, 2]}, "the upper end 2.0 must be above the lower 2.0"),
    ("x", {"integers": [5, 1]}, "the upper end 1 must be above the lower 5"),
    ("x", {"integers": [0.5, 1]}, "for others write uniform"),
    ("x", {"integers": [0, 10**30]}, "more than Python can count"),
    ("x", {"normal": [0, 0]}, "standard deviation must be above 0, not 0.0"),
    ("a, b", [], "the list is empty"),
    ("a, b", [1, 2], r'expected a list of lists of 2, such as "a, b": \[\[1, 1\], \[2, 2\]\]'),
    ("a, b", 3, "expected a list of lists of 2"),
    ("a, b", [[1, 2], [3]], r"a, b\[1\]: 1 values for 2 parameters, in \[3\]"),
    ("a, b", [[1, None]], r"b\[0\]: a value is missing"),
    ("a, b", {"linspace": [0, 1, 2]}, "linspace is for one parameter"),
    ("a, a", [[1, 1]], "a is named twice"),
    ("a,", [[1, 1]], "'' cannot name a parameter"),
    ("learning-rate", 1, "use letters, digits and _, .*; write learning_rate"),
    ("2x", 1, "'2x' cannot name a parameter"),
    ("größe", 1, "cannot name a parameter"),
    ("if", 1, "if: this word has a meaning in Jinja2"),
]


@pytest.mark.parametrize(("key", "spec", "message"), FAULTS)
def test_faults(key: str, spec: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        axis(key, spec)


def test_a_date_is_quoted() -> None:
    import datetime

    with pytest.raises(ValueError, match=r"not 2024-01-01 \(date\); quote it"):
        axis("day", [datetime.date(2024, 1, 1)])


@pytest.mark.parametrize("text", ["1e", "e5", "0x1e5", "1e5x", "v1e5", "1 e5"])
def test_text_that_only_looks_like_a_number(text: str) -> None:
    assert values([text]) == [text]


def test_nearest_ignores_case() -> None:
    assert nearest("lr", ["LR", "optimizer"]) == " (did you mean LR?)"
    assert nearest("zzz", ["LR"]) == ""
