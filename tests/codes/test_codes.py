"""The recipes of config/codes.md, with the codes themselves: stopped, gone on with, mended."""

import os
import re
import shutil

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
