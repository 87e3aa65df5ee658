"""Plots of an entity's metrics from its results.csv."""

from pathlib import Path

from ensemake.member.plan import Work
from ensemake.results.collect import read_results
from ensemake.results.plots import Swept, draw, save


def draw_all(work: Work) -> list[Path]:
    """Draw every metric over the swept parameters, as SVG and PNG.

    Returns
    -------
    list of Path
        The files written.
    """
    folder = work.base / work.layout.directory
    table = read_results(work)
    (folder / "plots").mkdir(exist_ok=True)
    for path in (folder / "plots").glob("*.svg"):
        if path.stem not in work.settings.metrics and path.with_suffix(".png").exists():
            path.unlink()  # of a metric that is gone
            path.with_suffix(".png").unlink()
    written = []
    for metric in work.settings.metrics:
        figure = draw(table, swept(work), metric, f"{work.entity}: {metric}")
        for kind in ("svg", "png"):
            path = folder / "plots" / f"{metric}.{kind}"
            save(figure, path)
            written.append(path)
    return written


def swept(work: Work) -> list[Swept]:
    """Return the parameters that vary; of zipped ones the first."""
    varied = [axis for axis in work.swept if _varies(work, axis.names[0])]
    return [Swept(axis.names[0], axis.log) for axis in varied]


def _varies(work: Work, name: str) -> bool:
    return len({member.values[name] for member in work.planned}) > 1
