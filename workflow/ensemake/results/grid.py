"""A metric over the parameters of an ensemble, as an array with named dimensions."""

import re
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ensemake.config.faults import did_you_mean
from ensemake.member.plan import Work

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from xarray import DataArray

SPARSE = 100  # cells for each member, beyond which it is no grid


def grid(work: Work, table: "DataFrame", metric: str) -> "DataArray":
    """Return a column of the results as an array over the parameters that vary.

    Raises
    ------
    ValueError
        If there is no such column, or the members fill no grid.
    """
    if metric not in table:
        raise ValueError(f"no column {metric!r}{did_you_mean(metric, [*map(str, table)])}")
    try:
        import xarray
    except ImportError:
        raise ImportError("grids need xarray: pip install ensemake[grid]") from None
    import numpy

    together = _dimensions(work)
    axes = {names[0]: _distinct(table[names[0]]) for names in together}
    cells = prod(map(len, axes.values()))
    if cells > SPARSE * max(1, len(table)):
        sizes = " x ".join(f"{len(values)} {name}" for name, values in axes.items())
        raise ValueError(f"{len(table)} members fill no grid of {sizes}; take the table instead")
    values = _values(table[metric])
    data = numpy.full([len(values) for values in axes.values()], numpy.nan, values.dtype)
    spots = [
        [*map({_key(v): n for n, v in enumerate(axes[name])}.get, map(_key, table[name]))]
        for name in axes
    ]
    data[tuple(map(numpy.array, spots))] = values
    coords = {name: (name, values) for name, values in axes.items()}
    coords |= _along(table, together, axes)
    array = xarray.DataArray(data, dims=list(axes), coords=coords, name=metric)
    for one in (array, *array.coords.values()):
        one.attrs |= _described(work.settings.labels.get(str(one.name)))
    return array


def _described(label: str | None) -> dict[str, str]:
    """Return a label as xarray's own plots use it: the text, and what stands in brackets."""
    found = re.fullmatch(r"(.*\S)\s*\[([^\]]+)\]", label or "")
    if found:
        return {"long_name": found[1], "units": found[2]}
    return {"long_name": label} if label else {}


def _values(column: "Series[Any]") -> Any:
    """Return numbers as floats, whatever is missing as NaN; else what is there."""
    import pandas

    if pandas.api.types.is_numeric_dtype(column) or pandas.api.types.is_bool_dtype(column):
        return column.astype("Float64").to_numpy(dtype=float, na_value=float("nan"))
    return column.to_numpy(dtype=object)


def _dimensions(work: Work) -> list[tuple[str, ...]]:
    """Return the parameters that vary, those that do so together in one; replicas last."""
    groups = [axis.names for axis in work.swept] + [("replica",)]
    varied = [tuple(name for name in names if _varies(work, name)) for names in groups]
    return [names for names in varied if names]


def _varies(work: Work, name: str) -> bool:
    return len({_key(member.values[name]) for member in work.planned}) > 1


def _key(value: Any) -> Any:
    return (isinstance(value, bool), value)


def _distinct(column: "Sequence[Any] | Any") -> list[Any]:
    values = [value.item() if hasattr(value, "item") else value for value in column]
    found = list({_key(value): value for value in values}.values())
    return found if any(isinstance(value, str) for value in found) else sorted(found)


def _along(
    table: "DataFrame", together: Sequence[tuple[str, ...]], axes: dict[str, list[Any]]
) -> dict[str, Any]:
    """Return parameters that vary with the first of theirs, where that decides them."""
    found = {}
    for first, *others in together:
        for name in others:
            pairs = {_key(a): b for a, b in zip(table[first], table[name], strict=True)}
            found[name] = (first, [pairs[_key(value)] for value in axes[first]])
    return found
