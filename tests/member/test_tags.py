"""Tags: values are text, delimiters are text, and every byte outside the tags stays."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemake.member.tags import substitute

SEMICOLON = (";", ";")
TAGS = [(";", ";"), ("@", "@"), ("<<", ">>"), ("$", "$"), ("|", "|"), ("\\", "\\"),
        ("{{", "}}"), ("%%", "%%"), ("[", "]"), ("(.*", "+)"), ("§", "§"), ("^", "$")]  # fmt: skip
NASTY = ["a; b", "'\"", "$(touch x)", r"\1", r"\t\g<0>", "a\nb", "a\r\nb", ";LR;", "@LR@", "<<LR>>",
         "{{ LR }}", "ünï→", "", "\x00", "%s", "C:\\new"]  # fmt: skip


def filled(
    text: str, tag: tuple[str, str] = SEMICOLON, unknown: Any = "error", **params: Any
) -> str:
    return substitute(text.encode(), params, tag, unknown)[0].decode()


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("unknown", ["error", "default", "keep"])
def test_any_delimiter_is_literal(tag: tuple[str, str], unknown: str) -> None:
    start, end = tag
    text = f"x = {start}LR{end}\n{start}opt{end} {start}LR{end}\n"
    assert filled(text, tag, unknown, LR=0.1, opt="adam") == "x = 0.1\nadam 0.1\n"


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("tag", TAGS)
def test_a_value_is_never_interpreted_nor_read_again(value: str, tag: tuple[str, str]) -> None:
    for unknown in ("error", "default", "keep"):
        text = f"a {tag[0]}v{tag[1]} b"
        assert filled(text, tag, unknown, v=value, LR="wrong") == f"a {value} b"


plain = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=";\r\n"))


@settings(deadline=None)
@given(st.lists(st.tuples(plain, st.sampled_from(["LR", "opt"]))), plain, st.text(), st.text())
def test_only_the_tags_change(pieces: list[tuple[str, str]], rest: str, lr: str, opt: str) -> None:
    values = {
        "LR": lr.encode("utf-8", "replace").decode(),
        "opt": opt.encode("utf-8", "replace").decode(),
    }
    text = "".join(f"{before}\n;{name};\r\n" for before, name in pieces) + rest
    wanted = "".join(f"{before}\n{values[name]}\r\n" for before, name in pieces) + rest
    found, used = substitute(text.encode(), values, SEMICOLON, "error")
    assert found == wanted.encode()
    assert used == {name for _, name in pieces}


@settings(deadline=None)
@given(st.binary())
def test_keep_leaves_any_bytes(data: bytes) -> None:
    assert substitute(data, {"LR": 1}, ("@@", "@@"), "keep") == (
        data.replace(b"@@LR@@", b"1"),
        set(),
    )


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1"), (0.1, "0.1"), (True, "True"), (1e-5, "1e-05")]
)
def test_numbers_are_written_as_python_does(value: Any, text: str) -> None:
    assert filled(";v;", v=value) == text


# Traps of SmartSim


def test_an_unknown_tag_leaves_the_others_of_its_line_alone() -> None:
    assert filled("a=;X; b=;A; c=;Y;", unknown="default", A=1) == "a=X b=1 c=Y"


def test_a_group_reference_does_not_loop() -> None:
    assert filled(";A;", A=r"\1") == r"\1"


def test_a_backslash_t_is_no_tabulator() -> None:
    assert filled(";A;", A=r"C:\tmp\new\d") == r"C:\tmp\new\d"


def test_a_value_with_its_own_tag_is_not_expanded() -> None:
    assert filled(";A;", A=";A;") == ";A;"


def test_tags_are_not_greedy() -> None:
    assert filled("x=@A@ y=@B@", ("@", "@"), A=1, B=2) == "x=1 y=2"


def test_dollar_and_pipe_are_no_patterns() -> None:
    assert filled("$A$", ("$", "$"), A=1) == "1"
    assert filled("|A|", ("|", "|"), A=1) == "1"


def test_latin_1_and_crlf_are_kept() -> None:
    data = "größe = ;A;\r\nend\r".encode("latin-1")
    assert substitute(data, {"A": "é"}, SEMICOLON, "error")[0] == "größe = é\r\nend\r".encode(
        "latin-1"
    )


def test_binary_files_and_byte_order_marks_are_kept() -> None:
    assert substitute(b"\x00\xff;A;\x00", {"A": 1}, SEMICOLON, "error")[0] == b"\x00\xff1\x00"
    assert (
        substitute(b"\xef\xbb\xbf;A;", {"A": "é"}, SEMICOLON, "error")[0] == b"\xef\xbb\xbf\xc3\xa9"
    )


# What is a tag


@pytest.mark.parametrize(
    "text", [";;", "; A ;", ";A ;", "; A;", ";\tA;", ";A", ";\nA;", ";A\r\n;", "a;b\nc;d", ""]
)
@pytest.mark.parametrize("unknown", ["error", "default", "keep"])
def test_no_tag(text: str, unknown: str) -> None:
    assert filled(text, unknown=unknown, A=1) == text


@pytest.mark.parametrize("text", ["<<>>", "<<A", "A>>", "<A>", "<< A >>", "<<A\n>>", ">>A<<"])
def test_no_tag_of_two_delimiters(text: str) -> None:
    assert filled(text, ("<<", ">>"), A=1) == text


def test_names_are_equal_exactly() -> None:
    assert filled(";lr; ;LR2; ;LR;", unknown="keep", LR=1) == ";lr; ;LR2; 1"
    assert filled(";lr; ;LR2; ;LR;", unknown="default", LR=1) == "lr LR2 1"


def test_keep_spares_c_code() -> None:
    code = "for (i=0;i<n;i++) { dt=;dt; ; x[i] = 1; } // ;dt;dt;\n"
    assert filled(code, unknown="keep", dt=0.5) == (
        "for (i=0;i<n;i++) { dt=0.5 ; x[i] = 1; } // 0.5dt;\n"
    )


def test_keep_without_parameters() -> None:
    assert filled(";;x;", unknown="keep") == ";;x;"


def test_default_keeps_the_text_between() -> None:
    assert filled("a=;0.1; b=;two words;", unknown="default") == "a=0.1 b=two words"


def test_used_names() -> None:
    for unknown in ("default", "keep"):
        assert substitute(b";A; ;X;", {"A": 1, "B": 2}, SEMICOLON, unknown)[1] == {"A"}  # type: ignore[arg-type]


def test_a_long_line_of_openings_ends() -> None:
    data = b"<<a" * 200_000
    assert substitute(data, {"A": 1}, ("<<", ">>"), "error")[0] == data


# Messages


def test_unknown_tags_are_told_all_at_once() -> None:
    with pytest.raises(ValueError, match="names no parameter") as told:
        filled("a\n;LRR;\n;LR; ;zzz;\n", LR=1)
    assert str(told.value).splitlines() == [
        "line 2: ;LRR; names no parameter (did you mean LR?)",
        "line 3: ;zzz; names no parameter",
        "if the text is the default value of the tag write unknown_tags: default; "
        "if it is no tag, unknown_tags: keep or another tag",
    ]


def test_a_value_that_the_file_cannot_hold() -> None:
    wanted = "A: '→' does not exist in latin-1, the encoding of the file; save the file as UTF-8"
    with pytest.raises(ValueError, match=re.escape(wanted)):
        substitute("ö;A;".encode("latin-1"), {"A": "x→"}, SEMICOLON, "error")


def test_a_delimiter_that_the_file_cannot_hold_is_not_in_it() -> None:
    data = "ö;A;".encode("latin-1")
    assert substitute(data, {"A": 1}, ("→", "→"), "error") == (data, set())


@pytest.mark.parametrize("tag", [("", ";"), (";", ""), ("\n", ";")])
def test_impossible_delimiters(tag: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot delimit a tag"):
        filled("x", tag, A=1)
