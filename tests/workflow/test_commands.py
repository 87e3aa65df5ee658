"""Members of several commands, with limits and restarts, in whole workflows."""

import os
from pathlib import Path
from typing import Any

import pytest

from ..conftest import REPOSITORY, Project

pytestmark = pytest.mark.workflow

SIMULATE = 'echo "$1" >>"$RAN_LOG"; echo "$1" >traj'
# Goes on where it was; the first attempt hangs.
WALK = 'echo $ENSEMAKE_ATTEMPT >>state; [ "$1" = 1 ] || [ $ENSEMAKE_ATTEMPT -gt 1 ] || sleep 100'


def shell(text: str, *arguments: str, **keys: Any) -> dict[str, Any]:
    return {"exe": "bash", "exe_args": ["-c", text, "bash", *arguments], **keys}


@pytest.mark.parametrize("batch", [None, {}])
def test_the_last_command_is_mended_alone(project: Project, batch: Any) -> None:
    run = [shell(SIMULATE, "{{ x }}"), shell("cat traj; false")]
    sweep = project.ensemble(run_settings=run, outputs=[], params={"x": [1, 2]})
    sweep["batch_settings"] = batch
    done = project.run()
    assert done.returncode == 1
    rows = project.table()
    assert {row["reason"] for row in rows} == {"step 2 of 2 (bash): exit code 1"}
    run[1] = shell("cat traj; touch analysed")
    sweep["outputs"] = ["analysed"]
    sweep["metrics"] = {"x2": {"file": "run.out", "regex": r"^(\d)$"}}
    assert project.run().returncode == 0
    assert [row["x2"] for row in project.table()] == ["1", "2"]
    assert project.ran() == {"1": 1, "2": 1}
    run[0] = shell("true;" + SIMULATE, "{{ x }}")
    assert project.run().returncode == 0
    assert project.ran() == {"1": 2, "2": 2}


@pytest.mark.parametrize("batch", [None, {}])
def test_one_that_hangs_is_ended_and_goes_on(project: Project, batch: Any) -> None:
    """It does not keep its batch from ending; the profile may set a preamble."""
    project.ensemble(
        run_settings=shell(WALK, "{{ x }}"),
        outputs=["state"],
        params={"x": [1, 2]},
        resources={"runtime": "{{ 1 if replica < 5 }}" if batch is None else "2s"},
        restart={"from": "state"},
        batch_settings=batch,
    )
    if batch is None:  # Snakemake counts minutes; run.sh hears of the seconds from a test alone
        project.config["ensembles"]["sweep"]["resources"] = {"runtime": 1}
        project.config["ensembles"]["sweep"]["params"] = {"x": [1]}
    profile = project.folder / "site"
    profile.mkdir()
    local = (REPOSITORY / "profiles/local/config.yaml").read_text()
    (profile / "config.yaml").write_text(local + "\nconfig:\n  preamble: ['export SITE=here']\n")
    project.config["ensembles"]["sweep"]["run_settings"] = shell(WALK + "; echo $SITE", "{{ x }}")
    done = project.run("--workflow-profile", str(profile))
    assert done.returncode == 0, done.stderr
    for row in project.table():
        directory = project.results / "sweep" / row["member"]
        assert project.status(directory)["attempt"] == int(row["x"])
        assert (directory / "run.out").read_text().splitlines()[-1] == "here"
    assert project.run().returncode == 0
    assert os.listdir(Path(project.results / "sweep"))
