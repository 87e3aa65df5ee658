"""The recipes of config/codes.md, with the codes themselves: stopped, gone on with, mended."""

import os
import re
import shutil
import subprocess
from math import exp

import pandas as pd
import pytest
import yaml

from ..conftest import REPOSITORY, Project

TEXT = (REPOSITORY / "config" / "codes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+ ?(.*)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE)


def wants(program: str) -> pytest.MarkDecorator:
    is_missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(is_missing, reason=f"no {program} here")


pytestmark = [pytest.mark.workflow, pytest.mark.codes]


def recipe(project: Project, experiment: str) -> dict[str, object]:
    """Take a recipe, with a limit that stops it some times, in one batch."""
    for name, body in BLOCKS:
        if name:
            project.write(name, body)
    text = next(body for _, body in BLOCKS if body.startswith(f"experiment: {experiment}\n"))
    project.config = yaml.safe_load(text)
    (ensemble,) = project.config["ensembles"].values()
    ensemble.update({"resources": {"runtime": "4s"}, "batch_settings": {}})
    return dict(ensemble)


def run(project: Project) -> None:
    """On a slow machine the limit may come before there is anything to go on from."""
    for _ in range(5):
        done = project.run()
        if done.returncode == 0:
            return
    pytest.fail(done.stdout + done.stderr)


@wants("gfortran")
def test_a_namelist_code(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(project, "oscillator")
    compiler = ["gfortran", "-O2", "-o", "oscillator", "oscillator.f90"]
    subprocess.run(compiler, cwd=project.folder, check=True)
    monkeypatch.setenv("PATH", f"{project.folder}:{os.environ['PATH']}")
    run(project)
    rows = project.table("damped")
    assert [row["dt"] for row in rows] == ["1.0d-3"] * 3
    for row in rows:
        damping = float(row["damping"])
        assert float(row["energy"]) == pytest.approx(0.5 * exp(-20 * damping), rel=0.25)
        assert 0.5 < float(row["x_max"]) < 1
        case = (project.results / "damped" / row["member"] / "case.nml").read_text()
        assert f"  damping = {damping}      ! 1/s\n  dt      = 0.001" in case
    curves = pd.read_parquet(project.results / "damped" / "series.parquet")
    assert curves.groupby("member", observed=True)["index"].max().tolist() == [20.0] * 3
    assert len(curves) == 3 * 201


@wants("lmp")
def test_lammps(project: Project) -> None:
    recipe(project, "melt")
    run(project)
    rows = project.table("lj")
    assert 0 < float(rows[0]["T_end"]) < float(rows[1]["T_end"]) < 1
    for row in rows:
        folder = project.results / "lj" / row["member"]
        assert project.status(folder)["attempt"] > 1
        printed = (folder / "run.out").read_text()
        assert printed.count("Reading restart file") == project.status(folder)["attempt"] - 1
        assert "\n     20000 " in printed
        assert -5 < float(row["press"]) < 10
    curves = pd.read_parquet(project.results / "lj" / "series.parquet")
    assert curves.groupby("member", observed=True)["index"].max().tolist() == [20000.0] * 2


@wants("gmx")
def test_gromacs(project: Project) -> None:
    recipe(project, "water")
    run(project)
    rows = project.table("spc")
    assert abs(float(rows[0]["T_mean"]) - 280) < 20 < abs(float(rows[1]["T_mean"]) - 280)
    folders = [project.results / "spc" / row["member"] for row in rows]
    assert all(project.status(folder)["attempt"] > 1 for folder in folders)
    logs = [(folder / "md.log").read_bytes() for folder in folders]
    analysis = project.config["ensembles"]["spc"]["run_settings"][-1]
    analysis["stdin"] = "Potential"
    project.config["ensembles"]["spc"]["metrics"]["E"] = {
        "file": "run.out",
        "regex": r"^Potential +(\S+)",
    }
    run(project)
    assert all(float(row["E"]) < -1000 for row in project.table("spc"))
    assert [(folder / "md.log").read_bytes() for folder in folders] == logs
