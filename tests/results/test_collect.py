"""results.csv: right when read back, in CSV and in Parquet."""

import json
from pathlib import Path

import pandas
import pytest

from ensemake.results.collect import read_results, results_table, write_parquet, write_results

from ..conftest import Project
from ..show.test_preview import work
from .test_outcomes import ended


def test_types_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = {name: {"file": "out.json", "key": name} for name in ("loss", "steps", "word", "odd")}
    sweep = work(
        Path(),
        params={
            "x, text": [[1, "01"], [2, "nan"], [3, 'a,"b"\nc'], [4, ""]],
            "flag": True,
            "real": 1.0,
            "big": 10**17,
            "unsigned": 2**64 - 1,
        },
        metrics=metrics,
    )
    for number, member in enumerate(sweep.planned[:3]):
        directory = ended(Path(), member, run="r1", elapsed_s=0.5)
        out = {"loss": 0.1 + number, "steps": number, "word": "07x", "odd": [1, "two", 3][number]}
        (directory / "out.json").write_text(json.dumps(out))
    path, faults = write_results(sweep)
    assert not faults
    table = read_results(sweep)
    assert list(table["text"]) == ["01", "nan", 'a,"b"\nc', ""]
    assert list(table["x"]) == [1, 2, 3, 4]
    assert table["x"].dtype == "int64"
    assert table["big"].tolist() == [10**17] * 4
    assert table["unsigned"].tolist() == [2**64 - 1] * 4
    assert table["flag"].tolist() == [True] * 4
    assert table["real"].dtype == "float64"
    assert table["exit_code"].dtype == "Int64"
    assert table["exit_code"].isna().tolist() == [False, False, False, True]
    assert table["loss"][:3].tolist() == [0.1, 1.1, 2.1]
    assert table["steps"].dtype == "Int64"
    assert table["word"][0] == "07x"
    assert table["odd"].tolist() == ["1", "two", "3", ""]
    assert table["run"].tolist() == ["r1"] * 3 + [""]
    assert table["member"].tolist() == [member.name for member in sweep.planned]
    assert list(pandas.read_csv(path).columns) == results_table(sweep)[0]
    back = pandas.read_parquet(write_parquet(sweep))
    pandas.testing.assert_frame_equal(back, table, check_dtype=False)
    assert back["exit_code"].dtype == "Int64"


def test_metrics_that_are_absent_are_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = work(Path(), params={"x": [1]}, metrics={"loss": {"file": "out.json", "key": "loss"}})
    ended(Path(), sweep.planned[0])
    _, faults = write_results(sweep)
    assert faults == [f"{sweep.planned[0].directory}: metric loss: no file out.json"]
    assert read_results(sweep)["reason"][0] == "metric loss: no file out.json"


@pytest.mark.workflow
def test_parquet_is_a_target(project: Project) -> None:
    project.ensemble(metrics={"value": {"file": "out.json", "key": "value"}})
    done = project.run("results/exp/sweep/results.parquet")
    assert done.returncode == 0, done.stderr
    table = pandas.read_parquet(project.results / "sweep" / "results.parquet")
    assert table["value"].tolist() == [1.5] * 3


@pytest.mark.workflow
def test_results_of_what_has_finished(project: Project) -> None:
    project.ensemble()
    project.run("generate")
    told = project.run("results")
    assert told.returncode == 0
    assert "sweep: 3 missing of 3" in told.stdout
    assert {row["status"] for row in project.table()} == {"missing"}
    assert (project.results / "overview.html").exists()
