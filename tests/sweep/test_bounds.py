"""Formulas and templates that would never end, or fill the memory, are errors at once."""

from collections.abc import Callable

import pytest

from ensemake.sweep.expressions import expression, template

ENDLESS = {
    "loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "kept range": "{% set r = range(9999) %}"
    "{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
    "calls": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "text": "{% for i in range(999999) %}{{ 'x' * 1000 }}{% endfor %}",
    "product": "{{ 'x' * 10**9 }}",
    "list": "{{ 10**9 * [0] }}",
    "power": "{{ x ** (10 ** 10) }}",
    "power of constants": "{{ 10 ** (10 ** 10) }}",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_does_not_end_is_an_error(kind: str) -> None:
    with pytest.raises(ValueError, match=r"more than|longer than|too large"):
        template(ENDLESS[kind]).render({"x": 7})


def test_formulas_too() -> None:
    with pytest.raises(ValueError, match="too large"):
        expression("x ** (10 ** 10)").evaluate({"x": 7})


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("{% for i in [1, 2] %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/2 2/2 "),
        ("{% for i in [] %}{{ i }}{% else %}none{% endfor %}", "none"),
        ("{{ 3 * 'ab' }}{{ 2 ** 10 }}{{ 0.5 * 3 }}", "ababab10241.5"),
    ],
)
def test_what_ends_is_what_it_was(text: str, gives: str) -> None:
    assert template(text).render({}) == gives


def test_each_rendering_counts_for_itself() -> None:
    loop = template("{% for i in range(900000) %}{% endfor %}{{ x }}")
    assert [loop.render({"x": i}) for i in range(4)] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("compiled", [expression, template])
def test_brackets_too_deep(compiled: Callable[[str], object]) -> None:
    deep = "(" * 5000 + "x" + ")" * 5000
    with pytest.raises(ValueError, match="too deep"):
        compiled(deep if compiled is expression else f"{{{{ {deep} }}}}")


@pytest.mark.parametrize(
    "text",
    [
        "'x'.center(10**9)",
        "'x'.ljust(999999999)",
        "'x' | center(999999999)",
        "'%0999999999d' % 1",
        "'%0999999999d' | format(1)",
        "'{:999999999}'.format(1)",
        "'a\nb' | indent(999999999)",
    ],
)
def test_widths_that_would_fill_the_memory_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="width is too large"):
        expression(text).evaluate({})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'%08d' % 123456789", "123456789"),
        ("'%d' | format(99999999)", "99999999"),
        ("'{:.3e}'.format(1e10)", "1.000e+10"),
        ("'x' | center(3)", " x "),
        ("'1234567'.replace('1', '2')", "2234567"),
        ("7 % 4", 3),
    ],
)
def test_ordinary_formats_are_made(text: str, value: object) -> None:
    assert expression(text).evaluate({}) == value
