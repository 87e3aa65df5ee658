"""Plots of an entity's metrics and curves, from its tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ensemake.config.schema import Model
from ensemake.member.plan import Work
from ensemake.results.collect import read_results
from ensemake.results.curve_plots import draw_curves
from ensemake.results.plots import Swept, draw, save
from ensemake.results.series import read_series

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


def drawn(settings: Model, is_model: bool) -> list[str]:
    """Return the names of what is drawn: series, and metrics where parameters may vary."""
    metrics = settings.metrics if settings.params and not is_model else ()
    return [*metrics, *settings.series]


def draw_all(work: Work) -> list[Path]:
    """Draw every metric over the swept parameters, and every series, as SVG and PNG.

    Returns
    -------
    list of Path
        The files written.
    """
    folder = work.base / work.layout.directory
    names = drawn(work.settings, work.layout.is_model)
    (folder / "plots").mkdir(exist_ok=True)
    for path in (folder / "plots").glob("*.svg"):
        if path.stem not in names and path.with_suffix(".png").exists():
            path.unlink()  # of a metric that is gone
            path.with_suffix(".png").unlink()
    written = []
    for name, figure in _figures(work, names, read_results(work)):
        for kind in ("svg", "png"):
            path = folder / "plots" / f"{name}.{kind}"
            save(figure, path)
            written.append(path)
    return written


def _figures(work: Work, names: list[str], table: "DataFrame") -> Iterator[tuple[str, "Figure"]]:
    ended = table[table["status"] != "running"]  # what runs has not come to its values yet
    curves = read_series(work) if work.settings.series else None
    for name in names:
        title = f"{work.entity}: {name}"
        if name in work.settings.metrics:
            yield name, draw(ended, swept(work), name, title)
        elif curves is not None:
            own = curves[curves["series"] == name]
            index = str(work.settings.series[name].index or "index")
            yield name, draw_curves(own, table, swept(work), name, index, title)


def swept(work: Work) -> list[Swept]:
    """Return the parameters that vary; of zipped ones the first."""
    varied = [axis for axis in work.swept if _varies(work, axis.names[0])]
    return [Swept(axis.names[0], axis.log) for axis in varied]


def _varies(work: Work, name: str) -> bool:
    return len({member.values[name] for member in work.planned}) > 1
