"""Entities that take from others, on a real PBS; skipped where no server answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import PbsProject
from real import in_queue, server_answers, shared_folder

pytestmark = [
    pytest.mark.pbs,
    pytest.mark.skipif(not server_answers(), reason="no PBS server answers"),
]

FIRST = (
    '[ -e "$OLDPWD/mended" ] || [ $1 != 3 ] || exit 3; echo $1 >out.txt; echo $PBS_JOBID >job.txt'
)
THEN = "read -r x <in.txt; echo $((x + 1)) >sum.txt; echo $PBS_JOBID >job.txt"


@pytest.fixture
def project() -> Iterator[PbsProject]:
    """A project in a folder that the nodes see."""
    with shared_folder() as folder:
        yield PbsProject(folder / "a project")


def shell(code: str, *words: str) -> dict[str, Any]:
    return {"exe": "bash", "exe_args": ["-c", code, "bash", *words]}


@pytest.mark.parametrize("how", ["alone", "with"])
def test_stages(project: PbsProject, how: str) -> None:
    mended = project.folder / "mended"
    code = FIRST.replace("$OLDPWD/mended", str(mended))
    small = {"mem_mb": 50, "runtime": 5}
    first: dict[str, Any] = {
        "params": {"x": [1, 2, 3, 4]},
        "run_settings": shell(code, "{{ x }}"),
        "outputs": ["out.txt"],
        "resources": small,
    }
    second: dict[str, Any] = {
        "params": {"start": {"members": "first"}},
        "inputs": {"first": {"files": {"out.txt": "in.txt"}}},
        "run_settings": shell(THEN),
        "outputs": ["sum.txt"],
        "resources": small,
    }
    if how == "with":
        first["batch_settings"] = {"size": 2, "runtime": 5}
        second["batch_settings"] = {"with": "first"}
    project.config = {"experiment": "exp", "ensembles": {"first": first, "second": second}}
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    states = {row["x"]: row["status"] for row in project.table("second")}
    assert states == {"1": "completed", "2": "completed", "3": "blocked", "4": "completed"}
    mended.touch()
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["status"] for row in project.table("second")} == {"completed"}
    if how == "with":
        for x in (1, 2, 3, 4):
            names = ("first", "second")
            jobs = {(project.member(name, x=x) / "job.txt").read_text() for name in names}
            assert len(jobs) == 1
    assert in_queue(project.folder) == []
