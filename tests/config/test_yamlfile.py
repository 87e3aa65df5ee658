"""Reading YAML: lines of keys, duplicate keys, traps, and what has to be left alone."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.config.faults import ConfigError, Fault, dotted
from ensemake.config.yamlfile import Document, load_yaml


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def _read(text: str | bytes) -> Document:
        path = tmp_path / "config.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_yaml(path)

    return _read


def test_every_key_and_item_knows_its_line(read: Any) -> None:
    document = read("a: 1\nb:\n  c: [x,\n    y]\n  d:\n  - 1\n  - e: 2\n")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"], "d": [1, {"e": 2}]}}
    lines = {dotted(path): line for path, line in document.lines.items()}
    assert lines["a"] == 1
    assert lines["b"] == 2
    assert lines["b.c"] == lines["b.c[0]"] == 3
    assert lines["b.c[1]"] == 4
    assert lines["b.d[1].e"] == 7


def test_a_path_that_is_not_there_has_the_line_above(read: Any) -> None:
    document = read("a:\n  b: 1\n")
    assert document.line(("a", "nosuch", 3)) == 1
    assert document.line(("nosuch",)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.001", 0.001),
        ("1.0e-3", 0.001),
        ("1.0e+3", 1000.0),
        ("0", 0),
        ("-7", -7),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("'no'", "no"),
        ('"1e-3"', "1e-3"),
        ("'010'", "010"),
        ("0bag", "0bag"),
        ("0o9", "0o9"),
        ("'0x1f'", "0x1f"),
        ("'10_20'", "10_20"),
        ("v1e5", "v1e5"),
        ("Größe", "Größe"),
        ("a b", "a b"),
        ("'12:30'", "12:30"),
    ],
)
def test_plain_values(read: Any, text: str, value: Any) -> None:
    document = read(f"a: {text}\n")
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)
    assert not document.faults


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("1e-3", "1.0e-3"),
        ("1e3", "1.0e+3"),
        ("-2.5E4", "-2.5e+4"),
        ("yes", "true"),
        ("Off", "false"),
        ("NO", "false"),
        ("010", "write 10"),
        ("-017", "write -17"),
        ("0x1F", "write 31, or '0x1F'"),
        ("-0b11", "write -3, or"),
        ("0o17", "write 15, or"),
        ("10_20", "write 1020, or '10_20'"),
        ("1_0.5", "write 10.5, or"),
        ("12:30", "'12:30'"),
        ("12:30:15.5", "'12:30:15.5'"),
        ("2024-01-01", "'2024-01-01'"),
        ("2024-01-01 12:30:00", "'2024-01-01 12:30:00'"),
        ("2024-02-30", "'2024-02-30'"),
    ],
)
def test_traps_say_what_to_write_and_what_that_gives(read: Any, text: str, instead: str) -> None:
    document = read(f"a: 1\nb: [{text}]\n")
    (fault,) = document.faults
    assert fault.path == ("b", 0)
    assert fault.line == 2
    assert instead in fault.message


def test_keys_are_text_as_written(read: Any) -> None:
    document = read("no: 1\n1: 2\n2024-01-01: 3\nnull: 4\n")
    assert document.data == {"no": 1, "1": 2, "2024-01-01": 3, "null": 4}
    assert not document.faults


def test_duplicate_keys_at_every_level(read: Any) -> None:
    document = read("a:\n  b: 1\n  b: 2\nc: 1\na: 2\n")
    assert document.faults == [
        Fault(("a", "b"), "given twice (first in line 2); keep one", 3),
        Fault(("a",), "given twice (first in line 1); keep one", 5),
    ]


def test_anchors_and_merge_keys(read: Any) -> None:
    document = read("base: &base {x: 1, y: 2}\na:\n  <<: *base\n  y: 3\nb: *base\n")
    assert document.data["a"] == {"x": 1, "y": 3}
    assert document.data["b"] == {"x": 1, "y": 2}
    assert not document.faults


def test_merge_of_several(read: Any) -> None:
    document = read("p: &p {x: 1}\nq: &q {x: 2, y: 2}\na: {<<: [*p, *q]}\n")
    assert document.data["a"] == {"x": 1, "y": 2}  # the first one wins


def test_what_comes_from_elsewhere_has_no_line(read: Any) -> None:
    document = read("a: 1\nb:\n  c: 2\n")
    document.override({"b": {"c": 3}, "d": 4})
    assert document.data == {"a": 1, "b": {"c": 3}, "d": 4}
    assert document.line(("a",)) == 1
    assert document.line(("b", "c")) is None
    assert document.line(("d",)) is None


def test_byte_order_mark_and_crlf(read: Any) -> None:
    assert read(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: x\r\n").data == {"a": 1, "b": {"c": "x"}}


def test_no_objects_are_made(read: Any) -> None:
    document = read("a: !!python/object/apply:os.system ['true']\n")
    assert document.data == {"a": ["true"]} or document.faults


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: b: c\n", 1, "quote"),
        ("a: 1\n\tb: 2\n", 2, "tab"),
        ("a:\n\t- 1\n", 2, "tab"),
        ("a: @b\n", 1, "no text can begin with @"),
        ("a: `b\n", 1, "no text can begin with `"),
        ("a: 'it\n", 2, "quote of line 1 is not closed"),
        ("a: [1,\n  2\nb: 3\n", 3, "list of line 1"),
        ("a: {x: 1,\n  y: 2\nb: 3\n", 3, "mapping of line 1"),
        ("a:\n - 1\n - 2\n b: 3\n", 4, "line up"),
        ('a: "C:\\data"\n', 1, "backslash"),
        ("a: *b\n", 1, "anchor"),
        ("a: 1\nb: \x01\n", 2, "control character"),
        ("a: &a [*a]\n", 1, "within its own anchor"),
    ],
)
def test_syntax_faults(read: Any, text: str, line: int | None, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    (fault,) = caught.value.faults
    assert words in fault.message
    assert fault.line == line


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_told(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ConfigError):
        load_yaml(path)
