"""Plots of an entity: of each metric or as the config chooses, and of its curves."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

from ensemake.config.plots import Drawn, picture_name
from ensemake.member.plan import Work
from ensemake.results.chosen_plots import draw_chosen
from ensemake.results.collect import read_results
from ensemake.results.curve_plots import draw_curves
from ensemake.results.effects import write_effects
from ensemake.results.plots import STYLE, WIDTH, Swept, draw, save
from ensemake.results.series import read_series
from ensemake.sweep.strategies import load_function

if TYPE_CHECKING:
    from pandas import DataFrame


def draw_all(work: Work) -> list[Path]:
    """Draw what the config chooses, or every metric over the swept parameters, and every series.

    Each as SVG and PNG.

    Returns
    -------
    list of Path
        The files written.
    """
    folder = work.base / work.layout.directory / "plots"
    table = read_results(work)
    names = work.settings.drawn
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.svg"):
        if path.stem not in names and path.with_suffix(".png").exists():
            path.unlink()  # of a metric that is gone
            path.with_suffix(".png").unlink()
    written = []
    for name, figure in _figures(work, names, table):
        for kind in ("svg", "png"):
            save(figure, folder / f"{name}.{kind}")
            written.append(folder / f"{name}.{kind}")
    write_effects(work, table)
    return written


def _figures(work: Work, names: list[str], table: "DataFrame") -> Iterator[tuple[str, Figure]]:
    ended = table[table["status"] != "running"]  # what runs has not come to its values yet
    own = {picture_name(plot): plot for plot in work.settings.plots or ()}
    for name in names:
        if name in own:
            yield name, _chosen(work, ended, own[name])
        elif name in work.settings.pictures:
            yield name, _of_metric(work, ended, name)
    yield from _curves(work, table) if work.settings.series else ()


def _curves(work: Work, table: "DataFrame") -> Iterator[tuple[str, Figure]]:
    curves = read_series(work)
    for name, settings in work.settings.series.items():
        own, index = curves[curves["series"] == name], str(settings.index or "index")
        yield name, draw_curves(own, table, swept(work), name, index, f"{work.entity}: {name}")


def _chosen(work: Work, table: "DataFrame", plot: Drawn | str) -> Figure:
    if isinstance(plot, str):
        return _own(work, table, plot)
    labels = work.settings.labels
    return draw_chosen(table, plot, labels, f"{work.entity}: {_shown(plot, labels)}")


def _shown(plot: Drawn, labels: Mapping[str, str]) -> str:
    name = str(plot.colour) if plot.kind == "heatmap" else plot.y
    return labels.get(name, name)


def _of_metric(work: Work, table: "DataFrame", metric: str) -> Figure:
    """Draw a metric; axes are named after the columns, so columns are called by their labels."""
    names = {str(name): work.settings.labels.get(str(name), str(name)) for name in table}
    if len(set(names.values())) < len(names):
        names = {name: name for name in names}  # two of one label
    axes = [Swept(names[axis.name], axis.log) for axis in swept(work)]
    title = f"{work.entity}: {names[metric]}"
    return draw(table.rename(columns=names), axes, names[metric], title)


def _own(work: Work, table: "DataFrame", plot: str) -> Figure:
    """Call a function of the user's; in the place of what it cannot draw stands why."""
    try:
        function: Callable[..., Any] = load_function(plot, work.base)
    except ValueError as error:
        return _note(str(error))
    try:
        with matplotlib.rc_context(STYLE):
            figure = function(table.copy())
    except Exception as error:
        return _note(f"{plot} raised {type(error).__name__}: {error}")
    if not isinstance(figure, Figure):
        return _note(f"{plot} returned {type(figure).__name__}, not a matplotlib Figure")
    return figure


def _note(text: str) -> Figure:
    print(text)
    figure = Figure(figsize=(WIDTH, 2), layout="constrained")
    figure.text(0.5, 0.5, text.replace("$", r"\$"), ha="center", va="center", wrap=True)
    return figure


def swept(work: Work) -> list[Swept]:
    """Return the parameters that vary; of zipped ones the first."""
    varied = [axis for axis in work.swept if _varies(work, axis.names[0])]
    return [Swept(axis.names[0], axis.log) for axis in varied]


def _varies(work: Work, name: str) -> bool:
    return len({member.values[name] for member in work.planned}) > 1
