"""What an entity's results are made of: checks, metrics, plots."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from math import prod
from pathlib import Path

from ensemake.check.attempts import attempt
from ensemake.config.faults import KeyPath, Problem, did_you_mean
from ensemake.config.plots import Drawn, picture_name
from ensemake.config.reserved import COLUMNS
from ensemake.config.schema import Model

MOST_REPEATS = 10**6  # of a regular expression, which is written out so often


def metric_problems(entity: Model, known: list[str], base: Path) -> Iterator[Problem]:
    """Yield what is wrong with metrics, and with plots of them."""
    yield from metric_name_problems(entity, [*known, *entity.derived])
    for kind, section in (("metrics", entity.metrics), ("series", entity.series)):
        for name, one in section.items():
            for path, message in attempt((kind, name, "regex"), partial(_regex, one.regex)):
                yield path, f"is no regular expression: {message}"
    for name, metric in entity.metrics.items():
        yield from attempt(("metrics", name, "function"), partial(_function, metric.function, base))
    for name in entity.series.keys() & entity.metrics.keys():
        yield ("series", name), "is the name of a metric too; rename one of them"


def _function(function: str | None, base: Path) -> None:
    """Look for a function in its file, without running that."""
    file, _, name = (function or "").rpartition(":")
    if not file.endswith(".py"):
        return
    try:
        tree = ast.parse((base / file).read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{file}: line {error.lineno}: {error.msg}") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if name not in found and f"{name} =" not in ast.unparse(tree):
        raise ValueError(f"{file} has no function {name!r}{did_you_mean(name, sorted(found))}")


def check_problems(entity: Model) -> Iterator[Problem]:
    """Yield checks that are no regular expressions."""
    for item, check in enumerate(entity.checks):
        for path, message in attempt(("checks", item, "regex"), partial(_regex, check.regex)):
            yield path, f"is no regular expression: {message}"


def metric_name_problems(entity: Model, known: Collection[str]) -> Iterator[Problem]:
    """Yield metrics whose names are those of parameters or columns."""
    for name in entity.metrics:
        if name in known or name in COLUMNS:
            whose = "ensemake's own" if name in COLUMNS else "a parameter"
            message = f"results.csv has a column {name!r} already, {whose}; rename it"
            yield ("metrics", name), message


def named_columns(
    named: Iterable[tuple[KeyPath, str]], columns: Collection[str]
) -> Iterator[Problem]:
    """Yield names that are no columns of the table."""
    for path, name in named:
        if name not in columns:
            yield path, f"{name!r} is no parameter, metric or column{did_you_mean(name, columns)}"


def plot_problems(entity: Model, columns: Collection[str], base: Path) -> Iterator[Problem]:
    """Yield plots of what there is not, or of one name."""
    names: set[str] = set()
    for item, plot in enumerate(entity.plots or ()):
        path: KeyPath = ("plots", item)
        if picture_name(plot) in names:
            yield path, "is the same plot as one before it"
        names.add(picture_name(plot))
        if isinstance(plot, Drawn):
            keys = [((*path, key), name) for key, name in plot.columns.items()]
            yield from named_columns(keys, columns)
            if plot.kind == "heatmap" and plot.colour is None:
                yield path, "a heat map shows a column by its colour; write colour: NAME, too"
        else:
            file = plot.rpartition(":")[0]
            if file.endswith(".py") and not (base / file).is_file():
                yield path, f"no such file: {file}"


def _regex(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    repeats = prod(int(times) for times in re.findall(r"\{(?:\d*,)?(\d+)\}", pattern or ""))
    if repeats > MOST_REPEATS:
        raise ValueError(f"it repeats something {repeats} times, more than {MOST_REPEATS}")
