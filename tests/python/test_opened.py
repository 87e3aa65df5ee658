"""ensemake.open: any experiment's folder, moved, half finished, or only its tables."""

import json
import shutil
from pathlib import Path

import numpy
import pytest

import ensemake
from ensemake.errors import WrongValueError
from ensemake.member.plan import save_work
from ensemake.results.collect import write_results

from ..results.test_outcomes import ended
from ..show.test_preview import work

PARAMS = {"T": [300, 310, 320], "p, p_name": [[0.5, "low"], [1.0, "high"]]}
METRICS = {"E": {"file": "out.json", "key": "E"}}


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """Results that were moved after one of twelve members had failed and one was still missing."""
    sweep = work(tmp_path, params=PARAMS, metrics=METRICS, replicas=2)
    save_work(sweep)
    root = sweep.base / sweep.layout.root
    config = {"experiment": root.name, "ensembles": {sweep.entity: sweep.settings.model_dump()}}
    (root / ".ensemake/config.json").write_text(json.dumps(config))
    for number, member in enumerate(sweep.planned[:-1]):
        status = "failed" if number == 3 else "completed"
        directory = ended(tmp_path, member, status=status)
        values = member.values
        energy = values["T"] * values["p"] + values["replica"]  # type: ignore[operator]
        (directory / "out.json").write_text(json.dumps({"E": energy}))
        (directory / "run.out").write_text("done\n")
        if number == 5:
            write_results(sweep)  # an old table, which is not believed
    target = tmp_path / "elsewhere"
    shutil.move(root, target)
    return target


def test_tables_and_members(moved: Path) -> None:
    results = ensemake.open(moved)
    (name,) = results.entities
    table = results.table(name)
    assert table["status"].value_counts().to_dict() == {"completed": 10, "failed": 1, "missing": 1}
    assert table["T"].dtype == "int64"
    assert table["p_name"].tolist()[:4] == ["low", "low", "high", "high"]
    assert results.where(name, "E > 300 and replica == 1")["T"].tolist() == [310]
    member = results.member(name, T=300, p=1.0, replica=0)
    assert (member.log, [path.name for path in member.files]) == ("done\n", ["out.json"])
    assert (member.row["E"], member.row["status"]) == (300.0, "completed")
    assert f"{name}: 10 completed, 1 failed, 1 missing" in repr(results)
    assert "10 completed" in results._repr_html_()


def test_a_grid_has_parameters_as_dimensions(moved: Path) -> None:
    results = ensemake.open(moved)
    (name,) = results.entities
    grid = results.grid(name, "E")
    assert grid.sizes == {"T": 3, "p": 2, "replica": 2}
    assert grid.sel(T=310, p=1.0, replica=1).item() == 311.0
    assert grid.coords["p_name"].sel(p=0.5).item() == "low"
    assert numpy.isnan(grid.values).sum() == 2  # failed, missing


def test_only_tables(moved: Path) -> None:
    shutil.rmtree(moved / ".ensemake")
    results = ensemake.open(moved)
    (name,) = results.entities
    assert len(results.table(name)) == 12
    with pytest.raises(WrongValueError, match="only tables are here"):
        results.grid(name, "E")


def test_plots_are_pages(moved: Path, tmp_path: Path) -> None:
    results = ensemake.open(moved)
    (name,) = results.entities
    path = results.plot_heatmap(name, x="p", colour="E").save(tmp_path / "map.html")
    assert "<canvas" in path.read_text()
    assert "srcdoc=" in results.plot_parallel(name)._repr_html_()


def test_what_is_not_there(moved: Path) -> None:
    results = ensemake.open(moved)
    (name,) = results.entities
    for call, message in (
        (lambda: ensemake.open(moved / name), f"open {moved}"),
        (lambda: ensemake.open(moved.parent / "nothing"), "no results are here"),
        (lambda: results.table("swep"), "did you mean"),
        (lambda: results.grid(name, "F"), "no column 'F'"),
        (lambda: results.member(name, T=300), "4 members"),
        (lambda: results.where(name, "E >"), "ends too early"),
        (lambda: results.series(name), "has no curves"),
        (lambda: results.plot_heatmap(name, x="q"), "no column 'q'"),
    ):
        with pytest.raises(WrongValueError, match=message):
            call()
