"""The examples of the manual's chapter on stores, run as they stand there."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ..conftest import REPOSITORY

pytestmark = pytest.mark.workflow

TEXT = (REPOSITORY / "config" / "store.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE)
FILES = {about: body for _, about, body in BLOCKS if about.endswith(".py")}
CONFIGS = {
    data["experiment"]: data for data in (yaml.safe_load(b) for k, _, b in BLOCKS if k == "yaml")
}
SMARTREDIS = os.environ.get("SMARTREDIS_PYTHON", "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    return tmp_path


def run(experiment: str, python: str) -> dict[str, str]:
    """Run an example with a Python for its programs; return the row of its model's results."""
    text = yaml.safe_dump(CONFIGS[experiment]).replace("exe: python", f"exe: {python}")
    Path("config.yaml").write_text(text)
    words = ["--snakefile", str(REPOSITORY / "workflow" / "Snakefile"), "--cores", "2"]
    profile = ["--profile", str(REPOSITORY / "profiles" / "local"), "--configfile", "config.yaml"]
    command = [sys.executable, "-m", "snakemake", *words, *profile]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (model,) = CONFIGS[experiment]["models"]
    with open(f"results/{experiment}/{model}/results.csv", newline="") as table:
        (row,) = csv.DictReader(table)
    return row


def test_an_analysis_steers() -> None:
    row = run("stream", "python")
    assert int(row["steps"]) >= 100
    assert abs(float(row["mean"]) - 5) < 1


@pytest.mark.skipif(not SMARTREDIS, reason="SMARTREDIS_PYTHON names no Python with SmartRedis")
def test_a_model_is_trained() -> None:
    row = run("learn", SMARTREDIS)
    assert abs(float(row["rate"]) - 0.9) < 1e-3
    assert int(row["samples"]) == 4 * 20 * 32 * 32


def test_a_script_drives() -> None:
    done = subprocess.run(
        [sys.executable, "driver.py"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == ["1 3.0", "2 6.0", "3 9.0"]
    assert Path("scaled/orchestrator/dump.rdb").exists()
