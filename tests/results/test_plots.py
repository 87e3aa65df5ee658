"""What is in the figures: the shape for the sweep, its axes and marks, and the files."""

import itertools
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ensemake.results.plots import Swept, draw, save

A, B, C = Swept("a", False), Swept("b", False), Swept("c", False)


def grid(replicas: int = 1, **values: list[Any]) -> pd.DataFrame:
    rows = [
        {**dict(zip(values, point, strict=True)), "replica": replica, "y": float(place + replica)}
        for place, point in enumerate(itertools.product(*values.values()))
        for replica in range(replicas)
    ]
    return pd.DataFrame(rows)


def sample(count: int, *names: str) -> pd.DataFrame:
    points = np.random.default_rng(0).uniform(0.01, 1.0, (count, len(names)))
    return pd.DataFrame({**dict(zip(names, points.T, strict=True)), "y": points.sum(axis=1)})


def of_kind(axes: Axes, kind: type) -> list[Any]:
    return [child for child in axes.get_children() if isinstance(child, kind)]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def names(axes: Axes) -> tuple[str, str]:
    return axes.get_xlabel(), axes.get_ylabel()


def shape(figure: Figure) -> str:
    if not figure.axes:
        return "note"
    first = figure.axes[0]
    if of_kind(first, LineCollection) and of_kind(first, QuadMesh):
        return "parallel"
    if of_kind(first, QuadMesh):
        return "heat"
    return "points" if len(figure.axes) == 2 else "lines"


# ---------------------------------------------------------------- one parameter


def test_one_parameter_is_a_line_through_the_means() -> None:
    figure = draw(grid(3, a=[1, 2, 4]), [A], "y", "title")
    (axes,) = figure.axes
    assert names(axes) == ("a", "y")
    members, mean = axes.lines
    assert len(members.get_xdata()) == 9
    np.testing.assert_allclose(mean.get_xydata(), [[1, 1], [2, 2], [4, 3]])
    assert set(legend(figure)) == {"mean", "lowest to highest", "member"}
    assert axes.get_title(loc="right") == "9 members, mean of 3 replicas"
    assert figure.get_suptitle() == "title"


def test_without_replicas_the_line_needs_no_legend() -> None:
    assert legend(draw(grid(a=[1, 2, 4]), [A], "y", "t")) == []


def test_logarithmic_spaces_give_logarithmic_axes() -> None:
    table = grid(a=[0.001, 0.1, 10])
    assert draw(table, [Swept("a", True)], "y", "t").axes[0].get_xscale() == "log"
    assert draw(table, [A], "y", "t").axes[0].get_xscale() == "linear"


def test_a_logarithmic_axis_is_not_tried_with_zero() -> None:
    axes = draw(grid(a=[0.0, 0.1, 10]), [Swept("a", True)], "y", "t").axes[0]
    assert axes.get_xscale() == "linear"


def test_a_metric_over_many_decades_is_logarithmic_with_geometric_means() -> None:
    table = pd.DataFrame({"a": [1, 1, 2], "y": [1e-4, 1e-2, 1.0]})
    axes = draw(table, [A], "y", "t").axes[0]
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [1e-3, 1.0])
    assert "geometric mean" in axes.get_title(loc="right")


def test_categories_are_named_in_the_tables_order_and_not_joined() -> None:
    axes = draw(grid(2, a=["sgd", "adam", "lbfgs"]), [A], "y", "t").axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["sgd", "adam", "lbfgs"]
    assert all(line.get_linestyle() == "None" for line in axes.lines)


def test_values_of_mixed_types_stay_apart() -> None:
    axes = draw(grid(a=[1, "1", True, None, 2.5, (3,)]), [A], "y", "t").axes[0]
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert len(labels) == 6
    assert labels[:3] == ["1", "1", "True"]


def test_values_without_a_result_are_marked() -> None:
    table = grid(2, a=[1, 2, 3])
    table.loc[table.a == 2, "y"] = np.nan
    figure = draw(table, [A], "y", "t")
    assert "no value (1)" in legend(figure)
    assert "2 without a value" in figure.axes[0].get_title(loc="right")


def test_ten_thousand_values_are_averaged_in_bins() -> None:
    figure = draw(sample(10_000, "a"), [A], "y", "t")
    members, mean = figure.axes[0].lines
    assert members.get_rasterized()
    assert len(mean.get_xdata()) == 50
    assert "middle half of each bin" in legend(figure)


# ---------------------------------------------------------------- two parameters


def test_a_grid_is_a_heat_map_with_true_edges() -> None:
    figure = draw(grid(2, a=[1, 2, 4], b=[10, 20]), [A, B], "y", "t")
    axes, bar = figure.axes
    assert names(axes) == ("a", "b")
    assert bar.get_ylabel() == "y"
    (mesh,) = of_kind(axes, QuadMesh)
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [0.5, 1.5, 3, 5])
    np.testing.assert_allclose(corners[:, 0, 1], [5, 15, 25])
    np.testing.assert_allclose(mesh.get_array(), [[0.5, 2.5, 4.5], [1.5, 3.5, 5.5]])
    assert [text.get_text() for text in axes.texts] == ["0.5", "2.5", "4.5", "1.5", "3.5", "5.5"]


def test_cells_of_logarithmic_spaces_are_even_on_logarithmic_axes() -> None:
    table = grid(a=[0.01, 0.1, 1], b=["x", "y"])
    axes = draw(table, [Swept("a", True), B], "y", "t").axes[0]
    edges = of_kind(axes, QuadMesh)[0].get_coordinates()[0, :, 0]
    np.testing.assert_allclose(np.log10(edges), [-2.5, -1.5, -0.5, 0.5])
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x", "y"]


@pytest.mark.parametrize("lose", ["row", "value"])
def test_cells_without_a_result_are_hatched_and_in_the_legend(lose: str) -> None:
    table = grid(a=[1, 2, 3], b=[1, 2, 3])
    table = table.drop(index=4) if lose == "row" else table.assign(y=table.y.mask(table.index == 4))
    figure = draw(table, [A, B], "y", "t")
    axes = figure.axes[0]
    assert np.argwhere(np.ma.getmaskarray(of_kind(axes, QuadMesh)[0].get_array())).tolist() == [
        [1, 1]
    ]
    assert axes.patch.get_hatch()
    assert legend(figure) == ["failed or missing (1 of 9)"]
    assert len(axes.texts) == 8


def test_a_full_grid_has_no_hatch() -> None:
    figure = draw(grid(a=[1, 2], b=[1, 2]), [A, B], "y", "t")
    assert not figure.axes[0].patch.get_hatch()
    assert legend(figure) == []


def test_large_grids_carry_no_numbers_and_become_a_bitmap() -> None:
    axes = draw(grid(a=list(range(100)), b=list(range(100))), [A, B], "y", "t").axes[0]
    assert not axes.texts
    assert of_kind(axes, QuadMesh)[0].get_rasterized()


def test_a_sample_is_points_with_their_values_if_few() -> None:
    axes, bar = draw(sample(12, "a", "b"), [A, Swept("b", True)], "y", "t").axes
    (points,) = of_kind(axes, PathCollection)
    assert len(points.get_offsets()) == len(axes.texts) == 12
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert bar.get_ylabel() == "y"
    assert not draw(sample(100, "a", "b"), [A, B], "y", "t").axes[0].texts


@pytest.mark.parametrize("order", [["a", "kind"], ["kind", "a"]])
def test_a_sample_of_a_number_and_a_category_is_a_line_per_category(order: list[str]) -> None:
    table = sample(12, "a").assign(kind=["sgd", "momentum", "adam"] * 4)
    figure = draw(table, [Swept(name, False) for name in order], "y", "t")
    (axes,) = figure.axes
    assert names(axes) == ("a", "y")
    looks = {(line.get_marker(), line.get_linestyle(), line.get_color()) for line in axes.lines}
    assert len(looks) == 3
    assert all(len(set(column)) == 3 for column in zip(*looks, strict=True))
    assert legend(figure) == ["sgd", "momentum", "adam"]


# ---------------------------------------------------------------- more


def test_three_parameters_are_rails_and_main_effects() -> None:
    figure = draw(grid(a=[1, 2], b=["x", "y"], c=[0.1, 1, 10]), [A, B, Swept("c", True)], "y", "t")
    top, *effects = figure.axes
    assert [text.get_text() for text in top.get_xticklabels()] == ["a", "b", "c", "y"]
    assert len(of_kind(top, LineCollection)[0].get_segments()) == 12
    assert [axes.get_xlabel() for axes in effects] == ["a", "b", "c"]
    assert effects[0].get_ylabel() == "y"
    assert [axes.get_xscale() for axes in effects] == ["linear", "linear", "log"]
    np.testing.assert_allclose(effects[0].lines[0].get_xydata(), [[1, 2.5], [2, 8.5]])
    assert effects[0].get_ylim() == effects[2].get_ylim()
    assert legend(figure) == ["mean over the others", "middle half of the members"]


def test_many_members_are_thinned_and_the_figure_says_so() -> None:
    top = draw(sample(10_000, "a", "b", "c"), [A, B, C], "y", "t").axes[0]
    assert len(of_kind(top, LineCollection)[0].get_segments()) == 1500
    assert top.get_title(loc="right") == "1,500 of 10,000 members"


def test_of_many_parameters_the_strongest_stay() -> None:
    columns = [f"p{n}" for n in range(20)]
    table = sample(400, *columns).assign(y=lambda t: t.p3 + t.p17)
    top, *effects = draw(table, [Swept(name, False) for name in columns], "y", "t").axes
    kept = [axes.get_xlabel() for axes in effects]
    assert len(kept) == 12
    assert {"p3", "p17"} <= set(kept)
    assert "8 weaker parameters left out" in top.get_title(loc="right")


# ---------------------------------------------------------------- nothing to draw


def test_a_note_says_why_there_is_no_plot() -> None:
    table = grid(3, a=[1])
    none = draw(table, [], "y", "t")
    assert shape(none) == "note"
    assert "No parameter is swept" in words(none)
    assert "mean of 3 members, 0 to 2" in words(none)
    assert "None of 3 finished" in words(draw(table.assign(y=np.nan), [A], "y", "t"))
    assert "None of 3 finished" in words(draw(table.assign(y=["x", "", None]), [A], "y", "t"))
    assert "No member has finished" in words(draw(table.iloc[:0], [A], "y", "t"))


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="speed"):
        draw(grid(a=[1]), [A], "speed", "t")


# ---------------------------------------------------------------- files

TABLES = {
    "line": (grid(3, a=[1, 2, 4]), [A]),
    "categories": (grid(3, a=["x", 1]), [A]),
    "heat": (grid(a=[1, 2, 3], b=[1, 2, 3]).drop(index=4), [A, B]),
    "points": (sample(10, "a", "b"), [A, B]),
    "series": (sample(8, "a").assign(b=list("xyxyxyxy")), [A, B]),
    "parallel": (grid(a=[1, 2], b=["x", "y"], c=[1, 2]), [A, B, C]),
    "note": (grid(a=[1]), []),
}


@pytest.mark.parametrize("name", TABLES)
def test_files_are_valid_and_the_same_every_time(name: str, tmp_path: Path) -> None:
    table, swept = TABLES[name]
    figure = draw(table, swept, "y", "t")
    for suffix in ("svg", "png"):
        for other in ("first", "second"):
            save(figure, tmp_path / f"{other}.{suffix}")
        save(draw(table, swept, "y", "t"), str(tmp_path / f"anew.{suffix}"))
        found = {path.read_bytes() for path in tmp_path.glob(f"*.{suffix}")}
        assert len(found) == 1
    assert (tmp_path / "first.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ElementTree.parse(tmp_path / "first.svg").getroot().tag.endswith("svg")
    assert b"dc:date" not in (tmp_path / "first.svg").read_bytes()


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        save(draw(grid(a=[1]), [A], "y", "t"), tmp_path / "plot.txt")


def test_names_with_signs_of_formulas_are_shown_as_they_are(tmp_path: Path) -> None:
    name = r"$x_{$ \frac & <b> %"
    table = pd.DataFrame({name: ["$", "$a$", "\\"], "$y^$": [1.0, 2.0, 3.0]})
    figure = draw(table, [Swept(name, False)], "$y^$", "one $ two $ {")
    save(figure, tmp_path / "plot.svg")
    assert ElementTree.parse(tmp_path / "plot.svg")


# ---------------------------------------------------------------- speed, and everything else


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_ten_thousand_members_are_drawn(count: int, tmp_path: Path) -> None:
    columns = [f"p{n}" for n in range(count)]
    figure = draw(sample(10_000, *columns), [Swept(name, False) for name in columns], "y", "t")
    save(figure, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").stat().st_size < 3_000_000


NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e30, 1e30), st.floats(1e-30, 1e30))
ANYTHING = st.one_of(NUMBERS, st.booleans(), st.none(), st.text(max_size=8), st.just(float("inf")))
EXTREMES = st.sampled_from([float("nan"), 1e300, -1e300, 1e-300, 0.0])
METRICS = st.one_of(NUMBERS, EXTREMES)


@st.composite
def tables(draw_from: st.DrawFn) -> tuple[pd.DataFrame, list[Swept]]:
    count = draw_from(st.integers(0, 3))
    rows = draw_from(st.integers(0, 8))
    columns: dict[str, Any] = {}
    for place in range(count):
        values = draw_from(st.sampled_from([NUMBERS, ANYTHING, st.sampled_from([1, 2, "x"])]))
        columns[f"p{place}"] = draw_from(st.lists(values, min_size=rows, max_size=rows))
    columns["y"] = draw_from(st.lists(METRICS, min_size=rows, max_size=rows))
    swept = [Swept(f"p{place}", draw_from(st.booleans())) for place in range(count)]
    return pd.DataFrame(columns), swept


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=tables())
def test_no_table_is_too_strange(case: tuple[pd.DataFrame, list[Swept]], tmp_path: Path) -> None:
    table, swept = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        figure = draw(table, swept, "y", "t")
        save(figure, tmp_path / "plot.png")
    drawn = bool(swept) and bool((table.y.abs() <= 1e100).any())
    assert (shape(figure) == "note") is not drawn


def test_a_metric_over_decades_colours_by_its_logarithm() -> None:
    table = grid(a=[1, 2], b=[1, 2]).assign(y=[1e-5, 1e-3, 0.1, 1.0])
    (mesh,) = of_kind(draw(table, [A, B], "y", "t").axes[0], QuadMesh)
    assert isinstance(mesh.norm, LogNorm)
