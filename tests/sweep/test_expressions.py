"""Expressions and templates: what is undefined is an error, what is a value stays text."""

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemake.member.templates import render_file
from ensemake.sweep.expressions import expression, template


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.4 * LR", 0.2),
        ("n // 3 + n % 3", 4),
        ("n ** 2", 100),
        ("sqrt(n * n) + floor(1.7) + ceil(0.2)", 12.0),
        ("2 * pi", 2 * math.pi),
        ("max(n, 3) - min(n, 3) + abs(-1) + round(0.4) + int('7')", 15),
        ("log10(exp(log(100)))", pytest.approx(2)),
        ("not (opt == 'sgd' and LR > 0.3)", False),
        ("opt ~ '_' ~ n", "sgd_10"),
        ("'a' if flag else 'b'", "a"),
        ("opt in ['sgd', 'adam']", True),
        ("{'sgd': {'k': 1}}[opt]['k']", 1),
        ("LR", 0.5),
        (" n\n + 1 ", 11),
        ("LR is defined and zzz is not defined", True),
    ],
)
def test_expressions(text: str, wanted: Any) -> None:
    found = expression(text).evaluate({"LR": 0.5, "n": 10, "opt": "sgd", "flag": True})
    assert found == wanted
    assert type(found) is type(wanted) or not isinstance(wanted, int | float)


def test_names() -> None:
    found = expression("sqrt(LR) * pi + n")
    assert found.names == {"LR", "n"}
    assert found.mentions == {"LR", "n", "sqrt", "pi"}
    text = template("{% for i in range(n) %}{{ i }}{{ LR }}{% endfor %}{% set k = 1 %}{{ k }}")
    assert text.names == {"n", "LR"}
    assert template("no variables").names == frozenset()


def test_a_parameter_shadows_a_constant() -> None:
    assert expression("pi * 2").evaluate({"pi": 3}) == 6
    assert template("{{ pi }} {{ range }}").render({"pi": 3, "range": "wide"}) == "3 wide"
    assert expression("pi").evaluate({}) == math.pi


def test_compiled_once() -> None:
    assert expression("a + 1") is expression("a + 1")
    assert template("{{ a }}") is template("{{ a }}")


@pytest.mark.parametrize(
    "name", ["text", "context", "environment", "resolve", "blocks", "result", "l_0_a"]
)
def test_parameters_may_be_called_what_jinja_calls_its_own(name: str) -> None:
    assert expression(name).evaluate({name: 5}) == 5
    assert template("{{ " + name + " }}").render({name: 5}) == "5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the expression is empty"),
        ("  ", "the expression is empty"),
        ("{{ LR }}", r"\{\{ LR \}\}: write the expression without \{\{ \}\}"),
        ("0.4 *", r"0\.4 \*: "),
        ("(LR", r"\(LR: "),
        ("LR = 2", "LR = 2: "),
        ("LR n", "LR n: chunk after expression"),
        ("LR | nofilter", "No filter named 'nofilter'"),
        ("[1, 2] | random", "No filter named 'random'"),
        ("LR is notest", "No test named 'notest'"),
    ],
)
def test_no_expression(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expression(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LRR * 2", r"LRR \* 2: LRR is no parameter \(did you mean LR\?\)"),
        ("zzz", "zzz: zzz is no parameter"),
        ("sqr(LR)", r"sqr is no parameter \(did you mean sqrt\?\)"),
        ("1 / (LR - LR)", "ZeroDivisionError"),
        ("1 / 0", "1 / 0: ZeroDivisionError: division by zero"),
        ("opt + 1", "TypeError: "),
        ("opt > 1", "TypeError: "),
        ("sqrt(-1)", "ValueError: math domain error"),
        ("exp(1000)", "OverflowError"),
        ("opt.nothing", "'str object' has no attribute 'nothing'"),
        ("[1][5]", "no element 5"),
    ],
)
def test_what_cannot_be_evaluated(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expression(text).evaluate({"LR": 0.5, "opt": "sgd"})


def test_template_faults_tell_the_line() -> None:
    with pytest.raises(ValueError, match="line 2: "):
        template("a\n{% if %}\n")
    with pytest.raises(ValueError, match=r"line 3: LRR is no parameter \(did you mean LR\?\)"):
        template("a\n\n{{ LRR }}\n").render({"LR": 1})
    with pytest.raises(ValueError, match="line 2: ZeroDivisionError"):
        template("a\n{{ 1 / LR }}\n").render({"LR": 0})
    with pytest.raises(ValueError, match="line 1: "):
        template("{% include 'other' %}").render({})
    with pytest.raises(ValueError, match=r"line 1: .*endif"):
        template("{% if LR %}")


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_a_value_is_text_and_not_expanded_again(value: str) -> None:
    assert template("<{{ v }}>").render({"v": value}) == f"<{value}>"
    assert render_file(b"<{{ v }}>", {"v": value}) == f"<{value}>".encode()
    assert expression("v").evaluate({"v": value}) == value


@pytest.mark.parametrize(
    "value", ["{{ x }}", "{% raw %}", "&<>'\"", "$(touch x)", r"\1\t", "a\r\nb"]
)
def test_nasty_values(value: str) -> None:
    assert template("{{ v }}").render({"v": value, "x": "wrong"}) == value
    assert render_file(b"a\n{{ v }}", {"v": value}) == b"a\n" + value.encode()


lines = st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n{}")))


@settings(deadline=None)
@given(lines, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_render_file_keeps_what_is_no_template(
    pieces: list[str], newline: str, final: bool
) -> None:
    data = (newline.join(pieces) + newline * final).encode()
    assert render_file(data, {}) == data


def test_render_file_keeps_latin_1_crlf_and_the_end() -> None:
    data = "größe = {{ v }}\r\n{% if v %}\r\nja{% endif %}".encode("latin-1")
    assert render_file(data, {"v": "é"}) == "größe = é\r\n\r\nja".encode("latin-1")
    assert render_file(b"a\n", {}) == b"a\n"
    assert render_file(b"a\n\n", {}) == b"a\n\n"
    assert render_file(b"\xef\xbb\xbf{{ v }}", {"v": 1}) == b"\xef\xbb\xbf1"
    with pytest.raises(ValueError, match=r"'→' does not exist in latin-1.*save the file as UTF-8"):
        render_file(data, {"v": "→"})


def test_mixed_line_ends_become_the_most_frequent() -> None:
    assert render_file(b"a\r\nb\r\nc\n", {}) == b"a\r\nb\r\nc\r\n"


def test_nothing_is_random() -> None:
    state = random.getstate()
    with pytest.raises(ValueError, match="lipsum is no parameter"):
        template("{{ lipsum() }}").render({})
    assert random.getstate() == state


@pytest.mark.parametrize(
    "text",
    [
        "max.__self__.open('stolen', 'w')",
        "max['__self__']",
        "(max | attr('__self__'))",
        "x.__class__.__mro__",
        "int.mro()",
        "'{0.__class__}'.format(x)",
        "str.format('{0.__class__}', x)",
    ],
)
def test_nothing_of_pythons_own_is_reached(text: str) -> None:
    with pytest.raises(ValueError, match=r"use Python's inside|cannot use"):
        expression(text).evaluate({"x": 1})
    with pytest.raises(ValueError, match=r"^line 2: .*cannot use"):
        template("\n{{ " + text + " }}").render({"x": 1})


def test_ranges_end() -> None:
    assert template("{% for i in range(x, 4) %}{{ i }}{% endfor %}").render({"x": 1}) == "123"
    with pytest.raises(ValueError, match=r"line 1: .*more than 1000000 steps"):
        template("{% for i in range(10**12) %}x{% endfor %}").render({})


def test_lists_of_a_template_can_grow() -> None:
    text = "{% set found = [] %}{% for i in range(3) %}{% set _ = found.append(i) %}{% endfor %}"
    assert template(text + "{{ found }}").render({}) == "[0, 1, 2]"


@pytest.mark.parametrize("dt", ["1.0d-3", "1d-3", "1.0D-03", "0.001q+0", ".1-002"])
def test_numbers_as_fortran_writes_them(dt: str) -> None:
    values = {"dt": dt}
    assert expression("2 * dt + dt / 2 - min(dt, 7)").evaluate(values) == pytest.approx(0.0015)
    assert expression("dt < 0.002 and dt == '" + dt + "'").evaluate(values) is True
    assert expression("dt").evaluate(values) == dt
    text = "{{ dt }} {{ dt ~ '!' }} {{ dt | replace('0', '9') | length }} {{ dt.upper() }}"
    assert template(text).render(values) == f"{dt} {dt}! {len(dt)} {dt.upper()}"
    assert template("{{ 2 * dt }}").render(values) == str(2 * expression("dt * 1").evaluate(values))


@pytest.mark.parametrize("name", ["3d10", "d-3", "12", "1.0", "1.0e-3", "a1.0d-3", "1.0d", ""])
def test_other_texts_stay_texts(name: str) -> None:
    assert expression("x ~ 'y'").evaluate({"x": name}) == f"{name}y"
    assert expression("x * 2").evaluate({"x": name}) == name * 2
