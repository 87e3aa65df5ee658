"""The identity functions are a promise to every user's finished work: golden values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.sweep.identity import canonical, member_id, recipe_digest

SCALARS = st.one_of(
    st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
PARAMS = st.dictionaries(st.text(min_size=1), SCALARS, max_size=5)


@pytest.mark.parametrize(
    ("params", "replica", "expected"),
    [
        ({}, 0, "44136fa355b3"),
        ({"LR": 0.1}, 0, "4432939eaee2"),
        ({"LR": 0.1}, 1, "aa53d600c166"),
        ({"b": "ä", "a": 1, "c": True}, 0, "90bb5e5748c5"),
    ],
)
def test_golden_member_ids(params: dict[str, Any], replica: int, expected: str) -> None:
    assert member_id(params, replica) == expected


def test_golden_digest() -> None:
    assert recipe_digest("recipe", {"LR": 0.1, "replica": 0}) == "1-5ea9ccc0cd1bd75289c8"


def test_types_differ() -> None:
    values = [1, 1.0, "1", True, "true", "True", 0, False, "", -1]
    assert len({member_id({"x": value}) for value in values}) == len(values)


@given(PARAMS)
def test_order_of_keys_does_not_matter(params: dict[str, Any]) -> None:
    assert member_id(params) == member_id(dict(reversed(params.items())))


@given(PARAMS, st.integers(1, 5))
def test_replicas_differ(params: dict[str, Any], replica: int) -> None:
    assert member_id(params, replica) != member_id(params, 0)


@given(PARAMS, PARAMS)
def test_equal_ids_mean_equal_parameters(first: dict[str, Any], second: dict[str, Any]) -> None:
    same = canonical(first) == canonical(second)
    assert (member_id(first) == member_id(second)) == same
    assert (recipe_digest("r", first) == recipe_digest("r", second)) == same


@given(PARAMS)
def test_canonical_is_json(params: dict[str, Any]) -> None:
    assert json.loads(canonical(params)) == params
