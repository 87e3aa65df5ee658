"""Which parameters matter: how much of a metric's variance depends on each.

A random forest learns to foretell the metric from the parameters. What it loses, for members that
it has not seen, when the values of one parameter are shuffled among them is twice the variance that
depends on it, alone or together with others (its total effect). Needs scikit-learn.
"""

import json
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ensemake.atomic import LARGEST, read_whole, write_atomically
from ensemake.member.plan import Work
from ensemake.results.outcomes import read_collected, varying

if TYPE_CHECKING:
    from pandas import DataFrame

LEAST = 30  # members, and ten for each parameter: fewer tell nothing
MOST = 2000  # members that are learned from
METRICS, PARAMETERS = 12, 30
FOLDS, SHUFFLES, TREES = 4, 8, 60
LEAST_TOLD = 0.3  # share of the variance that has to be foretold


def write_effects(work: Work, table: "DataFrame") -> None:
    """Write what the page shows, if scikit-learn is installed and the sample bears it."""
    path = work.base / work.layout.state / "effects.json"
    params = [name for name in varying(work.planned) if name not in _no_parameter(work)]
    if find_spec("sklearn") is None or not 2 <= len(params) <= PARAMETERS:
        path.unlink(missing_ok=True)
        return
    found = {name: effects(table, params, name) for name in list(work.settings.metrics)[:METRICS]}
    told = {name: one for name, one in found.items() if one is not None}
    data = {"state": read_collected(work).get("state"), "effects": told}
    write_atomically(path, json.dumps(data).encode())


def read_effects(work: Work) -> dict[str, Any]:
    """Return what was written, if it is about the results as they are."""
    try:
        data = json.loads(read_whole(work.base / work.layout.state / "effects.json", LARGEST))
    except (OSError, ValueError):
        return {}
    is_current = data["state"] == read_collected(work).get("state")
    return dict(data["effects"]) if is_current else {}


def _no_parameter(work: Work) -> set[str]:
    return {"replica", *work.settings.derived}


def effects(table: "DataFrame", params: list[str], metric: str) -> dict[str, Any] | None:
    """Return the parameters, those that matter most first, each with its share and an interval.

    Parameters
    ----------
    table
        The results.
    params
        Columns to rank.
    metric
        Column that they decide.

    Returns
    -------
    dict or None
        ``told``, the share of the variance that all foretell together, and ``ranks``: name, share,
        and the ends of an interval of two standard errors. None if the members are too few, the
        metric is no number, or too little of it is foretold.
    """
    import numpy
    import pandas

    y = pandas.to_numeric(table[metric], errors="coerce").astype(float)
    rows = table[numpy.isfinite(y)]
    y = y[numpy.isfinite(y)]
    if len(rows) < max(LEAST, 10 * len(params)) or y.nunique() < 5:
        return None
    if len(rows) > MOST:
        rows = rows.sample(MOST, random_state=0)
        y = y[rows.index]
    x = numpy.column_stack([_coded(rows[name]) for name in params])
    scores, losses = _foretold(x, y.to_numpy())
    told = float(numpy.mean(scores))
    if told < LEAST_TOLD:
        return None
    mean = numpy.mean(losses, axis=0)
    error = 2 * numpy.std(losses, axis=0, ddof=1) / FOLDS**0.5
    ends = numpy.stack([mean, mean - error, mean + error], axis=1).round(4)
    order = [int(place) for place in numpy.argsort(-mean)]
    return {"told": round(told, 4), "ranks": [[params[n], *ends[n].tolist()] for n in order]}


def _foretold(x: Any, y: Any) -> tuple[list[float], list[Any]]:
    """Return how well each part is foretold by the others, and what is lost without a parameter."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    scores, losses = [], []
    for learned, kept in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        forest = RandomForestRegressor(TREES, random_state=0).fit(x[learned], y[learned])
        scores.append(forest.score(x[kept], y[kept]))
        with warnings.catch_warnings(action="ignore"):
            one = permutation_importance(
                forest, x[kept], y[kept], n_repeats=SHUFFLES, random_state=0
            )
        losses.append(one.importances_mean / 2)  # two independent values differ by it twice
    return scores, losses


def _coded(column: "Any") -> Any:
    """Return numbers as they are, texts by their places in the list of those that occur."""
    import pandas

    if pandas.api.types.is_numeric_dtype(column):
        return column.astype(float).to_numpy()
    return pandas.factorize(column)[0].astype(float)
