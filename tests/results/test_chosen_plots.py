"""What the config chooses to draw, and which parameters matter."""

from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from ensemake.check.config import check_config
from ensemake.config.faults import ConfigError
from ensemake.config.plots import Drawn, picture_name
from ensemake.config.yamlfile import load_yaml
from ensemake.member.plan import Work
from ensemake.results.chosen_plots import draw_chosen
from ensemake.results.collect import write_results
from ensemake.results.effects import effects, read_effects
from ensemake.results.plot_files import draw_all

from ..show.test_preview import work
from .test_outcomes import ended

LABELS = {"T": "temperature [K]", "E": "energy [J]"}


@pytest.fixture
def table() -> pandas.DataFrame:
    grid = pandas.MultiIndex.from_product(
        [[300, 310, 320], [0.1, 1.0, 10.0], ["solid", "liquid"], [0, 1]],
        names=["T", "p", "phase", "replica"],
    )
    rows = grid.to_frame(index=False)
    rows["E"] = rows["T"] + rows["replica"] + 10 * (rows["phase"] == "liquid")
    rows.loc[0, "E"] = numpy.nan  # a member that failed
    return rows


def drawn(table: pandas.DataFrame, **keys: Any) -> Any:
    return draw_chosen(table, Drawn.model_validate(keys), LABELS, "title")


def test_lines_are_means_with_a_band(table: pandas.DataFrame) -> None:
    (axes,) = drawn(table, x="T", y="E", colour="phase", kind="line").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("temperature [K]", "energy [J]")
    liquid, solid = axes.lines
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["liquid", "solid"]
    assert list(liquid.get_ydata()) == [310.5, 320.5, 330.5]
    assert len(solid.get_ydata()) == 3
    assert len(axes.collections) == 2  # the bands


def test_a_heat_map_has_means_in_its_cells_and_panels(table: pandas.DataFrame) -> None:
    plot = {"x": "p", "y": "T", "colour": "E", "kind": "heatmap", "facet": "phase", "log": ["x"]}
    left, right, bar = drawn(table, **plot).axes
    assert (left.get_title(), right.get_title()) == ("phase = liquid", "phase = solid")
    assert left.get_xscale() == "log"
    (mesh,) = left.collections
    assert mesh.get_array().tolist() == [[310.5] * 3, [320.5] * 3, [330.5] * 3]
    assert bar.get_ylabel() == "energy [J]"


def test_points_of_categories_and_of_nothing(table: pandas.DataFrame) -> None:
    axes = drawn(table, x="phase", y="E", colour="T", log=["y"]).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["solid", "liquid"]
    assert drawn(table[:0], x="T", y="E", colour="p").axes


def test_names_of_files() -> None:
    plot = Drawn(x="T/2", y="E", colour="p", facet="phase", kind="heatmap")
    assert picture_name(plot) == "E-T_2-by-p-per-phase-heatmap"
    assert picture_name("lib/figures.py:phases") == "phases"


FIGURES = """
from matplotlib.figure import Figure
def good(table):
    figure = Figure()
    figure.add_subplot().plot(table["x"], table["y"])
    return figure
def bad(table):
    return table["nothing"]
def none(table):
    pass
"""


def test_functions_draw_and_may_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = swept(tmp_path, 3)
    (tmp_path / "figures.py").write_text(FIGURES)
    names = ["figures.py:good", "figures.py:bad", "figures.py:none", "gone.py:f"]
    settings = sweep.settings.model_copy(update={"plots": [*names, Drawn(x="x", y="y")]})
    paths = draw_all(Work(**{**vars(sweep), "settings": settings}))
    stems = ["good", "bad", "none", "f", "y-x"]
    assert [path.name for path in paths] == [
        f"{s}.{kind}" for s in stems for kind in ("svg", "png")
    ]
    told = capsys.readouterr().out
    assert "figures.py:bad raised KeyError" in told
    assert "figures.py:none returned NoneType" in told
    assert "gone.py:f: cannot read" in told


def swept(base: Path, count: int) -> Work:
    params = {"x": {"range": [0, count]}, "idle": [1, 2]}
    sweep = work(base, params=params, metrics={"y": {"file": "run.out", "regex": "(.+)"}})
    for member in sweep.planned:
        directory = ended(base, member)
        (directory / "run.out").write_text(f"{float(member.values['x']) ** 2}\n")
    write_results(sweep)
    return sweep


def test_parameters_are_ranked_where_the_sample_bears_it(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    few, many = swept(tmp_path / "few", 5), swept(tmp_path / "many", 40)
    for sweep in (few, many):
        draw_all(sweep)
    assert read_effects(few) == {}
    found = read_effects(many)["y"]
    (first, share, low, high), (second, idle, *_) = found["ranks"]
    assert (first, second) == ("x", "idle")
    assert low <= share <= high
    assert share > 0.8 > 0.05 > idle
    ended(many.base, many.planned[0], elapsed_s=9.0)
    write_results(many)
    assert read_effects(many) == {}  # of other results


def test_noise_has_no_ranking() -> None:
    pytest.importorskip("sklearn")
    generator = numpy.random.default_rng(0)
    table = pandas.DataFrame(generator.random((200, 3)), columns=["a", "b", "y"])
    assert effects(table, ["a", "b"], "y") is None


def test_faults_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
experiment: exp
ensembles:
  sweep:
    params: {kappa: [1, 2]}
    run_settings: {exe: echo}
    labels: {kapa: "conductivity"}
    plots:
      - {x: kappa, y: los}
      - {x: kappa, y: status, kind: heatmap}
      - {x: kappa, y: status, kind: heatmap}
      - nowhere.py:draw
"""
    Path("config.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        check_config(load_yaml(Path("config.yaml")))
    told = str(error.value)
    for part in (
        "config.yaml:7: ensembles.sweep.labels.kapa: 'kapa' is no parameter, metric or column; "
        "did you mean 'kappa'?",
        "config.yaml:9: ensembles.sweep.plots[0].y: 'los' is no",
        "plots[1]: a heat map shows a column by its colour",
        "plots[2]: is the same plot as one before it",
        "plots[3]: no such file: nowhere.py",
    ):
        assert part in told, part
