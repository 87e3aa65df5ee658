"""Results read from an experiment's folder alone, wherever it lies: `ensemake.open`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemake.atomic import read_end
from ensemake.config.faults import did_you_mean
from ensemake.config.scalars import Scalar
from ensemake.errors import WrongValueError
from ensemake.member.layout import OWN, config_copy
from ensemake.member.plan import Planned, Work, last_run
from ensemake.results.collect import (
    TEXTS,
    read_results,
    results_frame,
    results_state,
    results_table,
    typed_cell,
)
from ensemake.results.find import find
from ensemake.results.outcomes import outcomes, read_collected, varying
from ensemake.results.series import read_series, series_path

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import DataArray

    from ensemake.show.plot import Plot

LOG_BYTES = 100_000
SPARSE = 100  # cells of a grid for each member, beyond which it is none


def open_results(folder: str | Path) -> "Results":
    """Open the results of an experiment.

    Parameters
    ----------
    folder
        The experiment's folder, such as ``results/demo``: moved, copied, half finished. Neither
        the config nor Snakemake is needed. Nothing is written.

    Raises
    ------
    WrongValueError
        If there are no results in it.

    Examples
    --------
    >>> ensemake.open("results/demo").table("kuramoto")
    """
    path = Path(folder)
    if config_copy(path).exists():
        return Results(path, {work.entity: work for work in last_run(path)[1]})
    tables = sorted({table.parent.name for table in path.glob("*/[mr]e*s.csv")})
    if tables:
        return Results(path, dict.fromkeys(tables))
    near = [one for one in path.absolute().parents if config_copy(one).exists()]
    hint = f"; open {near[0]}" if near else "; it is the folder of an experiment, below `results`"
    raise WrongValueError(f"{path}: no results are here{hint}")


@dataclass(frozen=True)
class Results:
    """An experiment's results; made by `ensemake.open`."""

    folder: Path
    works: Mapping[str, Work | None]  # None: only the tables are there

    @property
    def entities(self) -> list[str]:
        """Names of the models and ensembles."""
        return list(self.works)

    def table(self, entity: str) -> "DataFrame":
        """Return one row for each member: parameters, what became of it, metrics.

        Members that have ended since the table was last written are looked up.

        Returns
        -------
        pandas.DataFrame
            With the columns and types of results.csv; parameters typed as in the config.
        """
        work = self._work(entity)
        if work is None:
            return self._bare(entity)
        found = outcomes(work)
        state = results_state(work, ((one.state, one.status) for one in found))
        is_current = read_collected(work).get("state") == state
        path = self.folder / entity / "results.csv"
        return read_results(work) if is_current and path.exists() else results_frame(work)

    def where(self, entity: str, expression: str) -> "DataFrame":
        """Return the rows for which a Jinja2 expression holds, as ``ensemake find`` takes it.

        Examples
        --------
        >>> results.where("kuramoto", "r > 0.5 and spread > 1")
        """
        work, table = self._planned(entity), self.table(entity)
        try:
            found = set(find(work, expression))
        except ValueError as error:
            raise WrongValueError(f"{entity}: {error}") from None
        names = {member.name for member in work.planned if member.directory in found}
        return table[table["member"].isin(names)]

    def grid(self, entity: str, metric: str) -> "DataArray":
        """Return a metric over the parameters that vary.

        Returns
        -------
        xarray.DataArray
            A dimension for each parameter, and one for replicas; of parameters that vary together
            the first is the dimension, the others lie along it. NaN where no member is.

        Raises
        ------
        WrongValueError
            If it is no metric, or the members are points drawn at random rather than a grid.
        ImportError
            Without xarray: ``pip install ensemake[grid]``.
        """
        from ensemake.results.grid import grid

        try:
            return grid(self._planned(entity), self.table(entity), metric)
        except ValueError as error:
            raise WrongValueError(f"{entity}: {error}") from None

    def series(self, entity: str, name: str | None = None) -> "DataFrame":
        """Return curves, one row a point: the parameters that vary, member, series, index, value.

        Parameters
        ----------
        entity
            A model or an ensemble.
        name
            Of one series; by default of all.

        Raises
        ------
        WrongValueError
            If there is no such series.
        """
        work = self._planned(entity)
        path = series_path(work.base / work.layout.directory)
        if not path.exists():
            raise WrongValueError(f"{entity} has no curves: {path} is not there")
        points = read_series(work)
        names = list(points["series"].unique())
        if name is not None and name not in names:
            raise WrongValueError(f"{entity} has no series {name!r}{did_you_mean(name, names)}")
        chosen = points if name is None else points[points["series"] == name]
        params = varying(work.planned)
        return self.table(entity)[["member", *params]].merge(chosen, on="member")

    def member(self, entity: str, name: str | None = None, /, **values: Scalar) -> "OpenedMember":
        """Return one member, by its name or by values that only it has.

        Examples
        --------
        >>> results.member("kuramoto", coupling=6.0, spread=0.25, replica=0).log
        """
        work = self._planned(entity)
        found = [one for one in work.planned if name in (None, one.name)]
        found = [one for one in found if values.items() <= one.values.items()]
        if len(found) == 1:
            return OpenedMember(work, found[0])
        wanted = name or ", ".join(f"{key}={value!r}" for key, value in values.items()) or "all"
        raise WrongValueError(f"{entity}: {len(found)} members are {wanted}, not one")

    def plot_parallel(self, entity: str, **choice: str) -> "Plot":
        """Return parallel coordinates of an ensemble, drawn as on the page.

        Parameters
        ----------
        entity
            An ensemble.
        choice
            What the page's address keeps, such as ``colour="loss"``.

        Returns
        -------
        Plot
            A notebook shows it; ``.save("plot.html")`` writes it as a page of its own.
        """
        return self._plot(entity, "parallel", choice)

    def plot_heatmap(
        self, entity: str, x: str | None = None, y: str | None = None, colour: str | None = None
    ) -> "Plot":
        """Return a map of a metric over two parameters, drawn as on the page.

        Parameters
        ----------
        entity
            An ensemble.
        x, y, colour
            Columns of its table; by default two parameters and a metric.

        Returns
        -------
        Plot
            A notebook shows it; ``.save("plot.html")`` writes it as a page of its own.
        """
        given = {"x": x, "y": y, "colour": colour}
        choice = {key: value for key, value in given.items() if value is not None}
        return self._plot(entity, "chart", {"kind": "map", **choice})

    def _plot(self, entity: str, part: str, choice: Mapping[str, str]) -> "Plot":
        from ensemake.show.plot import Plot

        columns = [str(name) for name in self.table(self._planned(entity).entity)]
        for name in (choice[key] for key in ("x", "y", "colour") if key in choice):
            if name not in columns:
                raise WrongValueError(
                    f"{entity} has no column {name!r}{did_you_mean(name, columns)}"
                )
        return Plot(self.folder, entity, part, dict(choice))

    def _work(self, entity: str) -> Work | None:
        if entity not in self.works:
            hint = did_you_mean(entity, self.works) or f"; there are {', '.join(self.works)}"
            raise WrongValueError(f"{self.folder} has no {entity!r}{hint}")
        return self.works[entity]

    def _planned(self, entity: str) -> Work:
        work = self._work(entity)
        if work is None:
            raise WrongValueError(f"{entity}: only tables are here, {self.folder}/.ensemake is not")
        return work

    def _bare(self, entity: str) -> "DataFrame":
        import pandas

        paths = [self.folder / entity / f"{name}.csv" for name in ("results", "members")]
        path = next(path for path in paths if path.exists())
        return pandas.read_csv(path, dtype=dict.fromkeys(TEXTS, str))

    def _counts(self) -> dict[str, Mapping[str, int]]:
        tables = {name: self.table(name) for name in self.works}
        return {
            name: dict(table["status"].value_counts()) if "status" in table else {}
            for name, table in tables.items()
        }

    def __repr__(self) -> str:
        lines = [f"  {name}: {_told(counts)}" for name, counts in self._counts().items()]
        return "\n".join([f"Results of {self.folder.name}, in {self.folder}", *lines])

    def _repr_html_(self) -> str:
        from ensemake.python.notebook import html_table

        rows = [[name, _told(counts)] for name, counts in self._counts().items()]
        return html_table(str(self.folder), ["", "members"], rows)


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "members not run"


@dataclass(frozen=True)
class OpenedMember:
    """One member of an opened experiment."""

    work: Work
    planned: Planned

    @property
    def name(self) -> str:
        """Its name."""
        return self.planned.name

    @property
    def values(self) -> dict[str, Scalar]:
        """Its parameters, and its replica."""
        return dict(self.planned.values)

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self.work.base / self.planned.directory

    @property
    def files(self) -> list[Path]:
        """What its program left there; not what is ensemake's own."""
        paths = sorted(path for path in self.directory.rglob("*") if path.is_file())
        own = {self.directory / name for name in OWN}
        return [path for path in paths if own.isdisjoint((path, *path.parents))]

    @property
    def log(self) -> str:
        """The end of what it printed."""
        return self._end("run.out")

    @property
    def errors(self) -> str:
        """The end of what it printed as errors."""
        return self._end("run.err")

    @cached_property
    def row(self) -> dict[str, Any]:
        """What the table says of it."""
        _, (row,), _ = results_table(replace(self.work, planned=[self.planned]))
        metrics = {name: typed_cell(row.get(name)) for name in self.work.settings.metrics}
        return {name: value for name, value in row.items() if name != "index"} | metrics

    def _end(self, name: str) -> str:
        path = self.directory / name
        return read_end(path, LOG_BYTES)[0].decode(errors="replace") if path.exists() else ""

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self.values.items())
        return f"<{self.work.entity}/{self.name}: {self.row['status']}, {values}>"
