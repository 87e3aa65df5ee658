"""Plots that the config chooses: points, means with a band, heat maps; in panels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from ensemake.config.plots import Drawn
from ensemake.results.plots import COLOURS, STYLE, WIDTH

MOST_PANELS = 12
MOST_LINES = 7  # values of a colour column that get a line each
BINS = 30  # of an axis of a heat map with more values than that allows
Paint = Callable[[Axes, pd.DataFrame], Any]


def draw_chosen(table: pd.DataFrame, plot: Drawn, labels: Mapping[str, str], title: str) -> Figure:
    """Draw what a plot of the config says.

    Parameters
    ----------
    table
        The results, with the columns of the plot; rows that lack one are left out.
    plot
        The plot.
    labels
        Texts for columns.
    title
        Heading of the figure.
    """
    columns = list(dict.fromkeys(plot.columns.values()))
    rows = table.dropna(subset=columns)
    with matplotlib.rc_context(STYLE):
        panels = list(_panels(rows, plot))[:MOST_PANELS] or [("", rows)]
        across = min(3, len(panels))
        down = -(-len(panels) // across)
        figure = Figure(figsize=(WIDTH, 3.6 * down + 0.6), layout="constrained")
        figure.suptitle(title)
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        paint = {"points": _points, "line": _lines, "heatmap": _heat}[plot.kind](rows, plot, labels)
        for axes, (name, part) in zip(grid.flat, panels, strict=False):
            axes.set_title(name)
            drawn = paint(axes, part)
            _scales(axes, plot, rows)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(labels.get(plot.y, plot.y))
        for axes in grid[-1]:
            axes.set_xlabel(labels.get(plot.x, plot.x))
        _key(figure, drawn, grid, labels.get(plot.colour or "", plot.colour or ""))
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _panels(rows: pd.DataFrame, plot: Drawn) -> Iterator[tuple[str, pd.DataFrame]]:
    if plot.facet is None:
        yield "", rows
        return
    for value, part in rows.groupby(plot.facet, sort=True):
        yield f"{plot.facet} = {_told(value)}", part


def _told(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _scales(axes: Axes, plot: Drawn, rows: pd.DataFrame) -> None:
    for key, setter in (("x", axes.set_xscale), ("y", axes.set_yscale)):
        if key in plot.log and _is_number(rows[plot.columns[key]]):
            setter("log")


def _is_number(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _place(column: "pd.Series[Any]") -> Any:
    """Numbers as they are; else texts, which become categories."""
    return column.astype(float) if _is_number(column) else column.astype(str)


def _levels(rows: pd.DataFrame, name: str | None) -> Sequence[Any]:
    """Return the values that get a colour each; none if the colour is a scale."""
    if name is None:
        return []
    values = sorted(rows[name].unique(), key=lambda value: (str(type(value)), value))
    return values if len(values) <= MOST_LINES or not _is_number(rows[name]) else []


def _norm(rows: pd.DataFrame, values: Any, plot: Drawn) -> Normalize:
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if len(rows) else (0.0, 1.0)
    return LogNorm(low, high) if "colour" in plot.log and low > 0 else Normalize(low, high)


def _points(rows: pd.DataFrame, plot: Drawn, labels: Mapping[str, str]) -> Paint:
    levels = _levels(rows, plot.colour)
    if plot.colour is None or levels:
        return _by_level(plot, levels, lambda axes, x, y, more: axes.scatter(x, y, s=12, **more))
    norm = _norm(rows, rows[plot.colour].astype(float), plot)

    def paint(axes: Axes, part: pd.DataFrame) -> Any:
        colours = part[str(plot.colour)].astype(float)
        return axes.scatter(_place(part[plot.x]), _place(part[plot.y]), s=12, c=colours, norm=norm)

    return paint


def _lines(rows: pd.DataFrame, plot: Drawn, labels: Mapping[str, str]) -> Paint:
    def line(axes: Axes, x: Any, y: Any, more: Mapping[str, Any]) -> None:
        groups = pd.DataFrame({"x": x, "y": y}).groupby("x")["y"]
        mean, spread = groups.mean(), groups.std(ddof=0)
        axes.plot(mean.index, mean, marker=".", **more)
        band = {"color": more["color"], "alpha": 0.2, "linewidth": 0}
        axes.fill_between(mean.index, mean - spread, mean + spread, **band)

    return _by_level(plot, _levels(rows, plot.colour), line)


def _by_level(plot: Drawn, levels: Sequence[Any], draw: Callable[..., Any]) -> Paint:
    def paint(axes: Axes, part: pd.DataFrame) -> Any:
        for number, level in enumerate(levels or [None]):
            rows = part if level is None else part[part[str(plot.colour)] == level]
            more = {"color": COLOURS[number % len(COLOURS)]}
            more |= {} if level is None else {"label": _told(level)}
            draw(axes, _place(rows[plot.x]), _place(rows[plot.y]), more)
        return axes if levels else None

    return paint


def _heat(rows: pd.DataFrame, plot: Drawn, labels: Mapping[str, str]) -> Paint:
    x, y = (_cells(rows[plot.columns[key]], key in plot.log) for key in ("x", "y"))
    whole = _means(rows, plot, x, y)
    norm = _norm(rows, whole, plot)

    def paint(axes: Axes, part: pd.DataFrame) -> Any:
        mesh = axes.pcolormesh(x[1], y[1], _means(part, plot, x, y), norm=norm)
        for names, axis in ((x[2], axes.xaxis), (y[2], axes.yaxis)):
            if names:
                axis.set_ticks(range(len(names)), names)
        return mesh

    return paint


Cells = tuple[Callable[["pd.Series[Any]"], Any], Any, list[str]]


def _cells(column: "pd.Series[Any]", log: bool) -> Cells:
    """Return which cell a value is in, the edges, and the names of categories."""
    if not _is_number(column):
        names = [str(value) for value in dict.fromkeys(column)]
        edges = np.arange(len(names) + 1) - 0.5
        return lambda values: [names.index(str(value)) for value in values], edges, names
    centres = np.unique(column.astype(float))
    log = log and bool(len(centres)) and centres[0] > 0
    even = np.log(centres) if log else centres  # as seen on paper
    if len(even) > 2 * BINS:
        even = np.linspace(even[0], even[-1], BINS)
    between = (even[1:] + even[:-1]) / 2
    half = (between[0] - even[0], even[-1] - between[-1]) if len(between) else (0.5, 0.5)
    edges = np.concatenate([even[:1] - half[0], between, even[-1:] + half[1]])
    edges = np.exp(edges) if log else edges
    return lambda values: np.searchsorted(edges[1:-1], values.astype(float)), edges, []


def _means(rows: pd.DataFrame, plot: Drawn, x: Cells, y: Cells) -> Any:
    values = rows[str(plot.colour)].astype(float).to_numpy()
    spots = (np.asarray(y[0](rows[plot.y]), int), np.asarray(x[0](rows[plot.x]), int))
    sums, counts = np.zeros((2, len(y[1]) - 1, len(x[1]) - 1))
    np.add.at(sums, spots, values)
    np.add.at(counts, spots, 1)
    with np.errstate(invalid="ignore"):
        return sums / counts


def _key(figure: Figure, drawn: Any, grid: Any, label: str) -> None:
    """Say what the colours mean: a legend, or a bar."""
    if isinstance(drawn, Axes):
        drawn.legend(title=label)
    elif drawn is not None:
        figure.colorbar(drawn, ax=list(grid.flat), label=label, pad=0.02)
