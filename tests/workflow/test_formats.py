"""Input files, metrics and curves of real runs: what decides a rerun, and an early look."""

import subprocess
import sys
import time

import pandas as pd
import pytest

from ..conftest import Project

pytestmark = pytest.mark.workflow

TRAIN = """\
import json, os, pathlib, time, tomllib
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(pathlib.Path.cwd().name + "\\n")
settings = tomllib.loads(pathlib.Path("conf/train.toml").read_text())
rate, seed = settings["model"]["rate"], settings["seed"]
with open("log.csv", "w") as curve, open("log.jsonl", "w") as lines:
    print("epoch,loss", file=curve)
    for epoch in range(20):
        loss = 1 / (1 + rate * epoch) + seed / 100
        print(f"{epoch},{loss:.6E}".replace("E", "D"), file=curve, flush=True)
        print(json.dumps({"epoch": epoch, "loss": loss}), file=lines, flush=True)
        while epoch == 9 and not os.path.exists("../../../../go"):
            time.sleep(0.05)
print("FLUX =\\n", f"{rate:.3E}".replace("E", "D"))
"""
READERS = """\
import os

def rate(directory, values):
    if values["replica"]:
        os.abort()
    return FACTOR * values["rate"]
"""


def train(project: Project) -> None:
    project.write("train.py", TRAIN)
    project.write("readers.py", READERS.replace("FACTOR", "2"))
    project.write("conf/train.toml", "seed = 0  # of the weights\n[model]\nrate = 1.0\n")
    project.ensemble(
        params={"rate": [0.1, 1.0]},
        replicas=2,
        run_settings={"exe": "python", "exe_args": ["train.py"]},
        files={
            "to_copy": ["train.py"],
            "set": {"conf/train.toml": {"model.rate": "{{ rate }}", "seed": "{{ replica }}"}},
        },
        outputs=["log.csv"],
        metrics={
            "end": {"file": "log.csv", "column": "loss", "rows": "-5:", "reduce": "mean"},
            "best": {"file": "log.jsonl", "key": "loss", "reduce": "min"},
            "flux": {"file": "run.out", "after": "FLUX ="},
            "fit": {"function": "readers.py:rate"},
        },
        series={"loss": {"file": "log.csv", "column": "loss", "index": "epoch"}},
        batch_settings={},
    )


def results(project: Project) -> pd.DataFrame:
    command = [sys.executable, "-m", "ensemake.cli", "results"]
    subprocess.run(command, cwd=project.folder, env=project.environment, check=True)
    return pd.read_parquet(project.results / "sweep" / "series.parquet")


def test_an_early_look_the_end_and_an_edit(project: Project) -> None:
    train(project)
    run = project.start()
    half = "\n9,"
    until = time.monotonic() + 60
    while not any(half in path.read_text() for path in project.results.glob("sweep/*/log.csv")):
        assert time.monotonic() < until
        time.sleep(0.1)
    early = results(project)
    rows = {row["member"]: row for row in project.table() if row["status"] == "running"}
    sizes = early.groupby("member", observed=True).size()
    assert max(sizes[name] for name in rows) == 10
    for name, row in rows.items():
        assert 0 < sizes[name] <= 10
        assert float(row["end"]) >= float(row["best"]) > 0
        assert (row["flux"], row["reason"], row["fit"] == "") == ("", "", row["replica"] == "1")
    project.write("go", "")
    assert run.wait() == 0
    assert run.communicate()[0].count("fit: no value for 2 members") == 1
    _the_end(project)
    _an_edit(project)


def _the_end(project: Project) -> None:
    for row in project.table():
        rate, seed = float(row["rate"]), int(row["replica"])
        assert float(row["flux"]) == pytest.approx(rate)
        assert float(row["best"]) == pytest.approx(1 / (1 + 19 * rate) + seed / 100)
        assert (row["fit"] == "") == ("was killed by SIGABRT" in row["reason"]) == bool(seed)
        folder = project.results / "sweep" / row["member"]
        toml = (folder / "conf" / "train.toml").read_text()
        assert toml == f"seed = {seed}  # of the weights\n[model]\nrate = {rate}\n"
    curves = pd.read_parquet(project.results / "sweep" / "series.parquet")
    assert curves.columns.tolist() == ["member", "series", "index", "value"]
    assert curves.groupby("member", observed=True)["index"].max().tolist() == [19.0] * 4
    assert (project.results / "sweep" / "plots" / "loss.svg").exists()
    assert (project.results / "sweep" / "plots" / "fit.png").exists()


def _an_edit(project: Project) -> None:
    """A function, a metric and a curve more are collected anew; a key that is set runs again."""
    ran = project.ran()
    project.write("readers.py", READERS.replace("FACTOR", "3"))
    sweep = project.config["ensembles"]["sweep"]
    sweep["series"]["lines"] = {"file": "log.jsonl", "key": "loss"}
    assert project.run().returncode == 0
    assert project.ran() == ran
    assert {row["fit"] for row in project.table()} == {"", "0.30000000000000004", "3.0"}
    curves = pd.read_parquet(project.results / "sweep" / "series.parquet")
    assert set(curves["series"]) == {"loss", "lines"}
    sweep["files"]["set"]["conf/train.toml"]["model.rate"] = "{{ rate / 2 }}"
    assert project.run().returncode == 0
    assert set(project.ran().values()) == {2}
