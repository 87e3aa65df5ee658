"""Models of one ensemble that differ, in one table of the config."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ensemake.config.run import as_list
from ensemake.config.scalars import Scalar

LABELS = ("model", "model_name", "label")  # for the parameter that names added models
Columns = dict[str, list[Scalar]]


def merged(ensemble: str, models: Mapping[str, dict[str, Any]]) -> tuple[Columns, dict[str, Any]]:
    """Put entries of models that run one program into one table: what differs becomes a parameter.

    Returns
    -------
    columns, common
        Values by name, the first column being the models' names; and the entries of the config
        that all of them share.
    """
    entries = [dict(entry) for entry in models.values()]
    runs = [[dict(run) for run in as_list(entry.pop("run_settings"))] for entry in entries]
    _same(ensemble, models, [len(commands) for commands in runs], "number of commands")
    params = [entry.pop("params", {}) for entry in entries]
    columns: Columns = {}
    label = next(name for name in LABELS if name not in params[0])
    columns[label] = list(models)
    _same(ensemble, models, [list(row) for row in params], "parameters")
    columns |= {name: [row[name] for row in params] for name in params[0]}
    shared = [
        _merged_command(ensemble, models, [*same], f"command_{number}_" * (number > 1), columns)
        for number, same in enumerate(zip(*runs, strict=True), 1)
    ]
    for entry in entries:
        entry.pop("batch_settings", None)  # the ensemble's count
    _same(ensemble, models, entries, "files or resources")
    return columns, {**entries[0], "run_settings": shared[0] if len(shared) == 1 else shared}


def _merged_command(
    ensemble: str,
    models: Iterable[str],
    runs: list[dict[str, Any]],
    prefix: str,
    columns: Columns,
) -> dict[str, Any]:
    arguments = [run.pop("exe_args", []) for run in runs]
    _same(ensemble, models, [len(words) for words in arguments], "number of arguments")
    words = _columns_of([dict(enumerate(row)) for row in arguments], f"{prefix}arg_", columns)
    variables = [run.pop("env_vars", {}) for run in runs]
    _same(ensemble, models, [sorted(row) for row in variables], "environment variables")
    env_vars = _columns_of(variables, f"{prefix}env_", columns)
    _same(ensemble, models, runs, "program or launcher")
    run = {**runs[0], "exe_args": list(words.values()), "env_vars": env_vars}
    return {key: value for key, value in run.items() if value}


def _columns_of(rows: list[dict[Any, Any]], prefix: str, columns: Columns) -> dict[Any, Any]:
    """Return the texts that all rows share; one that differs becomes a column, and its tag."""
    shared: dict[Any, Any] = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        is_same = all(value == values[0] for value in values)
        shared[key] = values[0] if is_same else f"{{{{ {prefix}{key} }}}}"
        columns |= {} if is_same else {f"{prefix}{key}": values}
    return shared


def _same(ensemble: str, models: Iterable[str], found: list[Any], what: str) -> None:
    for name, value in zip(models, found, strict=True):
        if value != found[0]:
            raise ValueError(
                f"{ensemble}: {name} differs from {next(iter(models))} in its {what}; models of "
                f"one ensemble run one program. Make it a model of its own, or another ensemble"
            )


def table(names: list[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return ``params`` that give each member its row, under the strategy ``step``."""
    if len(names) == 1:
        return {names[0]: [row[0] for row in rows]}
    return {", ".join(names): [list(row) for row in rows]}
