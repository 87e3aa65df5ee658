"""Members of several commands, with limits and restarts, in whole workflows."""

from typing import Any

import pytest

from ..conftest import REPOSITORY, Project

pytestmark = pytest.mark.workflow

SIMULATE = 'echo "$1" >>"$RAN_LOG"; echo "$1" >traj'
# Goes on where it was; the first attempt hangs.
WALK = 'echo $ENSEMAKE_ATTEMPT >>state; [ "$1" = 1 ] || [ $ENSEMAKE_ATTEMPT -gt 1 ] || sleep 100'


def shell(text: str, *arguments: str, **keys: Any) -> dict[str, Any]:
    return {"exe": "bash", "exe_args": ["-c", text, "bash", *arguments], **keys}


def test_the_last_command_is_mended_alone(project: Project) -> None:
    run = [shell(SIMULATE, "{{ x }}"), shell("cat traj; false")]
    both = {"alone": [1, 2], "packed": [3, 4]}
    for name, x in both.items():
        project.ensemble(name, run_settings=run, outputs=[], params={"x": x})
    project.config["ensembles"]["packed"]["batch_settings"] = {}
    done = project.run()
    assert done.returncode == 1
    rows = [row for name in both for row in project.table(name)]
    assert [row["reason"] for row in rows] == ["step 2 of 2 (bash): exit code 1"] * 4
    run[1] = shell("cat traj; touch analysed")
    for name in both:
        sweep = project.config["ensembles"][name]
        sweep["outputs"] = ["analysed"]
        sweep["metrics"] = {"x2": {"file": "run.out", "regex": r"^(\d)$"}}
    assert project.run().returncode == 0
    assert [row["x2"] for name in both for row in project.table(name)] == ["1", "2", "3", "4"]
    assert project.ran() == dict.fromkeys("1234", 1)
    run[0] = shell("true;" + SIMULATE, "{{ x }}")
    assert project.run().returncode == 0
    assert project.ran() == dict.fromkeys("1234", 2)


def test_one_that_hangs_is_ended_and_goes_on(project: Project) -> None:
    """It does not keep its batch from ending. A profile may set the preamble."""
    project.ensemble(
        run_settings=shell(WALK + "; echo $SITE", "{{ x }}"),
        outputs=["state"],
        params={"x": [1, 2]},
        resources={"runtime": "2s"},
        restart={"from": "state"},
        batch_settings={},
    )
    profile = project.folder / "site"
    profile.mkdir()
    local = (REPOSITORY / "profiles/local/config.yaml").read_text()
    (profile / "config.yaml").write_text(local + "\nconfig:\n  preamble: ['export SITE=here']\n")
    done = project.run("--workflow-profile", str(profile))
    assert done.returncode == 0, done.stderr
    for row in project.table():
        directory = project.results / "sweep" / row["member"]
        assert project.status(directory)["attempt"] == int(row["x"])
        assert (directory / "run.out").read_text().splitlines()[-1] == "here"


def test_a_job_of_its_own_has_the_limit_that_the_profile_says(project: Project) -> None:
    project.ensemble(
        run_settings=shell("echo $ENSEMAKE_RUNTIME; sleep 2; touch out.json"),
        params={"x": [1]},
        resources={"runtime": "1s"},
    )
    done = project.run("--set-resources", "sweep:runtime=3")
    assert done.returncode == 0, done.stderr
    assert (project.member(x=1) / "run.out").read_text() == "\n"
