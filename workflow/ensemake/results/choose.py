"""Members of an entity chosen by its results: those that others are to go on from."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ensemake.config.inputs import Choice
from ensemake.member.plan import Work
from ensemake.results.find import holding_rows
from ensemake.results.outcomes import Outcome, outcomes
from ensemake.sweep.expressions import expression

Row = Mapping[str, Any]


def choose(work: Work, choice: Choice | None, is_over: bool = False) -> list[str] | None:
    """Return the names of the members that a choice means, the first ones first.

    Only members that have completed can be chosen, unless the condition is about ``status``.

    Parameters
    ----------
    work
        The members to choose from.
    choice
        What is wanted; None means all that have completed.
    is_over
        Whether those that have not completed will not in this run.

    Returns
    -------
    list of str, or None
        None if it is not known yet, for members are still to run.
    """
    found = outcomes(work)
    if not is_over and any(one.state != "completed" for one in found):
        return None
    if choice is None:
        return [one.member.name for one in found if one.state == "completed"]
    rows = holding_rows(work, choice.where or "true", _columns(choice), _candidates(found, choice))
    return [str(row["member"]) for row in _first(choice, _sorted(choice, rows))]


def _columns(choice: Choice) -> list[str]:
    return [choice.sort_by] if choice.sort_by else []


def _candidates(found: Sequence[Outcome], choice: Choice) -> list[Outcome]:
    if choice.where is not None and "status" in expression(choice.where).names:
        return list(found)
    return [one for one in found if one.state == "completed"]


def _sorted(choice: Choice, rows: Sequence[Row]) -> list[Row]:
    """Sort stably; a member that lacks the value, or has no number among numbers, comes in last."""
    column = choice.sort_by
    if column is None:
        return list(rows)
    known = [row for row in rows if row.get(column) not in (None, "")]
    if all(isinstance(row[column], int | float) for row in known):
        known = [row for row in known if row[column] == row[column]]  # no NaN
        return sorted(known, key=lambda row: row[column], reverse=choice.descending)
    return sorted(known, key=lambda row: str(row[column]), reverse=choice.descending)


def _first(choice: Choice, rows: Sequence[Row]) -> Iterator[Row]:
    count = Counter[tuple[Any, ...]]()
    for row in rows:
        group = tuple(row[name] for name in choice.per)
        count[group] += 1
        if choice.first is None or count[group] <= choice.first:
            yield row
