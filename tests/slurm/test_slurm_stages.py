"""Entities that take from others, on a real Slurm: as jobs of their own, in the same jobs."""

import json
from typing import Any

import pytest
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

FIRST = '[ $1 != "$FAILING" ] || exit 3; echo $1 >out.txt; echo $SLURM_JOB_ID >job.txt'
THEN = "read -r x <in.txt; echo $((x + 1)) >sum.txt; echo $SLURM_JOB_ID >job.txt"
WHOLE = "tail -qn 1 second/*/sum.txt >sums.txt"


def shell(code: str, *words: str) -> dict[str, Any]:
    return {"exe": "bash", "exe_args": ["-c", code, "bash", *words]}


@pytest.mark.parametrize("how", ["alone", "with"])
def test_stages(project: SlurmProject, how: str) -> None:
    first: dict[str, Any] = {
        "params": {"x": [1, 2, 3, 4]},
        "run_settings": {
            **shell(FIRST, "{{ x }}"),
            "env_vars": {"FAILING": {"from_env": "FAILING"}},
        },
        "outputs": ["out.txt"],
        "resources": {"mem_mb": 50, "runtime": 5},
    }
    second: dict[str, Any] = {
        "params": {"start": {"members": "first"}},
        "inputs": {"first": {"files": {"out.txt": "in.txt"}}},
        "run_settings": shell(THEN),
        "outputs": ["sum.txt"],
        "resources": {"mem_mb": 50, "runtime": 5},
        "metrics": {"sum": {"file": "sum.txt", "regex": r"(\S+)"}},
    }
    if how == "with":
        first["batch_settings"] = {"size": 2, "runtime": 5}
        second["batch_settings"] = {"with": "first"}
    project.config = {
        "experiment": "exp",
        "models": {
            "whole": {
                "inputs": {"second": {"members": "all"}},
                "run_settings": shell(WHOLE),
                "outputs": ["sums.txt"],
            }
        },
        "ensembles": {"first": first, "second": second},
    }
    project.environ["FAILING"] = "3"
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert [row["status"] for row in project.table("first")].count("completed") == 3
    states = {row["x"]: row["status"] for row in project.table("second")}
    assert states == {"1": "completed", "2": "completed", "3": "blocked", "4": "completed"}
    assert project.table("whole")[0]["status"] == "blocked"
    project.environ["FAILING"] = "none"
    project.finish()
    sums = (project.results / "whole" / "sums.txt").read_text().split()
    assert sorted(sums) == ["2", "3", "4", "5"]
    if how == "with":
        for x in (1, 2, 4):
            jobs = {
                (project.member(name, x=x) / "job.txt").read_text() for name in ("first", "second")
            }
            assert len(jobs) == 1
    runs = json.loads((project.results / "second" / _name(project) / "status.json").read_text())
    assert runs["attempt"] == 1


def _name(project: SlurmProject) -> str:
    return project.member("second", x=1).name
