"""results.csv: right when read back, in CSV and in Parquet."""

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import pandas
import pytest

from ensemake.results.collect import (
    metric_column,
    read_results,
    results_frame,
    results_table,
    write_parquet,
    write_results,
)
from ensemake.results.outcomes import status_lines

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


@pytest.mark.parametrize(
    ("cells", "dtype", "wanted"),
    [
        ([0.5, math.nan, math.inf], "float64", [0.5, math.nan, math.inf]),
        ([0.5, None, True], "float64", [0.5, math.nan, 1.0]),
        ([1, None, True], "Int64", [1, pandas.NA, 1]),
        ([1, math.nan], "float64", [1.0, math.nan]),
        ([True, False], "bool", [True, False]),
        ([True, None], "boolean", [True, pandas.NA]),
        ([2**63, 1], "uint64", [2**63, 1]),
        ([2**63, -1], "float64", [2.0**63, -1.0]),
        ([10**400, -(10**400)], "float64", [math.inf, -math.inf]),
        (["0.5", "1.0e-03", "nan", "-inf"], "float64", [0.5, 1e-3, math.nan, -math.inf]),
        (["12", "7"], "int64", [12, 7]),
        (["10_20", "7"], "object", ["10_20", "7"]),
        (["Na", "1"], "object", ["Na", "1"]),
    ],
)
def test_one_odd_cell_leaves_a_metric_its_type(
    cells: list[Any], dtype: str, wanted: list[Any]
) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([[cell] for cell in cells])
    texts = [row[0] if row else "" for row in csv.reader(written.getvalue().splitlines())]
    for given in (cells, texts):
        column = metric_column(given)
        assert str(column.dtype) == dtype
        expected = pandas.Series(wanted, dtype=dtype)
        pandas.testing.assert_series_equal(column, expected, check_dtype=False)


def test_what_programs_leave_never_costs_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("loss", "word")
    metrics = {name: {"file": "out.json", "key": name} for name in names}
    sweep = work(Path(), params={"x": [0, 1, 2, 3]}, metrics=metrics)
    for member in sweep.planned:
        ended(Path(), member)
    where = [Path(member.directory) / "out.json" for member in sweep.planned]
    where[0].write_text('{"loss": NaN, "word": "\\ud800 a\\u0000"}')
    where[1].write_text("[" * 200_000)
    os.mkfifo(where[2])
    where[3].write_text('{"loss": 0.5, "word": null}')
    path, faults = write_results(sweep)
    assert len(faults) == 5
    table = read_results(sweep)
    assert table["loss"].dtype == results_frame(sweep)["loss"].dtype == "float64"
    assert table["loss"][3] == 0.5
    assert table["word"][0] == "? a\ufffd"
    assert "nan" in path.read_text().splitlines()[1]
    assert [bool(reason) for reason in table["reason"]] == [False, True, True, True]
    assert pandas.read_parquet(write_parquet(sweep))["loss"].dtype == "float64"
    told = status_lines(sweep)[1:]
    assert len(told) == 2
    assert told[1].startswith("  metric word: no value for 3 members: out.json: ")
    assert told[1].endswith("; others: see the column reason of results.csv")


@pytest.mark.workflow
def test_a_metric_that_no_member_has_is_told_at_the_end(project: Project) -> None:
    project.ensemble(metrics={"value": {"file": "out.json", "key": "valeu"}})
    done = project.run()
    assert done.returncode == 0, done.stderr
    told = "metric value: no value for 3 members: out.json: no key 'valeu'\n"
    assert told in done.stdout + done.stderr


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
