"""Pictures of a sweep: which one is drawn follows from how many parameters were swept.

One parameter gives a line with the spread of the replicas; two give a heat map if they fill a
grid, lines if one of them is a category, coloured points otherwise; more give parallel
coordinates above the main effect of each parameter. Nothing here starts a display: figures are
made without pyplot, so that drawing changes no global state.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from ensemake.sweep.tables import is_fortran, number_text

Floats = NDArray[np.float64]

STYLE: Any = {
    "font.size": 9,
    "axes.labelsize": 10,
    "axes.titlesize": 8,
    "figure.titlesize": 11,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
    "image.cmap": "viridis",
    "savefig.dpi": 200,
    "svg.hashsalt": "ensemake",  # otherwise each file gets new random element names
}

# Okabe and Ito's palette without its yellow, which is lost on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 3)), (0, (1, 3)))

BLUE, ORANGE, GREY = COLOURS[0], COLOURS[1], "0.45"
WIDTH = 6.3  # inches: the text width of an A4 page

MANY_VALUES = 200  # more distinct values than this are averaged in bins
MANY_POINTS = 2000  # more points than this become a bitmap inside the SVG
MOST_LINES = 1500  # parallel coordinates
MOST_PANELS = 12  # parameters in one figure
HUGE = 1e100
WIDE = 1000.0  # a metric with values this many times its smallest gets a log scale


@dataclass(frozen=True)
class Swept:
    """A parameter that varies: its column in the table, and whether its space is logarithmic."""

    name: str
    log: bool


def draw(table: pd.DataFrame, swept: Sequence[Swept], metric: str, title: str) -> Figure:
    """Draw one metric against all swept parameters.

    Parameters
    ----------
    table
        One row per finished member: a column per parameter, and the metric's. Members with equal
        parameters are replicas, and are averaged. Values that are no number up to 1e100 count as
        missing in the metric, and as categories in a parameter.
    swept
        The parameters that vary, in the order of the config; the first goes on the x axis.
    metric
        The column to show.
    title
        Heading of the figure.

    Returns
    -------
    Figure
        Hand it to `save`. Where nothing can be drawn it holds a note that says why.

    Raises
    ------
    KeyError
        If the table lacks one of the columns.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        figure.suptitle(textwrap.fill(shown_text(title, 200), 80))
        data = _Data.read(table, swept, metric)
        _shape(data)(figure, data)
        # Settle the layout once: it would move a little with every save.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure; the same figure always gives the same bytes.

    Parameters
    ----------
    figure
        What `draw` returned.
    path
        Ends in .svg or .png. Its folder must exist.

    Raises
    ------
    ValueError
        If the name ends in anything else.
    """
    path = Path(path)
    metadata = {".svg": {"Date": None}, ".png": {}}.get(path.suffix.lower())
    if metadata is None:
        raise ValueError(f"{path}: plots are written as .svg or .png")
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, metadata=metadata)


# ---------------------------------------------------------------- the table


@dataclass(frozen=True)
class Scale:
    """A parameter as an axis: where each row lies on it, and the names of its categories."""

    name: str
    at: Floats
    log: bool = False
    names: tuple[str, ...] | None = None

    @classmethod
    def read(cls, column: pd.Series[Any], swept: Swept) -> Scale:
        numbers = _numbers(column)
        if (np.abs(numbers) <= HUGE).all():
            return cls(swept.name, numbers, swept.log and bool((numbers > 0).all()))
        # Categories keep the order of the table, which is that of the config.
        keys = [(type(value).__name__, str(value)) for value in column]
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        at = np.array([places[key] for key in keys], float)
        return cls(swept.name, at, names=tuple(text for _, text in places))

    @property
    def even(self) -> Floats:
        """Where each row lies as seen on paper, on logarithmic axes too."""
        return np.log10(self.at) if self.log else self.at

    @property
    def values(self) -> Floats:
        return np.unique(self.at)

    def back(self, even: Floats) -> Floats:
        return np.power(10.0, even) if self.log else even

    def label(self, value: float) -> str:
        return shown_text(self.names[int(value)], 24) if self.names else f"{value:.4g}"

    def edges(self) -> Floats:
        """Where cells around the values begin and end, as seen on paper; one more than values."""
        middle = np.unique(self.even)
        if len(middle) == 1:
            # Any width will do for a single cell, but it must not vanish beside a large value.
            half = 0.5 if self.log else max(0.5, 0.1 * abs(middle[0]))
            return np.asarray(middle[0] + np.array([-half, half]))
        halves = np.diff(middle) / 2
        ends = middle[[0]] - halves[0], middle[:-1] + halves, middle[[-1]] + halves[-1]
        return np.concatenate(ends)

    def ticks(self, room: int) -> Floats | None:
        """Return the values to name on an axis with room for so many letters, if they are few."""
        values = self.values
        if self.names:
            return values[:: math.ceil(len(values) / 24)]
        if len(values) > 12 or sum(len(self.label(v)) + 1 for v in values) > room:
            return None
        even = np.unique(self.even)
        crowded = len(even) > 1 and np.diff(even).min() < 0.06 * np.ptp(even)
        return None if crowded else values

    def dress(self, axes: Axes, which: str, room: int = 60) -> None:
        """Name, scale and mark the axis `which`, x or y."""
        axis = getattr(axes, f"{which}axis")
        axis.set_label_text(shown_text(self.name, 60))
        if self.log:
            getattr(axes, f"set_{which}scale")("log")
        ticks = self.ticks(room)
        if ticks is None:
            return
        names = [self.label(value) for value in ticks]
        axis.set_ticks(ticks, labels=names)
        axis.set_minor_locator(NullLocator())
        if which == "x" and sum(map(len, names)) + len(names) > room:
            axes.tick_params("x", rotation=35)
            for text in axes.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")


@dataclass(frozen=True)
class _Data:
    """The table, ready to draw; `y` is the metric, nan where a member has none."""

    scales: tuple[Scale, ...]
    metric: str
    y: Floats

    @classmethod
    def read(cls, table: pd.DataFrame, swept: Sequence[Swept], metric: str) -> _Data:
        y = _numbers(table[metric])
        # Axes cannot span the whole range of floats; a loss of 1e300 is no result anyway.
        y = np.where(np.abs(y) > HUGE, np.nan, np.where(np.abs(y) < 1 / HUGE, 0.0 * y, y))
        scales = tuple(Scale.read(table[one.name], one) for one in swept)
        return cls(scales, metric, y)

    @property
    def log(self) -> bool:
        found = self.y[~np.isnan(self.y)]
        return bool(found.min() > 0 and found.max() / WIDE >= found.min())

    @property
    def norm(self) -> Normalize:
        low, high = float(np.nanmin(self.y)), float(np.nanmax(self.y))
        return LogNorm(low, high) if self.log else Normalize(low, high)

    def groups(self, *keys: Floats) -> pd.DataFrame:
        """Return mean, low, high (quartiles: q1, q3) and count of the metric for equal keys.

        On a logarithmic scale the mean is the geometric one, which lies amid the points.
        """
        columns = {f"k{n}": key for n, key in enumerate(keys)}
        y = np.log10(self.y) if self.log else self.y
        groups = pd.DataFrame({**columns, "y": y}).groupby(list(columns))["y"]
        found = {"mean": groups.mean(), "low": groups.min(), "high": groups.max()}
        found |= {"q1": groups.quantile(0.25), "q3": groups.quantile(0.75)}
        frame = pd.DataFrame({name: 10.0**one if self.log else one for name, one in found.items()})
        return frame.assign(count=groups.count())

    def caption(self, members: str = "") -> str:
        """Say what one mark stands for."""
        count = int((~np.isnan(self.y)).sum())
        text = members or f"{count:,} member{'s' * (count != 1)}"
        if count < self.y.size:
            text += f", {self.y.size - count:,} without a value"
        repeats = self.groups(*(scale.at for scale in self.scales))["count"]
        if repeats.max() < 2:
            return text
        least, most = max(1, int(repeats.min())), int(repeats.max())
        often = f"{most}" if least == most else f"{least} to {most}"
        return f"{text}, {self.average} of {often} replicas"

    @property
    def average(self) -> str:
        return "geometric mean" if self.log else "mean"


def _numbers(column: pd.Series[Any]) -> Floats:
    """Return a column as floats, nan for what is no number."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return np.asarray(column.to_numpy(dtype=float, na_value=np.nan), float)
    return np.array([_number(value) for value in column], float)


def _number(value: object) -> float:
    if isinstance(value, str) and is_fortran(value):
        return float(number_text(value))
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an integer beyond 1e308
            return math.nan
    return math.nan


def shown_text(value: object, most: int) -> str:
    """Return one line of text that Matplotlib shows as it is: a $ would start a formula."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return (line if len(line) <= most else line[: most - 1] + "…").replace("$", r"\$")


# ---------------------------------------------------------------- the shapes

Shape = Callable[[Figure, _Data], None]


def _shape(data: _Data) -> Shape:
    if not data.y.size or np.isnan(data.y).all() or not data.scales:
        return _note
    if len(data.scales) == 1:
        return _line
    return _pair(data) if len(data.scales) == 2 else _many


def _pair(data: _Data) -> Shape:
    """Choose for two parameters: cells need a grid of which more than half is there."""
    x, y = data.scales
    places = len(np.unique(np.column_stack([x.at, y.at]), axis=0))
    if 2 * places > len(x.values) * len(y.values):
        return _heat
    few = [scale for scale in (x, y) if scale.names and len(scale.names) <= len(COLOURS)]
    return _series if len(few) == 1 else _points


def _note(figure: Figure, data: _Data) -> None:
    """Say in words what cannot be drawn."""
    found = data.y[~np.isnan(data.y)]
    name = shown_text(data.metric, 40)
    if not data.y.size:
        text = "No member has finished yet."
    elif not found.size:
        text = f"None of {data.y.size:,} finished members has a number for {name}."
    else:
        text = f"No parameter is swept.\n\n{name} = {found.mean():.4g}"
        if found.size > 1:
            text += f"\nmean of {found.size:,} members, {found.min():.4g} to {found.max():.4g}"
    figure.set_size_inches(WIDTH, 2.2)
    figure.text(0.5, 0.45, text, ha="center", va="center", fontsize=11)


def _line(figure: Figure, data: _Data) -> None:
    """One parameter: mean against its value, with everything that was measured."""
    axes, (x,) = figure.subplots(), data.scales
    crowd = data.y.size > 300
    look: dict[str, Any] = {"color": GREY, "ls": "none", "marker": "o", "mew": 0}
    size, alpha = (2, 0.25) if crowd else (4, 0.7)
    many = data.y.size > MANY_POINTS
    axes.plot(x.at, data.y, ms=size, alpha=alpha, rasterized=many, **look)
    _mean(axes, x, data, ("low", "high"), "lowest to highest")
    _missing(axes, data.groups(x.at))
    x.dress(axes, "x")
    _measure(axes, data)
    if axes.get_legend_handles_labels()[0]:
        legend(figure, axes, Line2D([], [], ms=4, label="member", **look))


def _mean(axes: Axes, x: Scale, data: _Data, spread: tuple[str, str], meaning: str) -> None:
    """Draw the mean and a band; categories have no way between them, so bars instead."""
    groups, binned = _along(x, data, MANY_VALUES, 50)
    if binned:
        spread, meaning = ("q1", "q3"), "middle half of each bin"
    at, mean = groups.index.to_numpy(), groups["mean"].to_numpy()
    low, high = (groups[name].to_numpy() for name in spread)
    several = bool((groups["count"] > 1).any())
    if x.names:
        reach = np.abs([mean - low, high - mean]) if several else None
        label = f"{data.average}, {meaning}" if several else "_nolegend_"
        axes.errorbar(at, mean, reach, fmt="D", ms=5, capsize=4, color=BLUE, label=label)
        axes.set_xlim(-0.6, len(x.names) - 0.4)
        return
    if several:
        axes.fill_between(at, low, high, color=BLUE, alpha=0.2, lw=0, label=meaning)
    marker = "o" if len(at) <= 60 else ""
    label = data.average if several else "_nolegend_"  # it would only repeat the y axis
    axes.plot(at, mean, "-", marker=marker, ms=4, lw=1.5, color=BLUE, label=label)


def _along(x: Scale, data: _Data, most: int, bins: int) -> tuple[pd.DataFrame, bool]:
    """Group the metric by value, or by bin (equally wide on paper) if there are too many values."""
    binned = x.names is None and len(x.values) > most
    place = x.at
    if binned:
        low, width = x.even.min(), np.ptp(x.even) / bins
        place = x.back(low + width * (np.minimum((x.even - low) // width, bins - 1) + 0.5))
    return data.groups(place).query("count > 0"), binned


def _missing(axes: Axes, groups: pd.DataFrame) -> None:
    """Mark on the lower edge the values of which no member has a number."""
    lost = groups.index[groups["count"] == 0]
    if len(lost):
        kind: dict[str, Any] = {
            "marker": "x",
            "s": 30,
            "color": ORANGE,
            "clip_on": False,
            "zorder": 3,
        }
        label = f"no value ({len(lost):,})"
        axes.scatter(
            lost,
            np.full(len(lost), 0.02),
            transform=axes.get_xaxis_transform(),
            label=label,
            **kind,
        )


def _measure(axes: Axes, data: _Data) -> None:
    """Put the metric on the y axis."""
    axes.set_ylabel(shown_text(data.metric, 60))
    if data.log:
        axes.set_yscale("log")
    axes.grid(True, axis="y")
    axes.set_title(data.caption(), loc="right", color=GREY)


def legend(figure: Figure, axes: Axes, *more: Patch | Line2D, title: str | None = None) -> None:
    """Put the legend below the axes, where it can hide nothing."""
    handles = [*axes.get_legend_handles_labels()[0], *more]
    if handles:
        count = min(4, len(handles))
        figure.legend(handles=handles, title=title, loc="outside lower center", ncols=count)


def _heat(figure: Figure, data: _Data) -> None:
    """Two parameters on a grid: a cell for each pair, hatched where there is no result."""
    axes, (x, y) = figure.subplots(), data.scales
    mean = data.groups(y.at, x.at)["mean"].unstack()
    cells = np.ma.masked_invalid(mean.to_numpy())
    norm, rasterized = data.norm, cells.size > MANY_POINTS
    edges = x.back(x.edges()), y.back(y.edges())
    mesh = axes.pcolormesh(*edges, cells, norm=norm, rasterized=rasterized)
    x.dress(axes, "x")
    y.dress(axes, "y")
    figure.colorbar(mesh, ax=axes, label=shown_text(data.metric, 60), pad=0.02)
    axes.set_title(data.caption(), loc="right", color=GREY)
    _write_values(axes, data, cells, mesh)
    lost = int(cells.mask.sum())
    if lost:
        # The background shows through the holes: one hatch, however many cells are missing.
        look: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.5", "hatch": "/////"}
        axes.patch.set(**look)
        label = f"failed or missing ({lost:,} of {cells.size:,})"
        legend(figure, axes, Patch(**look, label=label))


def _write_values(axes: Axes, data: _Data, cells: Any, mesh: Any) -> None:
    """Write each cell's value into it, if all of them fit."""
    x, y = data.scales
    names = _short(cells.compressed(), data.log)
    wide, high = (np.diff(scale.edges()).min() / np.ptp(scale.edges()) for scale in (x, y))
    # 330 by 230 points: about what the axes measure beside the colour bar.
    size = min(8.0, 330 * wide / (0.68 * max(map(len, names))))
    if size < 5.0 or 230 * high < 1.3 * size:
        return
    colours = mesh.cmap(mesh.norm(cells))
    dark = colours[..., :3] @ [0.299, 0.587, 0.114] < 0.55
    for (row, column), name in zip(np.argwhere(~np.ma.getmaskarray(cells)), names, strict=True):
        ink = "white" if dark[row, column] else "black"
        place = x.values[column], y.values[row]
        axes.text(*place, name, ha="center", va="center", fontsize=size, color=ink)


def _short(values: Floats, log: bool) -> list[str]:
    """Return numbers with as many digits as it takes to tell a few percent of their range."""
    most, span = float(np.abs(values).max()), float(np.ptp(values))
    if log or most >= 1e5 or 0 < most < 1e-2:
        return [f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e") for value in values]
    digits = min(3, max(0, 1 - math.floor(math.log10(span / 3)))) if span > 1e-9 * most else 2
    return [f"{value:.{digits}f}" for value in values]


def _series(figure: Figure, data: _Data) -> None:
    """A number and a category, not on a grid: a line for every category."""
    axes = figure.subplots()
    x, kind = sorted(data.scales, key=lambda scale: scale.names is not None)
    groups = data.groups(kind.at, x.at)["mean"]
    for place, name in enumerate(kind.names or ()):
        one = groups.loc[float(place)].dropna()
        look: dict[str, Any] = {
            "color": COLOURS[place],
            "marker": MARKERS[place],
            "ls": DASHES[place],
        }
        axes.plot(one.index, one.to_numpy(), ms=5, lw=1.2, label=shown_text(name, 24), **look)
    _missing(axes, data.groups(x.at))
    x.dress(axes, "x")
    _measure(axes, data)
    legend(figure, axes, title=shown_text(kind.name, 40))


def _points(figure: Figure, data: _Data) -> None:
    """Two parameters drawn at random: a coloured point for each pair."""
    axes, (x, y) = figure.subplots(), data.scales
    mean = data.groups(x.at, y.at)["mean"].reset_index()
    there, lost = mean.dropna(), mean[mean["mean"].isna()]
    crowd = len(there) > MANY_POINTS
    look: dict[str, Any] = {"s": 6 if crowd else 40, "lw": 0 if crowd else 0.5, "rasterized": crowd}
    dots = axes.scatter(
        there["k0"], there["k1"], c=there["mean"], norm=data.norm, edgecolors="0.2", **look
    )
    if len(lost):
        label = f"no value ({len(lost):,})"
        axes.scatter(lost["k0"], lost["k1"], marker="x", color=ORANGE, label=label)
    if len(there) <= 25:
        names = _short(there["mean"].to_numpy(), data.log)
        # Few points can say their value; for many, viridis also orders them by lightness.
        for row, name in zip(there.itertuples(), names, strict=True):
            where: dict[str, Any] = {
                "xytext": (0, 6),
                "textcoords": "offset points",
                "ha": "center",
            }
            axes.annotate(name, (row.k0, row.k1), fontsize=7, **where)
    x.dress(axes, "x")
    y.dress(axes, "y")
    figure.colorbar(dots, ax=axes, label=shown_text(data.metric, 60), pad=0.02)
    axes.set_title(data.caption(), loc="right", color=GREY)
    legend(figure, axes)


def _many(figure: Figure, data: _Data) -> None:
    """Three parameters or more: every member as a line, and below it each parameter's effect."""
    data, left_out = _strongest(data)
    count = len(data.scales)
    rows = math.ceil(count / 4)
    columns = math.ceil(count / rows)
    figure.set_size_inches(WIDTH, 3.2 + 1.9 * rows)
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[2.9] + [1.9] * rows)
    top = figure.add_subplot(grid[0, :])
    _parallel(top, data, f"{left_out} weaker parameters left out, " if left_out else "")
    first: Axes | None = None
    for place, x in enumerate(data.scales):
        where = grid[1 + place // columns, place % columns]
        axes = figure.add_subplot(where, sharey=first)
        first = first or axes
        _effect(axes, x, data, left=place % columns == 0)
    assert first is not None
    legend(figure, first)


def _strongest(data: _Data) -> tuple[_Data, int]:
    """Keep the parameters that move the metric most, and say how many were left out."""
    left_out = len(data.scales) - MOST_PANELS
    if left_out <= 0:
        return data, 0
    moves = [_along(x, data, 20, 12)[0]["mean"].std() for x in data.scales]
    kept = sorted(np.argsort(np.nan_to_num(moves))[-MOST_PANELS:])
    return _Data(tuple(data.scales[place] for place in kept), data.metric, data.y), left_out


def _effect(axes: Axes, x: Scale, data: _Data, left: bool) -> None:
    """Draw the mean of the metric against one parameter, whatever the others are."""
    groups, _ = _along(x, data, 20, 12)
    at, mean = groups.index.to_numpy(), groups["mean"].to_numpy()
    q1, q3 = groups["q1"].to_numpy(), groups["q3"].to_numpy()
    line = "none" if x.names else "-"
    label = f"{data.average} over the others"
    axes.plot(at, mean, ls=line, marker="o", ms=4, color=BLUE, label=label)
    axes.vlines(at, q1, q3, color=BLUE, alpha=0.35, lw=3, label="middle half of the members")
    x.dress(axes, "x", room=20)
    axes.tick_params(labelsize=7)
    if x.names:
        axes.set_xlim(-0.5, len(x.names) - 0.5)
    if data.log:
        axes.set_yscale("log")
    axes.grid(True, axis="y")
    axes.tick_params(labelleft=left)
    if left:
        axes.set_ylabel(shown_text(data.metric, 30))


def _parallel(axes: Axes, data: _Data, note: str) -> None:
    """Draw a line per member through its parameters to its metric, which also gives the colour."""
    order = np.argsort(data.y, kind="stable")[: int((~np.isnan(data.y)).sum())]
    rows = order[_spread_out(len(order), MOST_LINES)]
    heights = np.column_stack([*(_height(x, data.y) for x in data.scales), data.norm(data.y)])[rows]
    places = np.broadcast_to(np.arange(heights.shape[1]), heights.shape)
    lines = LineCollection(
        list(np.dstack([places, heights])),
        array=data.y[rows],
        norm=data.norm,
        alpha=float(np.clip(60 / len(rows), 0.15, 0.9)),
        linewidths=1.5 if len(rows) <= 30 else 0.8,
        rasterized=len(rows) > 300,
    )
    axes.add_collection(lines)
    _rails(axes, data)
    every = f"{len(rows):,} of {len(order):,} members" if len(rows) < len(order) else ""
    axes.set_title(note + data.caption(every), loc="right", color=GREY)


def _spread_out(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many places, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _height(x: Scale, y: Floats) -> Floats:
    """Return where members cross a parameter's rail, from 0 to 1.

    Members that share a value would lie on each other: they are set apart a little, by rank.
    """
    flat = np.full(x.at.shape, 0.5) if np.ptp(x.even) == 0 else _unit(x.even, x.even)
    values = np.unique(flat)
    if len(values) > 20:
        return flat
    gap = np.diff(values).min() if len(values) > 1 else 0.1
    rank = np.argsort(np.argsort(y, kind="stable")) / max(1, len(y) - 1) - 0.5
    return np.asarray(flat + min(0.05, 0.5 * gap) * rank)


def _unit(values: Floats, within: Floats) -> Floats:
    return np.asarray((values - within.min()) / np.ptp(within))


def _rails(axes: Axes, data: _Data) -> None:
    """Draw the upright axes of the parallel coordinates; the last is the metric's colour bar."""
    for place, x in enumerate(data.scales):
        _rail(axes, place, *_marks(x, 5 if len(data.scales) < 8 else 2))
    end, steps = len(data.scales), np.linspace(0, 1, 257)
    colours = data.norm.inverse((steps[:-1] + steps[1:]) / 2)
    mesh = (np.array([end, end + 0.06]), steps, np.asarray(colours)[:, None])
    axes.pcolormesh(*mesh, norm=data.norm, rasterized=True)
    marks = np.linspace(0, 1, 5 if data.norm.vmin != data.norm.vmax else 1)
    _rail(axes, end, marks, [f"{value:.3g}" for value in data.norm.inverse(marks)], shift=0.06)
    axes.set(xlim=(-0.15, end + 0.5), ylim=(-0.06, 1.06), yticks=[])
    names = [*(x.name for x in data.scales), data.metric]
    axes.set_xticks(range(end + 1), labels=[shown_text(name, 24) for name in names])
    axes.tick_params("x", length=0)
    if sum(map(len, names)) > 60:
        axes.tick_params("x", rotation=25, labelsize=7)
    axes.spines[["left", "bottom"]].set_visible(False)


def _marks(x: Scale, most: int) -> tuple[Floats, list[str]]:
    """Return the heights on a rail that carry a number or a name, and those."""
    values = x.ticks(60)
    if values is not None and (x.names or len(values) <= most):
        even = np.unique(x.even) if x.names is None else values
        heights = _unit(even, x.even) if np.ptp(x.even) else np.full(len(even), 0.5)
        return heights, [x.label(value) for value in values]
    heights = np.linspace(0, 1, most)
    values = x.back(x.even.min() + heights * np.ptp(x.even))
    tiny = 0.0 if x.log else 1e-3 * np.ptp(x.even)
    return heights, [f"{0.0 if abs(value) < tiny else value:.3g}" for value in values]


def _rail(
    axes: Axes, place: float, heights: Floats, names: Sequence[str], shift: float = 0.0
) -> None:
    axes.axvline(place, color="0.25", lw=0.8, zorder=3)
    white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    for height, name in zip(heights, names, strict=True):
        spot = (place + shift, height)
        look: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(name, spot, fontsize=7, zorder=4, bbox=white, **look)
