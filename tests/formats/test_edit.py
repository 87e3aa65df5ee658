"""Keys of files in their own formats: the value changes, everything else stays as it was."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ensemake.formats.edit import with_key

NAMELIST = """! header
&Run
   dt = 1.0d-3   ! step
   n=5
   x = 1, 2, 3
   flag = .false.
   name = 'a b'
   y = 3*0.5
   pos%x = 1
/
ATOMIC_SPECIES
 Si 28.1
&out z=1 /
"""
JSON = '{\n\t"run": {"dt": 0.1, "list": [1, 2]},  // a comment\n\t"a.b": "x",\n\t"empty": {}\n}\n'
YAML = """# top
run:
    dt:   0.1     # step
    list: [1, 2]
    items:
    - a
    -   b: "q"    # quoted
base: &base {x: 1}
other: *base
empty:
text: |
  long
last: end
"""
TOML = """# top
title = "x"  # name

[run]
dt    = 0.1   # step
list = [
  1,
  2,  # two
]
[[many]]
a = 1
"""
INI = """; top
alone = 1
[run]
dt    =   0.1   ; step
name: a   # the name
on=yes
empty =
multi = a
   b
[other.part]
  x=1
"""

CASES: list[tuple[str, str, str, Any, str, str]] = [
    ("a.nml", NAMELIST, "run.dt", 0.5, "dt = 1.0d-3 ", "dt = 0.5 "),
    ("a.nml", NAMELIST, "Run.N", 7, "n=5", "n=7"),
    ("a.nml", NAMELIST, "run.x", [4, 5, 6], "x = 1, 2, 3", "x = 4, 5, 6"),
    ("a.nml", NAMELIST, "run.flag", True, ".false.", ".true."),
    ("a.nml", NAMELIST, "run.pos.x", 3, "pos%x = 1", "pos%x = 3"),
    ("pw.in", NAMELIST, "out.z", 2, "z=1", "z=2"),
    ("a.json", JSON, "run.dt", 1e-5, "0.1", "1e-05"),
    ("a.json", JSON, "run.list.1", 7, "[1, 2]", "[1, 7]"),
    ("a.json", JSON, "run.list", [7], "[1, 2]", "[7]"),
    ("a.json", JSON, "a.b", 'é"', '"x"', '"é\\""'),
    ("a.yaml", YAML, "run.dt", 1e-5, "0.1 ", "1.0e-05 "),
    ("a.yml", YAML, "run.items.0", "yes", "- a", "- 'yes'"),
    ("a.yml", YAML, "run.items.1.b", "p", '"q"', '"p"'),
    ("a.yml", YAML, "run.list", [True, "z"], "[1, 2]", "[true, z]"),
    ("a.yml", YAML, "empty", 3, "empty:", "empty: 3"),
    ("a.toml", TOML, "run.dt", 0.5, "dt    = 0.1   #", "dt    = 0.5   #"),
    ("a.toml", TOML, "title", "y", '"x"', '"y"'),
    ("a.toml", TOML, "many.0.a", False, "a = 1", "a = false"),
    ("a.ini", INI, "run.dt", 0.5, "  0.1  ", "  0.5  "),
    ("a.cfg", INI, "alone", "z", "alone = 1", "alone = z"),
    ("a.ini", INI, "run.name", "b", ": a ", ": b "),
    ("a.ini", INI, "run.on", False, "on=yes", "on=no"),
    ("a.ini", INI, "run.empty", [1, 2], "empty =", "empty = 1, 2"),
    ("a.ini", INI, "other.part.x", 2, "  x=1", "  x=2"),
]


@pytest.mark.parametrize(("name", "text", "key", "value", "old", "new"), CASES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_value_changes_and_nothing_else(
    name: str, text: str, key: str, value: Any, old: str, new: str, end: str
) -> None:
    assert text.count(old) == 1
    found = with_key(name, text.replace("\n", end), key, value, create=False)
    assert found == text.replace(old, new).replace("\n", end)


@pytest.mark.parametrize(
    ("name", "text", "key", "told"),
    [
        ("a.nml", NAMELIST, "run.dtt", "no key 'run.dtt'; did you mean 'run.dt'?"),
        ("a.nml", NAMELIST, "run.y", "after a repeat count 3*0.5; use a tag"),
        ("a.nml", "&a x=1 /\n&a x=2 /\n", "a.x", "cannot be set where it stands"),
        ("a.json", JSON, "runs.dt", "did you mean 'run.dt'?"),
        ("a.json", JSON, "run.list.2", "no key 'run.list.2'"),
        ("a.json", '{"a": 1,\n "b" 2}', "a", "is no JSON at line 2"),
        ("a.yaml", YAML, "run.items", "stands on several lines"),
        ("a.yaml", YAML, "text", "stands on several lines"),
        ("a.yaml", YAML, "other", "stands on several lines"),
        ("a.yaml", YAML, "base.x", "cannot be set where it stands"),
        ("a.yaml", "a: [", "a", "is no YAML: "),
        ("a.toml", TOML, "run.x", "no key 'run.x'"),
        ("a.toml", "a = ", "a", "is no TOML: "),
        ("a.ini", INI, "run", "is a section"),
        ("a.ini", INI, "run.multi", "cannot be set where it stands"),
        ("a.ini", INI, "x", "no key 'x'"),
        ("a.dat", "1 2 3\n", "x", "is of no format whose keys can be set"),
    ],
)
def test_what_cannot_be_set_is_told(name: str, text: str, key: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        with_key(name, text, key, "v", create=False)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "key", "wanted"),
    [
        ("a.nml", "&run\n  a = 1\n/\n", "run.b", "a = 1\n"),
        ("a.json", JSON, "run.new", '{"run": {"new": 2, "dt"'.replace('{"run"', '"run"')),
        ("a.json", JSON, "top.new", '{\n\t"top": {"new": 2},\n\t"run"'),
        ("a.json", JSON, "empty.new", '"empty": {"new": 2}'),
        ("a.yaml", YAML, "run.new", "run:\n    new: 2\n    dt:   0.1     # step"),
        ("a.yaml", YAML, "new.deep", "# top\nnew: {deep: 2}\nrun:"),
        ("a.yaml", "", "a.b", "{a: {b: 2}}"),
        ("a.toml", TOML, "run.new", "new = 2\n"),
        ("a.toml", TOML, "more.new", "[more]\nnew = 2\n"),
        ("a.ini", INI, "run.new", "   b\nnew = 2\n[other.part]"),
        ("a.ini", INI, "more.new", "  x=1\n\n[more]\nnew = 2\n"),
        ("a.ini", INI, "new", "alone = 1\nnew = 2\n[run]"),
    ],
)
def test_a_key_that_is_not_there_is_made_on_demand(
    name: str, text: str, key: str, wanted: str
) -> None:
    with pytest.raises(ValueError, match="no key"):
        with_key(name, text, key, 2, create=False)
    made = with_key(name, text, key, 2, create=True)
    assert wanted in made
    assert with_key(name, made, key, 2, create=False) == made


@pytest.mark.parametrize(("name", "text"), [("a.nml", NAMELIST), ("a.toml", TOML)])
def test_a_missing_extra_is_asked_for_by_name(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemake.formats.libraries.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'ensemake\[formats\]'"):
        with_key(name, text, "run.dt", 1, create=False)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
)
VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)


@given(
    st.dictionaries(st.text("abc.", min_size=1, max_size=3), SCALARS | st.lists(SCALARS)),
    st.sampled_from([None, 1, "\t"]),
    VALUES,
    st.data(),
)
def test_any_json_keeps_the_rest(
    inner: dict[str, Any], indent: Any, value: Any, data: st.DataObject
) -> None:
    inner["key"] = data.draw(SCALARS)
    document = {"x": [{"y": inner}], "z": 1}
    text = json.dumps(document, indent=indent)
    made = with_key("a.json", text, "x.0.y.key", value, create=False)
    inner["key"] = value
    assert json.loads(made) == document
    assert (
        made == json.dumps(document, indent=indent, ensure_ascii=False)
        or not text.isascii()
        or ("\\" in text)
    )


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), SCALARS | st.lists(SCALARS)),
    st.booleans(),
    VALUES,
)
def test_any_yaml_keeps_the_rest(inner: dict[str, Any], is_flow: bool, value: Any) -> None:
    inner["key"] = 1
    document = {"x": [{"y": inner}], "z": 1}
    text = yaml.safe_dump(document, default_flow_style=is_flow)
    made = with_key("a.yaml", text, "x.0.y.key", value, create=False)
    inner["key"] = value
    assert yaml.safe_load(made) == document
