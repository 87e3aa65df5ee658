"""The same against a real PBS; skipped where no server answers.

Needs a home directory that the nodes share, and a default queue that accepts small jobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from harness import PbsProject, Project, wait_for
from real import asked, in_queue, server_answers, shared_folder

pytestmark = [
    pytest.mark.pbs,
    pytest.mark.skipif(not server_answers(), reason="no PBS server answers"),
]

SNAKEFILE = """
rule all:
    input: expand("out/{{i}}.txt", i=range({n}))
rule member:
    output: "out/{{i}}.txt"
    resources: mem_mb=50, runtime=5
    shell: {command!r}
"""


@pytest.fixture
def project() -> Iterator[Project]:
    """A project in a folder that the nodes see."""
    with shared_folder() as folder:
        project = Project(folder / "a project")
        project.folder.mkdir()
        yield project


def write(project: Project, n: int, command: str) -> None:
    project.write(SNAKEFILE.format(n=n, command=command))


@pytest.mark.parametrize("option", ["--pbs-array-jobs", "--pbs-full-jobs", "--verbose"])
def test_members_run_and_one_fails(project, option):
    write(project, 4, "[ {wildcards.i} != 2 ] || exit 7; echo $PBS_JOBID > {output}")
    done = project.run(option)
    assert done.returncode == 1
    ids = {path.read_text().strip() for path in (project.folder / "out").iterdir()}
    assert len(ids) == 3
    assert project.reasons() == ["exit code 1" if "full" in option else "exit code 7"]
    assert in_queue(project.folder) == []


def test_walltime(project):
    write(project, 1, "trap 'exit 0' TERM; touch {output}; while :; do sleep 0.2; done")
    done = project.run("--default-resources", "pbs_extra='-l walltime=3'")
    assert done.returncode == 1
    assert "walltime limit exceeded" in project.reasons()[0]
    assert not (project.folder / "out/0.txt").exists()


@pytest.mark.parametrize("option", ["--pbs-array-jobs", "--verbose"])
def test_what_can_never_run_is_told_and_removed(project, option):
    write(project, 2, "echo > {output}")
    done = project.run(option, "--set-resources", "member:mem_mb=900000000")
    assert done.returncode == 1
    assert ["Can Never Run" in reason for reason in project.reasons()] == [True, True]
    wait_for(lambda: not in_queue(project.folder))


def test_qdel_by_hand(project):
    write(project, 1, "touch up; trap 'exit 0' TERM; while :; do sleep 0.2; done")
    process = project.start()
    wait_for((project.folder / "up").exists)
    subprocess.run(["qdel", *in_queue(project.folder)], check=True)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "killed by qdel" in project.reasons()[0]


@pytest.mark.parametrize("option", ["--pbs-array-jobs", "--verbose"])
def test_ctrl_c(project, option):
    write(project, 3, "touch up{wildcards.i}; sleep 300; echo > {output}")
    process = project.start(option)
    wait_for(lambda: len(list(project.folder.glob("up*"))) == 3)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    wait_for(lambda: not in_queue(project.folder))


@pytest.mark.parametrize("option", ["--pbs-array-jobs", "--verbose"])
def test_kill_9(project, option):
    command = "touch up{wildcards.i}; echo once >> count; sleep 8; echo > {output}"
    write(project, 3, command)
    process = project.start(option)
    wait_for(lambda: len(list(project.folder.glob("up*"))) == 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert project.run("--unlock").returncode == 0
    done = project.run(option, "--rerun-incomplete")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Taking over PBS job") == 3
    assert (project.folder / "count").read_text() == "once\n" * 3


def test_walltime_of_a_member(project):
    own = PbsProject(project.folder)
    script = """[ {{ x }} = 1 ] || [ -e "{{ '$RAN_LOG' }}" ] || sleep 300"""
    own.ensemble(
        params={"x": [1, 2]},
        run_settings={"exe": "bash", "exe_args": ["-c", script]},
        resources={"pbs_extra": "-l walltime=3"},
        outputs=[],
    )
    assert own.run().returncode == 1
    assert own.statuses() == ["completed", "cancelled"]
    assert "(PBS: walltime limit exceeded" in own.table()[1]["reason"]
    own.write("ran.log", "")
    assert own.run().returncode == 0
    assert own.statuses() == ["completed"] * 2


def test_memory_of_a_member_and_a_hold(project):
    own = PbsProject(project.folder)
    script = (
        "import time; b = b'x' * ({{ 400 if x == 1 else 1 }} << 20); time.sleep({{ x % 2 * 60 }})"
    )
    own.ensemble(
        params={"x": [1, 2]},
        run_settings={"exe": "python3", "exe_args": ["-c", script]},
        resources={"mem_mb": 100, "pbs_extra": "{{ '-h' if x == 2 else '' }}"},
        outputs=[],
    )
    process = own.start()
    logs = own.folder / ".snakemake" / "log"
    wait_for(lambda: "is waiting" in "".join(p.read_text() for p in logs.glob("*.log")), process)
    held = asked("qselect", "-h", "u").split()
    subprocess.run(["qrls", *held], check=True)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out.count("is waiting") == 1
    assert own.statuses()[1] == "completed"
    assert "memory limit exceeded" in own.table()[0]["reason"], out


def test_batches_of_an_ensemble(project):
    """The node file and NCPUS say what the batch may use."""
    own = PbsProject(project.folder)
    own.ensemble(
        params={"x": list(range(6))},
        batch_settings={"size": 3, "runtime": 5, "batch_args": {"ncpus": 2}},
    )
    done = own.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert own.statuses() == ["completed"] * 6
    assert [event["slots"] for event in own.events("start")] == [2, 2]
    assert own.run(profile="local").returncode == 0
    assert set(own.ran().values()) == {1}
