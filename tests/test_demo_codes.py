"""The codes of the demo: they run as the config calls them, and what they compute is right."""

import configparser
import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[1] / "config"
KURAMOTO = CONFIG / "kuramoto" / "kuramoto.py"
TRAIN = CONFIG / "training" / "train.py"


def run(code: Path, *args: str, where: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(code), *args],
        cwd=where,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def kuramoto(where: Path, coupling: float, spread: float, seed: int = 0) -> dict[str, Any]:
    text = (CONFIG / "kuramoto" / "kuramoto.cfg").read_text()
    step = 0.2 / (coupling + spread)
    values = {"coupling": coupling, "spread": spread, "replica": seed, "dt": step}
    for name, value in values.items():
        text = text.replace(f";{name};", str(value))
    where.mkdir(exist_ok=True)
    (where / "kuramoto.cfg").write_text(text)
    out = run(KURAMOTO, "kuramoto.cfg", where=where)
    return {"out": out, **json.loads((where / "summary.json").read_text())}


def train(where: Path, *args: str) -> dict[str, Any]:
    run(TRAIN, *args, where=where)
    model: dict[str, Any] = json.loads(
        (where / "model.json").read_text(), parse_constant=pytest.fail
    )
    return model


@pytest.mark.parametrize("code", [KURAMOTO, TRAIN])
def test_help_says_what_the_code_does(code: Path, tmp_path: Path) -> None:
    text = run(code, "--help", where=tmp_path)
    assert "usage:" in text
    assert len(text) > 800


@pytest.mark.parametrize(("coupling", "spread"), [(0.5, 2.0), (1.0, 1.0), (2.0, 2.25)])
def test_below_the_threshold_the_oscillators_stay_apart(
    tmp_path: Path, coupling: float, spread: float
) -> None:
    found = kuramoto(tmp_path, coupling, spread)
    assert found["r"] < 0.15
    assert found["r_expected"] == 0.0


@pytest.mark.parametrize(("coupling", "spread"), [(6.0, 0.25), (6.0, 1.0), (4.0, 1.0), (5.0, 1.5)])
def test_above_the_threshold_r_is_that_of_theory(
    tmp_path: Path, coupling: float, spread: float
) -> None:
    found = kuramoto(tmp_path, coupling, spread)
    assert found["r_expected"] == pytest.approx(math.sqrt(1.0 - 2.0 * spread / coupling))
    assert found["r"] == pytest.approx(found["r_expected"], abs=0.06)


def test_kuramoto_repeats_itself_and_seeds_differ(tmp_path: Path) -> None:
    first, again = (kuramoto(tmp_path / name, 3.0, 1.0) for name in ("a", "b"))
    other = kuramoto(tmp_path / "c", 3.0, 1.0, seed=1)
    assert first == again
    tables = [(tmp_path / name / "order.csv").read_bytes() for name in ("a", "b", "c")]
    assert tables[0] == tables[1] != tables[2]
    assert first["r"] != other["r"]


def test_kuramoto_leaves_what_the_metrics_read(tmp_path: Path) -> None:
    found = kuramoto(tmp_path, 3.0, 1.0)
    with (tmp_path / "order.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 501
    assert float(rows[0]["time"]) == 0.0
    assert all(0.0 <= float(row["r"]) <= 1.0 for row in rows)
    assert f"limit of many oscillators {found['r_expected']:.4f}" in found["out"]


@pytest.mark.parametrize("opt", ["sgd", "momentum", "adam"])
def test_training_learns_at_a_good_rate(tmp_path: Path, opt: str) -> None:
    rate = {"sgd": "1.0", "momentum": "0.3", "adam": "0.03"}[opt]
    model = train(tmp_path, f"--LR={rate}", f"--opt={opt}")
    assert model["final"]["loss"] < 0.1
    assert model["final"]["accuracy"] > 0.95
    assert not model["final"]["diverged"]
    assert model["history"][0]["loss"] > 0.5
    assert model["history"][-1]["epoch"] == 500
    assert model["history"][-1]["loss"] == model["final"]["loss"]


@pytest.mark.parametrize("rate", ["100", "1e6", "1e300"])
@pytest.mark.parametrize("opt", ["sgd", "momentum", "adam"])
def test_a_rate_far_too_large_ends_with_a_finite_loss(tmp_path: Path, opt: str, rate: str) -> None:
    model = train(tmp_path, f"--LR={rate}", f"--opt={opt}")
    assert model["final"]["diverged"]
    assert math.isfinite(model["final"]["loss"])


def test_training_repeats_itself_and_seeds_differ(tmp_path: Path) -> None:
    call = ("--LR=0.17", "--opt=adam")
    first, again = train(tmp_path, *call), train(tmp_path, *call)
    assert first == again
    assert train(tmp_path, *call, "--seed=1")["final"] != first["final"]


def test_gradients_are_the_slopes_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TRAIN.parent)
    import numpy as np
    import train as code

    rng = np.random.default_rng(0)
    points, classes = code.spirals(50, rng)
    weights = code.initial([2, 5, 4, 1], rng)

    def loss() -> float:
        value: float = code.cross_entropy(code.forward(weights, points)[-1][:, 0], classes)
        return value

    found = code.gradients(weights, code.forward(weights, points), classes)
    for array, slopes in zip(weights, found, strict=True):
        for index in np.ndindex(array.shape):
            middle = array[index]
            array[index] = middle + 1e-6
            above = loss()
            array[index] = middle - 1e-6
            slope = (above - loss()) / 2e-6
            array[index] = middle
            assert slopes[index] == pytest.approx(slope, abs=1e-8)


def test_the_config_names_files_that_are_there_and_tags_that_are_given() -> None:
    config = yaml.safe_load((CONFIG / "config.yaml").read_text())
    for ensemble in config["ensembles"].values():
        files = ensemble["files"]
        for name in files.get("to_copy", []) + files.get("to_configure", []):
            assert (CONFIG.parent / name).is_file()
    parser = configparser.ConfigParser()
    parser.read(CONFIG / "kuramoto" / "kuramoto.cfg")
    tags = {v[1:-1] for part in parser.values() for v in part.values() if v.startswith(";")}
    spec = config["ensembles"]["kuramoto"]
    assert tags == {*spec["params"], *spec["derived"], "replica"}
