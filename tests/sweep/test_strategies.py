"""Strategies: which members there are, that they stay the same, and what a wrong callable tells."""

import itertools
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemake.sweep.spaces import Axis, axis
from ensemake.sweep.strategies import combinations, permuted, uniform

HERE = Path()

# The draws of every config there is: if these change, every random ensemble runs anew.
GOLDEN_TEN = [4, 2, 5, 3, 0, 8, 6, 7, 1, 9]
GOLDEN_LARGE = [894935376760, 812190960724, 757458897451, 2717910018]
GOLDEN_HUGE = 837276395473925251494792169671
GOLDEN_MEMBERS = [
    {"LR": 0.11, "opt": "adam"},
    {"LR": 0.35000000000000003, "opt": "sgd"},
    {"LR": 0.35000000000000003, "opt": "adam"},
    {"LR": 0.26, "opt": "adam"},
]
GOLDEN_MIXED = [
    {
        "LR": 0.0002603678349773168,
        "n": 1,
        "z": -0.17289666774,
        "u": 0.3725007424449195,
        "opt": "adam",
    },
    {
        "LR": 0.0005104341155176907,
        "n": 3,
        "z": -0.534814193378,
        "u": 0.35315811324874147,
        "opt": "sgd",
    },
]


def axes(**params: object) -> list[Axis]:
    return [axis(key.replace("__", ", "), spec) for key, spec in params.items()]


def members(strategy: str, n: int | None = None, seed: int = 0, /, **params: object) -> Any:
    return combinations(axes(**params), strategy, n, seed, HERE)


class Counting(Sequence[Any]):
    """Values that count how often they are asked for."""

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        self.asked += 1
        return (index,)


# all_perm and step


def test_all_perm_varies_the_last_key_fastest() -> None:
    found = members("all_perm", b=[1, 2], a=["x", "y"], c=0.5)
    assert list(found) == [
        {"b": 1, "a": "x", "c": 0.5},
        {"b": 1, "a": "y", "c": 0.5},
        {"b": 2, "a": "x", "c": 0.5},
        {"b": 2, "a": "y", "c": 0.5},
    ]
    assert list(found[0]) == ["b", "a", "c"]


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_all_perm_is_the_product(sizes: list[int]) -> None:
    params = {f"p{i}": list(range(size)) for i, size in enumerate(sizes)}
    found = members("all_perm", **params)
    wanted = [dict(zip(params, row, strict=True)) for row in itertools.product(*params.values())]
    assert [found[i] for i in range(len(found))] == list(found) == wanted


def test_all_perm_zips_within_a_key() -> None:
    found = members("all_perm", nx__ny=[[64, 32], [128, 64]], dt=[1, 2])
    assert found[2] == {"nx": 128, "ny": 64, "dt": 1}
    assert len(found) == 4


def test_no_parameters_are_one_member() -> None:
    for strategy in ("all_perm", "step"):
        assert list(combinations([], strategy, None, 0, HERE)) == [{}]


def test_indices() -> None:
    found = members("all_perm", a=[1, 2, 3])
    assert found[-1] == {"a": 3} == found[2]
    for index in (3, -4):
        with pytest.raises(IndexError, match="of 3"):
            found[index]
    with pytest.raises(TypeError, match="one by one"):
        found[0:2]


def test_a_member_can_be_changed_without_changing_the_sequence() -> None:
    found = members("all_perm", a=[1])
    found[0]["a"] = 2
    assert found[0] == {"a": 1}


def test_step_zips_and_broadcasts_smartsim_cut_to_the_shortest() -> None:
    found = members("step", a=[1, 2, 3], b=[1, 1, 2], c="x")
    assert list(found) == [{"a": a, "b": b, "c": "x"} for a, b in [(1, 1), (2, 1), (3, 2)]]
    with pytest.raises(ValueError, match=r"same length .*, but a has 3, b has 2, c has 1"):
        members("step", a=[1, 2, 3], b=[1, 2], c=1)


def test_step_of_a_distribution_says_what_samples() -> None:
    for strategy in ("step", "all_perm"):
        with pytest.raises(ValueError, match=f"a: {strategy} cannot draw from uniform; use random"):
            members(strategy, a={"uniform": [0, 1]})


# random


@pytest.mark.parametrize("size", [*range(1, 40), 97, 1000, 1024, 4097])
@pytest.mark.parametrize("seed", [0, 1, -5])
def test_permutation_is_one(size: int, seed: int) -> None:
    assert sorted(permuted(i, size, seed) for i in range(size)) == list(range(size))


@settings(deadline=None)
@given(st.integers(1, 10**30), st.integers(), st.data())
def test_permutation_of_any_size_stays_inside_and_repeats_nothing(
    size: int, seed: int, data: st.DataObject
) -> None:
    indices = data.draw(st.sets(st.integers(0, size - 1), max_size=20))
    found = {permuted(i, size, seed) for i in indices}
    assert len(found) == len(indices)
    assert all(0 <= value < size for value in found)


def test_golden_permutations() -> None:
    assert [permuted(i, 10, 42) for i in range(10)] == GOLDEN_TEN
    assert [permuted(i, 10**12, 42) for i in range(4)] == GOLDEN_LARGE
    assert permuted(0, 10**30, 0) == GOLDEN_HUGE


def test_golden_draws() -> None:
    found = members("random", 4, 42, LR={"linspace": [0.01, 0.5, 50]}, opt=["adam", "sgd"])
    assert list(found) == GOLDEN_MEMBERS
    mixed = members("random", 2, 42, LR={"loguniform": [1e-4, 1]}, n={"integers": [1, 9]},
                    z={"normal": [0, 1]}, u={"uniform": [0, 1]}, opt=["adam", "sgd"])  # fmt: skip
    assert list(mixed) == GOLDEN_MIXED


def test_random_draws_evenly() -> None:
    firsts = Counter(permuted(0, 5, seed) for seed in range(5000))
    pairs = Counter((permuted(0, 5, s), permuted(1, 5, s)) for s in range(5000))
    assert set(firsts) == set(range(5))
    assert max(abs(count - 1000) for count in firsts.values()) < 150
    assert len(pairs) == 20
    assert max(abs(count - 250) for count in pairs.values()) < 80


def test_random_draws_without_replacement() -> None:
    found = members("random", 12, 3, a=[1, 2, 3], b=[1, 2, 3, 4])
    assert len({tuple(member.items()) for member in found}) == 12
    with pytest.raises(ValueError, match=r"n_models: 13 is more than the 12 combinations"):
        members("random", 13, a=[1, 2, 3], b=[1, 2, 3, 4])


def test_random_counts_integers_among_the_combinations() -> None:
    found = members("random", 6, a={"integers": [5, 8]}, b=["x", "y"])
    assert len({tuple(member.items()) for member in found}) == 6
    with pytest.raises(ValueError, match="7 is more than the 6"):
        members("random", 7, a={"integers": [5, 8]}, b=["x", "y"])


PARAMS: dict[str, object] = {
    "LR": {"linspace": [0.01, 0.5, 50]},
    "opt": ["adam", "sgd"],
    "nx__ny": [[1, 2], [3, 4]],
    "n": {"integers": [0, 5]},
}
CONTINUOUS = {**PARAMS, "u": {"uniform": [0, 1]}}


@pytest.mark.parametrize("params", [PARAMS, CONTINUOUS])
@settings(deadline=None)
@given(st.integers(), st.integers(1, 30), st.integers(1, 30))
def test_random_is_prefix_stable(params: dict[str, object], seed: int, n: int, more: int) -> None:
    few = list(members("random", n, seed, **params))
    assert list(members("random", n + more, seed, **params))[:n] == few


@pytest.mark.parametrize("strategy", ["random", "latin_hypercube", "sobol"])
@pytest.mark.parametrize("params", [PARAMS, CONTINUOUS])
@settings(deadline=None, max_examples=20)
@given(st.integers(), st.randoms(use_true_random=False))
def test_the_order_of_keys_changes_no_member(
    strategy: str, params: dict[str, object], seed: int, shuffler: random.Random
) -> None:
    keys = list(params)
    shuffler.shuffle(keys)
    wanted = list(members(strategy, 7, seed, **params))
    found = list(members(strategy, 7, seed, **{key: params[key] for key in keys}))
    assert found == wanted
    assert list(found[0]) == [name for key in keys for name in key.split("__")]


def test_random_differs_by_seed() -> None:
    drawn = {str(list(members("random", 5, seed, **PARAMS))) for seed in range(20)}
    assert len(drawn) == 20


def test_another_parameter_leaves_continuous_draws_alone() -> None:
    few = members("random", 9, u={"uniform": [0, 1]}, opt=["a", "b"])
    more = members("random", 9, u={"uniform": [0, 1]}, opt=["a", "b"], v={"normal": [0, 1]})
    assert [m["u"] for m in few] == [m["u"] for m in more]


def test_ten_of_a_million_millions_touch_ten_values() -> None:
    columns = [Counting(10**6), Counting(10**6)]
    found = combinations(
        [Axis((f"p{i}",), c) for i, c in enumerate(columns)], "random", 10, 0, HERE
    )
    assert [column.asked for column in columns] == [0, 0]
    assert len({tuple(member.items()) for member in found}) == 10
    assert [column.asked for column in columns] == [10, 10]


def test_ten_of_10_to_the_30() -> None:
    found = members("random", 10, **{f"p{i}": {"range": [0, 10**10]} for i in range(3)})
    assert len({tuple(member.values()) for member in found}) == 10


def test_all_perm_is_lazy_and_says_what_cannot_be_counted() -> None:
    column = Counting(10**12)
    found = combinations([Axis(("a",), column)], "all_perm", None, 0, HERE)
    assert (len(found), column.asked) == (10**12, 0)
    assert found[-1] == {"a": 10**12 - 1}
    with pytest.raises(ValueError, match=r"all_perm: 1e\+30 members; .* use random"):
        members("all_perm", **{f"p{i}": {"range": [0, 10**10]} for i in range(3)})


@settings(deadline=None)
@given(st.text())
def test_uniform_is_inside(key: str) -> None:
    assert 0 < uniform(key) < 1


# latin_hypercube and sobol


def test_latin_hypercube_has_one_point_in_each_stratum() -> None:
    found = members("latin_hypercube", 50, 1, a={"uniform": [0, 1]}, b={"uniform": [0, 50]})
    assert sorted(int(m["a"] * 50) for m in found) == list(range(50))
    assert sorted(int(m["b"]) for m in found) == list(range(50))


def test_sobol_is_balanced_and_prefix_stable() -> None:
    params = {"a": {"uniform": [0, 8]}, "b": list(range(4))}
    found = list(members("sobol", 32, 1, **params))
    assert Counter(int(m["a"]) for m in found) == dict.fromkeys(range(8), 4)
    assert Counter(m["b"] for m in found) == dict.fromkeys(range(4), 8)
    assert list(members("sobol", 100, 1, **params))[:32] == found


@pytest.mark.parametrize("strategy", ["latin_hypercube", "sobol"])
@pytest.mark.filterwarnings("error")
def test_quasi_random(strategy: str) -> None:
    params = {"c": "constant", "z": {"normal": [0, 1]}, "nx__ny": [[1, 2], [3, 4]]}
    found = members(strategy, 5, 7, **params)
    assert len(found) == 5
    assert list(found) == list(members(strategy, 5, 7, **params))
    assert list(found) != list(members(strategy, 5, 8, **params))
    assert {(m["nx"], m["ny"]) for m in found} == {(1, 2), (3, 4)}
    assert all(isinstance(m["z"], float) and math.isfinite(m["z"]) for m in found)
    assert {m["c"] for m in found} == {"constant"}


@pytest.mark.parametrize("strategy", ["latin_hypercube", "sobol"])
def test_constants_take_no_dimension(strategy: str) -> None:
    without = members(strategy, 4, 0, z={"uniform": [0, 1]})
    beside = members(strategy, 4, 0, a=1, z={"uniform": [0, 1]})
    assert [m["z"] for m in without] == [m["z"] for m in beside]
    assert list(members(strategy, 1, 0, a=1)) == [{"a": 1}]


@pytest.mark.parametrize("strategy", ["latin_hypercube", "sobol"])
def test_the_sample_is_drawn_on_first_use(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)  # importing it fails
    found = members(strategy, 5, a={"uniform": [0, 1]})
    assert len(found) == 5
    with pytest.raises(ImportError):
        found[0]


# callables

GOOD = """
import numpy as np
from dataclasses import dataclass

@dataclass
class Point:
    a: "int"

def two(names, values):
    return [{"a": np.int64(a), "b": np.float64(b)} for a, b in zip(*values)]

def three(names, values, n_models):
    return [dict(zip(names, row)) for row in zip(*values)][:n_models]

def many(*args):
    return [{"n": len(args)}]

def defaulted(names, values, n_models=7):
    return [{"n": str(n_models)}]

def tells(names, values):
    return [{"told": repr((names, values))}]

def fails(names, values):
    def inner():
        return 1 / 0
    return [{"a": inner()}]

def library(names, values):
    import json
    return json.loads("{")

def leaves(names, values):
    raise SystemExit("no licence")

def one(names):
    return []

constant = 3
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "helper_of_mine.py").write_text("LIMIT = 2\n")
    (tmp_path / "imports.py").write_text(
        "from helper_of_mine import LIMIT\ndef f(names, values): return [{'a': LIMIT}]\n"
    )
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "raises.py").write_text("x = 1\nraise KeyError('gone')\n")
    return tmp_path


def called(base: Path, strategy: str, n: int | None = None, /, **params: object) -> Any:
    return combinations(axes(**params), strategy, n, 0, base)


def test_callable_with_two_arguments(base: Path) -> None:
    found = called(base, "mine.py:two", a=[1, 2], b=[0.5, 1.5])
    assert list(found) == [{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}]
    assert [type(value) for value in found[0].values()] == [int, float]


def test_callable_with_three_arguments_and_a_zipped_key(base: Path) -> None:
    found = called(base, "mine.py:three", 1, nx__ny=[[1, 2], [3, 4]], b=["x", "y"])
    assert list(found) == [{"nx": 1, "ny": 2, "b": "x"}]


def test_callable_gets_typed_values_as_lists(base: Path) -> None:
    told = called(base, "mine.py:tells", a={"linspace": [0, 1, 2]}, nx__ny=[[1, 2]], b=True)
    assert told[0]["told"] == "(['a', 'nx, ny', 'b'], [[0.0, 1.0], [(1, 2)], [True]])"


def test_callable_gets_n_models_whenever_it_takes_three(base: Path) -> None:
    assert called(base, "mine.py:many", a=1)[0] == {"n": 3}
    assert called(base, "mine.py:defaulted", a=1)[0] == {"n": "None"}
    assert called(base, "mine.py:defaulted", 4, a=1)[0] == {"n": "4"}


def test_callable_of_a_module(base: Path) -> None:
    package = base / "sweeps_of_this_test"
    package.mkdir()
    (package / "designs.py").write_text("def f(names, values): return [{'a': 1}]\n")
    before = list(sys.path)
    assert list(called(base, "sweeps_of_this_test.designs:f", a=1)) == [{"a": 1}]
    assert sys.path == before


def test_callable_may_import_its_neighbours_and_leaves_nothing(base: Path) -> None:
    before = list(sys.path)
    assert list(called(base, "imports.py:f", a=1)) == [{"a": 2}]
    assert sys.path == before
    found = called(base, "mine.py:two", a=[1], b=[2])
    (base / "mine.py").write_text(GOOD.replace("np.int64(a)", "np.int64(7)"))
    assert called(base, "mine.py:two", a=[1], b=[2])[0]["a"] == 7
    assert found[0]["a"] == 1


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("nowhere.py:f", r"nowhere.py:f: cannot read .*nowhere.py: No such file"),
        ("mine.py:tow", r"there is no tow in mine.py \(did you mean two\?\)"),
        ("mine.py:constant", "constant is no function but a int"),
        ("mine.py:", "write FILE.py:FUNCTION or"),
        ("mine.py:fails", r"raised ZeroDivisionError: division by zero \(line 26 of .*mine.py\)"),
        ("mine.py:library", r"raised JSONDecodeError: .* \(line 31 of .*mine.py\)"),
        ("mine.py:leaves", r"raised SystemExit: no licence \(line 34 of"),
        ("mine.py:one", r"must take \(names, values\) or .*, not \(names\)"),
        ("broken.py:f", r"raised SyntaxError: .* \(line 2 of .*broken.py\)"),
        ("raises.py:f", r"raised KeyError: 'gone' \(line 2 of .*raises.py\)"),
        ("no_such_pkg.mod:f", "there is no module no_such_pkg.mod in the working directory"),
        ("raises:f", r"raises:f raised KeyError: 'gone' \(line 2 of"),
        ("os.path:nowhere", "there is no nowhere in os.path"),
    ],
)
def test_callable_faults(base: Path, strategy: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        called(base, strategy, a=[1], b=[2])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "must return a list of dicts, not a NoneType"),
        ("({'a': 1},)", r"not a tuple; write list\(...\)"),
        ("(row for row in [])", r"not a generator; write list\(...\)"),
        ("{'a': 1}", "not a dict"),
        ("[]", "an empty list: there is nothing to run"),
        ("[1]", "item 0: expected a dict of parameters, not a int"),
        ("[{}]", "item 0: the dict has no parameters"),
        ("[{'a': 1}, {'b': 1}]", "item 1 has the parameters b but item 0 has a"),
        ("[{1: 1}]", "item 0: 1 cannot name a parameter"),
        ("[{'a-b': 1}]", "item 0: 'a-b' cannot name a parameter.* write a_b"),
        ("[{'a': None}]", "item 0: a: a value is missing"),
        ("[{'a': float('nan')}]", "item 0: a: nan is not a number"),
        ("[{'a': [1]}]", "item 0: a: expected text, a number or true/false, not a list"),
        ("[{'nx, ny': 3}]", "nx, ny: expected a tuple of 2 values, not 3"),
        ("[{'nx, ny': (3, 4), 'nx': 5}]", "nx is given twice"),
        ("[{'a': np.zeros(2)}]", "item 0: a: expected text, a number"),
    ],
)
def test_callable_returns_nonsense(tmp_path: Path, returned: str, message: str) -> None:
    source = f"import numpy as np\ndef f(names, values):\n    return {returned}\n"
    (tmp_path / "bad.py").write_text(source)
    with pytest.raises(ValueError, match=message) as told:
        called(tmp_path, "bad.py:f", a=[1], nx__ny=[[1, 2]])
    assert str(told.value).startswith("bad.py:f")


def test_callable_and_n_models_or_distributions(base: Path) -> None:
    with pytest.raises(ValueError, match=r"n_models: mine.py:two takes only \(names, values\)"):
        called(base, "mine.py:two", 3, a=[1])
    with pytest.raises(ValueError, match=r"a: mine.py:two cannot draw from normal"):
        called(base, "mine.py:two", a={"normal": [0, 1]})


# what holds for all


@pytest.mark.parametrize("strategy", ["random", "latin_hypercube", "sobol"])
def test_sampling_needs_n_models(strategy: str) -> None:
    with pytest.raises(ValueError, match=f"{strategy} needs n_models"):
        members(strategy, a=[1, 2])
    with pytest.raises(ValueError, match="3 is more than the 2 combinations"):
        members(strategy, 3, a=[1, 2])


@pytest.mark.parametrize("strategy", ["all_perm", "step"])
def test_the_others_take_no_n_models(strategy: str) -> None:
    with pytest.raises(ValueError, match=f"n_models: {strategy} .*samples nothing; leave n_models"):
        members(strategy, 2, a=[1, 2])


@pytest.mark.parametrize("n", [0, -1, True, 2.0])
def test_impossible_n_models(n: Any) -> None:
    with pytest.raises(ValueError, match="n_models: expected a number of members from 1"):
        members("random", n, a=[1, 2])


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("radnom", r"unknown strategy radnom \(did you mean random\?\); known are all_perm"),
        ("mine.py", "FILE.py:FUNCTION"),
        ("lhs", "latin_hypercube"),
    ],
)
def test_unknown_strategies(strategy: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        members(strategy, a=[1])


def test_a_parameter_given_twice() -> None:
    with pytest.raises(ValueError, match="nx is given by both 'nx' and 'nx, ny'"):
        members("all_perm", nx=1, nx__ny=[[1, 2]])


def test_a_value_listed_twice() -> None:
    for strategy, n in [("all_perm", None), ("random", 1), ("sobol", 1)]:
        with pytest.raises(ValueError, match=r"a\[2\]: 1 is listed twice; .* use replicas"):
            members(strategy, n, a=[1, 2, 1])
    with pytest.raises(ValueError, match=r"a, b\[1\]: \[1, 2\] is listed twice"):
        members("all_perm", a__b=[[1, 2], [1, 2]])
    assert len(members("all_perm", a=[1, 1.0, "1", True])) == 4


def test_nothing_uses_the_random_state_of_python() -> None:
    random.seed(1)
    before = random.getstate()
    list(members("random", 5, **CONTINUOUS))
    list(members("latin_hypercube", 5, **CONTINUOUS))
    assert random.getstate() == before
