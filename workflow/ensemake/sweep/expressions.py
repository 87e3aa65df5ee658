"""Jinja2 expressions and templates over the parameters, compiled once.

What is undefined is an error, nothing is random, and a value is never expanded again. They run in
Jinja2's sandbox: a config from elsewhere can be checked without running what its author likes.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.meta
from jinja2 import nodes
from jinja2.exceptions import SecurityError

from ensemake.config.scalars import Scalar
from ensemake.sweep.bounds import BoundedEnvironment, rendered
from ensemake.sweep.spaces import nearest
from ensemake.sweep.tables import is_fortran, number_text

MOST_STEPS = 10**6


def _range(*ends: int) -> range:
    """As Python's, not endless."""
    steps = range(*ends)
    if len(steps[: MOST_STEPS + 1]) > MOST_STEPS:
        raise ValueError(f"range has more than {MOST_STEPS} steps")
    return steps


_FUNCTIONS = [
    "sqrt",
    "exp",
    "log",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "hypot",
    "degrees",
    "radians",
    "floor",
    "ceil",
    "pi",
]
GLOBALS: dict[str, Any] = {name: getattr(math, name) for name in _FUNCTIONS} | {
    "abs": abs,
    "bool": bool,
    "float": float,
    "int": int,
    "len": len,
    "max": max,
    "min": min,
    "range": _range,
    "round": round,
    "str": str,
    "sum": sum,
}


TOO_DEEP = "brackets or loops within each other, too deep to be read"
_SYNTAX = {
    "unexpected end of template, expected 'end of print statement'": "'{{' is not closed by '}}'",
    "unexpected end of template, expected 'end of statement block'": "'{%' is not closed by '%}'",
    "unexpected 'end of template'": "it ends too early, or a name is missing",
}


class Written(float):
    """A number that is written otherwise than Python does, 1.0d-3: computed with, kept as text."""

    def __new__(cls, text: str) -> "Written":
        """Make one of a text that is such a number."""
        number = super().__new__(cls, float(number_text(text)))
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return self.text == other if isinstance(other, str) else super().__eq__(other)

    __hash__ = float.__hash__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.text, name)


def _computable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return functions and values; a text that is a number to Fortran can be computed with."""
    written = {
        name: Written(value)
        for name, value in params.items()
        if isinstance(value, str) and is_fortran(value)
    }
    return {**GLOBALS, **params, **written}


@dataclass(frozen=True)
class Expression:
    """A compiled expression.

    Attributes
    ----------
    names
        The variables it needs, without functions and constants such as `sqrt` and `pi`.
    mentions
        `names` and the functions and constants: what a parameter of the same name would change.
    """

    text: str
    names: frozenset[str]
    mentions: frozenset[str]
    _call: Callable[[Mapping[str, Scalar]], Any]

    def evaluate(self, params: Mapping[str, Scalar]) -> Any:
        """Return the value; raise ValueError if it cannot be computed."""
        try:
            value = self._call(_computable(params))
            if isinstance(value, jinja2.Undefined):
                str(value)  # StrictUndefined says here what is missing
        except Exception as error:
            raise ValueError(f"{self.text}: {_reason(error, params)}") from None
        return value.text if isinstance(value, Written) else value


@dataclass(frozen=True)
class Template:
    """A compiled template. `names` and `mentions` are those of `Expression`."""

    names: frozenset[str]
    mentions: frozenset[str]
    _generate: Callable[[dict[str, Any]], Iterable[str]]

    def render(self, params: Mapping[str, Scalar]) -> str:
        """Return the text; raise ValueError, with the line, if it cannot be rendered."""
        try:
            return rendered(self._generate, _computable(params))
        except Exception as error:
            raise ValueError(f"{_line(error)}{_reason(error, params)}") from None


@lru_cache(maxsize=1024)
def expression(text: str) -> Expression:
    """Compile a Jinja2 expression such as ``0.4 * LR``.

    Raises
    ------
    ValueError
        It is empty or no expression; the message says why.
    """
    if not text.strip():
        raise ValueError("the expression is empty")
    if text.lstrip().startswith("{{"):
        raise ValueError(f"{text}: write the expression without {{{{ }}}}")
    environment = _environment("\n")
    try:
        call = environment.compile_expression(text, undefined_to_none=False)
        mentions = _mentions("{{ " + text + " }}")
    except jinja2.TemplateError as error:
        raise ValueError(f"{text}: {_syntax(error)}") from None
    except (RecursionError, SyntaxError):
        raise ValueError(TOO_DEEP) from None
    return Expression(text, mentions - GLOBALS.keys(), mentions, call)


@lru_cache(maxsize=1024)
def template(text: str, newline: str = "\n") -> Template:
    """Compile a Jinja2 template; its line ends become `newline`.

    Raises
    ------
    ValueError
        It is no template; the message says why and in which line.
    """
    environment = _environment(newline)
    try:
        generate = environment.from_string(text).generate
        mentions = _mentions(text)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {_syntax(error)}") from None
    except (RecursionError, SyntaxError):
        raise ValueError(TOO_DEEP) from None
    return Template(mentions - GLOBALS.keys(), mentions, generate)


class _Sandbox(BoundedEnvironment):
    """Nothing of Python's own inside is reached from a value, a function or a type."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not isinstance(obj, type) and super().is_safe_attribute(obj, attr, value)


@lru_cache
def _environment(newline: str) -> jinja2.Environment:
    environment = _Sandbox(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        newline_sequence=newline,
        autoescape=False,
    )
    # a cluster job evaluates anew what the main process has evaluated
    del environment.filters["random"]
    # Jinja2 would look up each function anew for each member: they are given with the parameters
    environment.globals = {}
    return environment


def _mentions(text: str) -> frozenset[str]:
    # an environment with functions would not count them as undeclared
    bare = BoundedEnvironment(autoescape=False)  # it computes constants
    bare.globals.clear()
    tree = bare.parse(text)
    for found in tree.find_all(nodes.Getattr):
        if found.attr.startswith("_"):
            message = f"{found.attr!r} is Python's inside, which formulas and templates cannot use"
            raise jinja2.TemplateSyntaxError(message, found.lineno)
    return frozenset(jinja2.meta.find_undeclared_variables(tree))


def _syntax(error: jinja2.TemplateError) -> str:
    """Say in the user's words what Jinja2 says in those of its parser."""
    message = str(error.message)
    for known, told in _SYNTAX.items():
        message = message.replace(known, told)
    return message.rstrip(".")


def _line(error: Exception) -> str:
    """Jinja2 gives the lines of the template to the frames of its own code."""
    lines, frame = [], error.__traceback__
    while frame:
        if frame.tb_frame.f_code.co_filename == "<template>":
            lines.append(frame.tb_lineno)
        frame = frame.tb_next
    return f"line {lines[-1]}: " if lines else ""


def _reason(error: Exception, params: Mapping[str, Scalar]) -> str:
    lacks = re.fullmatch(r"'dict object' has no attribute '(\w+)'", str(error))
    if lacks:  # a member that is an input
        return f"the input has no parameter {lacks[1]}"
    missing = re.fullmatch(r"'(\w+)' is undefined", str(error))
    if isinstance(error, jinja2.UndefinedError) and missing:
        name = missing[1]
        return f"{name} is no parameter{nearest(name, [*params, *GLOBALS])}"
    if isinstance(error, SecurityError):
        return f"{str(error).rstrip('.')}: formulas and templates cannot use Python's inside"
    if isinstance(error, jinja2.TemplateError):
        return str(error)
    return f"{type(error).__name__}: {error}"
