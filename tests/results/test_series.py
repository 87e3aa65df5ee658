"""The table of all curves, read on from look to look, and its pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.plan import Work
from ensemake.member.state import State, StatusFile
from ensemake.metrics.curves import CurveReader
from ensemake.results import series
from ensemake.results.curve_plots import draw_curves
from ensemake.results.outcomes import Outcome
from ensemake.results.plots import Swept
from ensemake.results.series import read_series, write_series


@pytest.fixture
def work(tmp_path: Path) -> Work:
    entity = {
        "run_settings": {"exe": "true"},
        "params": {"x": [1, 2, 3]},
        "series": {"loss": {"file": "log.csv", "column": "loss"}},
    }
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": entity}})
    made = expand_work(config, "sweep", tmp_path)
    for number, member in enumerate(made.planned):
        (tmp_path / member.directory).mkdir(parents=True)
        rows = "".join(f"{number + row / 4}\n" for row in range(4))
        (tmp_path / member.directory / "log.csv").write_text(f"loss\n{rows}")
    return made


def found(work: Work, *states: State) -> list[Outcome]:
    status = {"completed": StatusFile("completed", 0, "", started="now")}
    return [
        Outcome(member, state, status.get(state))
        for member, state in zip(work.planned, states, strict=True)
    ]


@pytest.mark.parametrize("has_parquet", [True, False])
def test_a_table_of_members_that_have_something_to_say(
    work: Work, has_parquet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "find_spec", lambda name: has_parquet or None)
    (work.base / work.planned[0].directory / "log.csv").write_text("loss\n0.5\nnan\ninf\noops\n")
    faults = write_series(work, found(work, "completed", "running", "failed"))
    names = [member.name for member in work.planned]
    assert faults == {names[0]: ["series loss: log.csv: point 3: 'oops' is no number"]}
    table = read_series(work)
    assert list(table) == ["member", "series", "index", "value"]
    assert table["member"].tolist() == [names[0]] * 4 + [names[1]] * 4
    np.testing.assert_equal(table["value"].to_numpy()[:5], [0.5, np.nan, np.inf, np.nan, 1.0])
    folder = work.base / work.layout.directory
    assert (folder / "series.parquet").exists() == has_parquet
    assert (folder / "series.csv").exists() != has_parquet


def test_what_has_completed_is_not_read_again(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(work, found(work, "completed", "completed", "running"))
    before = read_series(work)
    asked: list[Path] = []
    read = CurveReader.read

    def noted(reader: CurveReader, known: Any, directory: Path, is_running: bool) -> None:
        asked.append(directory)
        read(reader, known, directory, is_running)

    monkeypatch.setattr(CurveReader, "read", noted)
    write_series(work, found(work, "completed", "completed", "running"))
    pd.testing.assert_frame_equal(read_series(work), before)
    assert asked == [work.base / work.planned[2].directory]
    (work.base / work.layout.curves).write_bytes(b"PK cut off")  # all is read again then
    write_series(work, found(work, "completed", "completed", "running"))
    pd.testing.assert_frame_equal(read_series(work), before)
    assert len(asked) == 4


def test_a_further_attempt_is_read_from_its_beginning(work: Work) -> None:
    directory = work.base / work.planned[0].directory
    (directory / ".lock").write_text("digest 1")
    write_series(work, found(work, "running", "missing", "missing"))
    (directory / ".lock").write_text("digest 2")
    (directory / "log.csv").write_text("loss\n9.0\n8.0\n" + "7.0\n" * 9)
    write_series(work, found(work, "running", "missing", "missing"))
    assert read_series(work)["value"].tolist() == [9.0, 8.0, *[7.0] * 9]


def curves(count: int, replicas: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [f"m{n}" for n in range(count)]
    rows = [(name, float(n), n / (1 + step)) for n, name in enumerate(names) for step in range(9)]
    points = pd.DataFrame(rows, columns=["member", "index", "value"])
    points["index"] = np.tile(np.arange(9.0), count)
    x = [1 + n // replicas for n in range(count)]
    status = ["running", *["completed"] * (count - 1)] if count else []
    return points, pd.DataFrame({"member": names, "x": x, "status": status})


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (1, 1), (9, 9), (700, 234)])
def test_curves_of_all_members(count: int, shown: int) -> None:
    figure = draw_curves(*curves(count), [Swept("x", False)], "loss", "epoch", "sweep: loss")
    (lines,) = (one for one in figure.axes[0].collections if isinstance(one, LineCollection))
    assert len(lines.get_segments()) == shown
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("epoch", "loss")
    told = figure.axes[0].get_title(loc="right")
    assert told.startswith("234 of 700" if count > 300 else f"{count} member")
    assert ("1 running" in told) == bool(count)
    assert len(figure.axes) == (2 if count else 1)  # a colour bar


def test_replicas_have_a_mean_and_a_band() -> None:
    figure = draw_curves(*curves(6, 3), [Swept("x", False)], "loss", "epoch", "sweep: loss")
    means = [line.get_ydata() for line in figure.axes[0].lines]
    assert [float(np.asarray(mean)[0]) for mean in means] == [1.0, 4.0]
    assert "mean and range of replicas" in figure.axes[0].get_title(loc="right")


def test_categories_have_their_colours_in_the_legend() -> None:
    points, members = curves(3)
    members["x"] = ["adam", "sgd", "adam"]
    figure = draw_curves(points, members, [Swept("x", False)], "loss", "epoch", "sweep: loss")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["adam", "sgd", "running"]
