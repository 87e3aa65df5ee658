"""Members for which an expression holds, over what results.csv says of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jinja2

from ensemake.config.faults import did_you_mean
from ensemake.member.plan import Work
from ensemake.results.collect import results_table, typed_cell
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
    formula = expression(text)
    columns, rows, _ = results_table(_with_metrics_of(formula, work))
    unknown = sorted(formula.names - {*columns, *work.settings.metrics})
    if unknown:
        hint = did_you_mean(unknown[0], [*columns, *work.settings.metrics])
        raise ValueError(f"{unknown[0]!r} is no column of results.csv{hint}")
    return [
        member.directory
        for member, row in zip(work.planned, rows, strict=True)
        if _holds(formula, row, work)
    ]


def _with_metrics_of(formula: Expression, work: Work) -> Work:
    """Leave out the metrics that need not be read."""
    used = {key: one for key, one in work.settings.metrics.items() if key in formula.mentions}
    return replace(work, settings=work.settings.model_copy(update={"metrics": used}))


def _holds(formula: Expression, row: Mapping[str, Any], work: Work) -> bool:
    metrics = work.settings.metrics
    told = {name: typed_cell(value) if name in metrics else value for name, value in row.items()}
    known: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
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
