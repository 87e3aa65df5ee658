"""Pictures of curves: all members' in colours of a parameter; mean and range of replicas."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ensemake.results.plots import (
    BLUE,
    COLOURS,
    GREY,
    STYLE,
    WIDE,
    WIDTH,
    Floats,
    Scale,
    Swept,
    legend,
    shown_text,
)

MOST_CURVES = 300
MOST_POINTS = 500  # of each
MOST_BANDS = 12
RUNNING = (0, (4, 2))


@dataclass(frozen=True)
class MemberCurve:
    """One member's curve, sorted by its index; ``group`` is the same for replicas."""

    index: Floats
    value: Floats
    colour: Any
    group: int
    is_running: bool


def draw_curves(
    curves: pd.DataFrame,
    members: pd.DataFrame,
    swept: Sequence[Swept],
    name: str,
    index: str,
    title: str,
) -> Figure:
    """Draw the curves of one name.

    Parameters
    ----------
    curves
        Columns member, index, value.
    members
        A row per member: member, status, and a column per parameter.
    swept
        The parameters that vary; the first gives the colour.
    name
        What the curves are of.
    index
        What they are drawn over.
    title
        Heading of the figure.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        figure.suptitle(shown_text(title, 80))
        axes = figure.subplots()
        axes.set(xlabel=shown_text(index, 60), ylabel=shown_text(name, 60))
        rows = members[members["member"].isin(curves["member"])].reset_index(drop=True)
        colours = _Colours.of(rows, swept)
        shown = list(_curves(curves, rows, swept, colours))
        _draw(axes, shown)
        colours.explain(figure, axes, shown)
        axes.set_title(_caption(shown, len(rows)), loc="right", color=GREY)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


@dataclass(frozen=True)
class _Colours:
    """What a member's colour is, by its place in the table."""

    scale: Scale | None
    norm: Normalize | None

    @classmethod
    def of(cls, rows: pd.DataFrame, swept: Sequence[Swept]) -> _Colours:
        if not swept or rows.empty:
            return cls(None, None)
        scale = Scale.read(rows[swept[0].name], swept[0])
        if scale.names is not None and len(scale.names) <= len(COLOURS):
            return cls(scale, None)
        kind = LogNorm if scale.log else Normalize
        return cls(scale, kind(float(scale.at.min()), float(scale.at.max())))

    def colour(self, place: int) -> Any:
        if self.scale is None:
            return BLUE
        at = self.scale.at[place]
        return (
            COLOURS[int(at)]
            if self.norm is None
            else matplotlib.colormaps["viridis"](self.norm(at))
        )

    def explain(self, figure: Figure, axes: Axes, shown: Sequence[MemberCurve]) -> None:
        more = [
            Line2D([], [], color=COLOURS[place], label=shown_text(text, 24))
            for place, text in enumerate((self.scale and self.scale.names) or ())
            if self.norm is None
        ]
        if any(one.is_running for one in shown):
            more.append(Line2D([], [], color=GREY, ls=RUNNING, label="running"))
        legend(figure, axes, *more, title=self.scale.name if self.scale and not self.norm else None)
        if self.norm is not None and self.scale is not None:
            label = shown_text(self.scale.name, 60)
            figure.colorbar(ScalarMappable(self.norm, "viridis"), ax=axes, label=label, pad=0.02)


def _curves(
    curves: pd.DataFrame, rows: pd.DataFrame, swept: Sequence[Swept], colours: _Colours
) -> Iterator[MemberCurve]:
    names = [one.name for one in swept]
    groups = rows.groupby(names, sort=False).ngroup() if names else pd.Series(0, rows.index)
    points: Mapping[Any, pd.DataFrame] = dict(iter(curves.groupby("member", observed=True)))
    step = ceil(len(rows) / MOST_CURVES) or 1
    for place in range(0, len(rows), step):
        row = rows.iloc[place]
        index, value = _thinned(points[row["member"]])
        is_running = row["status"] == "running"
        yield MemberCurve(index, value, colours.colour(place), int(groups.iloc[place]), is_running)


def _thinned(points: pd.DataFrame) -> tuple[Floats, Floats]:
    some = points.sort_values("index", kind="stable").iloc[:: ceil(len(points) / MOST_POINTS) or 1]
    return some["index"].to_numpy(float), some["value"].to_numpy(float)


def _draw(axes: Axes, shown: Sequence[MemberCurve]) -> None:
    replicas = _replicas(shown)
    alpha = 0.3 if replicas else float(np.clip(30 / (len(shown) or 1), 0.25, 0.9))
    lines = LineCollection(
        [np.column_stack([one.index, one.value]) for one in shown],
        colors=[one.colour for one in shown],
        linestyles=[RUNNING if one.is_running else "-" for one in shown],
        linewidths=0.8 if replicas or len(shown) > 30 else 1.3,
        alpha=alpha,
        rasterized=len(shown) > 100,
    )
    axes.add_collection(lines)
    for group in replicas:
        at, mean, low, high = _band(group)
        axes.fill_between(at, low, high, color=group[0].colour, alpha=0.15, lw=0)
        axes.plot(at, mean, color=group[0].colour, lw=1.8)
    if any(len(one.index) == 1 for one in shown):  # a line of one point cannot be seen
        for one in shown:
            axes.plot(one.index[:1], one.value[:1], ".", color=one.colour)
    values = np.concatenate([one.value for one in shown]) if shown else np.array([])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() / WIDE >= values.min():
        axes.set_yscale("log")
    axes.grid(True, axis="y")
    axes.autoscale_view()


def _replicas(shown: Sequence[MemberCurve]) -> list[list[MemberCurve]]:
    """Return the curves of equal parameters, if there are several of some, and few such bands."""
    groups: dict[int, list[MemberCurve]] = {}
    for one in shown:
        groups.setdefault(one.group, []).append(one)
    several = [group for group in groups.values() if len(group) > 1]
    return several if len(several) <= MOST_BANDS else []


def _band(group: Sequence[MemberCurve]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return where, and there the mean, the lowest and the highest value of several curves."""
    at = np.unique(np.concatenate([one.index[np.isfinite(one.index)] for one in group]))
    if len(at) > MOST_POINTS:
        at = np.linspace(at[0], at[-1], MOST_POINTS)
    some = [np.interp(at, one.index, one.value, np.nan, np.nan) for one in group if len(one.index)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where there is none
        return at, np.nanmean(some, 0), np.nanmin(some, 0), np.nanmax(some, 0)


def _caption(shown: Sequence[MemberCurve], count: int) -> str:
    some = f"{len(shown):,} of {count:,} members" if len(shown) < count else ""
    every = some or f"{count:,} member{'s' * (count != 1)}"
    running = sum(one.is_running for one in shown)
    told = every + (f", {running:,} running" if running else "")
    bands = _replicas(shown)
    return f"{told}, mean and range of replicas" if bands else told
