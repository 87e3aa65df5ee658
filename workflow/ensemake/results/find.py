"""Members for which an expression holds, over what results.csv says of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jinja2

from ensemake.config.faults import did_you_mean
from ensemake.member.plan import Work
from ensemake.results.collect import results_table, typed_cell
from ensemake.results.outcomes import Outcome
from ensemake.sweep.expressions import Expression, expression


def find(work: Work, text: str) -> list[str]:
    """Return the directories of the members for which a Jinja2 expression holds.

    Parameters
    ----------
    work
        The members.
    text
        An expression over the columns of results.csv: parameters, ``status``, metrics, ....
        It does not hold where that would depend on a value that is missing.

    Raises
    ------
    ValueError
        If it is no expression, has a name that is no column, or cannot be computed.
    """
    directories = {member.name: member.directory for member in work.planned}
    return [directories[row["member"]] for row in holding_rows(work, text)]


def holding_rows(
    work: Work, text: str, columns: Sequence[str] = (), found: Sequence[Outcome] | None = None
) -> list[dict[str, Any]]:
    """Return the rows of the results for which an expression holds, with typed values.

    Parameters
    ----------
    columns
        Metrics that the rows are to have besides those of the expression.
    found
        What became of the members to look at, by default of all.

    Raises
    ------
    ValueError
        As `find`.
    """
    formula = expression(text)
    known, rows, _ = results_table(_with_metrics(work, {*formula.mentions, *columns}), found)
    unknown = sorted(formula.names - {*known, *work.settings.metrics})
    if unknown:
        hint = did_you_mean(unknown[0], [*known, *work.settings.metrics])
        raise ValueError(f"{unknown[0]!r} is no column of results.csv{hint}")
    typed = (_typed(row, work) for row in rows)
    return [row for row in typed if _holds(formula, row)]


def _with_metrics(work: Work, names: Collection[str]) -> Work:
    """Leave out the metrics that need not be read."""
    used = {key: one for key, one in work.settings.metrics.items() if key in names}
    return replace(work, settings=work.settings.model_copy(update={"metrics": used}))


def _typed(row: Mapping[str, Any], work: Work) -> dict[str, Any]:
    metrics = work.settings.metrics
    return {name: typed_cell(cell) if name in metrics else cell for name, cell in row.items()}


def _holds(formula: Expression, row: Mapping[str, Any]) -> bool:
    known: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
    absent = formula.names - known.keys()
    try:
        answers = [
            formula.evaluate(known | {name: _Absent(guess) for name in absent})
            for guess in ((False, True) if absent else (False,))
        ]
    except ValueError as error:
        if absent:
            return False
        raise ValueError(f"{error}, for member {row['member']}") from None
    return all(answers)


class _Absent(jinja2.Undefined):
    """A value that nobody knows: whatever is asked of it has the answer that is guessed."""

    def __init__(self, guess: bool) -> None:
        super().__init__()
        self._guess = guess

    def __bool__(self) -> bool:
        return self._guess

    def _answer(self, other: object) -> bool:
        return self._guess

    def _same(self, *others: object) -> "_Absent":
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _answer  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _same  # type: ignore[assignment]
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _same  # type: ignore[assignment]
    __neg__ = __pos__ = __abs__ = _same  # type: ignore[assignment]
    __hash__ = jinja2.Undefined.__hash__
