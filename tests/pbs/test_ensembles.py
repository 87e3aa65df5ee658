"""Ensembles on the fake PBS: a job per member, arrays, and batches on several nodes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from harness import Fake, PbsProject, wait_for

pytestmark = pytest.mark.workflow

# What an agent is started with on the other nodes of a job.
SSH = """\
#!/bin/sh
for last; do :; done
echo "$last" >> "$FAKE_PBS_HOME/ssh.log"
exec sh -c "$last"
"""
SLOW = """\
#!/usr/bin/env python3
import os, pathlib, sys, time
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(pathlib.Path.cwd().name + "\\n")
for _ in range(600):
    time.sleep(0.1)
    if any(os.path.exists(os.environ["RAN_LOG"] + end) for end in (".go", "." + sys.argv[1])):
        break
pathlib.Path("out.json").write_text('{"value": 1.5}')
"""


@pytest.fixture
def project(fake: Fake, tmp_path: Path) -> PbsProject:
    """A project, and an ssh to nodes that are all this one."""
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    return PbsProject(tmp_path / "project")


def selects(fake: Fake) -> list[str]:
    """The select statements of all jobs so far."""
    return [word for call in fake.calls("qsub") for word in call if word.startswith("select=")]


@pytest.mark.parametrize("option", ["--pbs-array-jobs", "--verbose"])
def test_a_job_per_member(fake: Fake, project: PbsProject, option: str) -> None:
    resources = {"tasks": 2, "cpus_per_task": 2, "mem_mb": 200, "runtime": 5}
    project.ensemble(resources=resources, run_settings={"exe": "./code.py", "run_command": "none"})
    project.config["models"] = {"alone": {"run_settings": {"exe": "true"}}}
    done = project.run(option)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.statuses() == ["completed"] * 3
    arrays = [call for call in fake.calls("qsub") if "-J" in call]
    assert (len(arrays), len(fake.calls("qsub"))) == ((1, 2) if "array" in option else (0, 4))
    assert set(selects(fake)) == {
        "select=1:ncpus=4:mpiprocs=2:mem=200mb",
        "select=1:ncpus=1:mpiprocs=1:mem=1000mb",  # what the profile says
    }
    assert {"walltime=00:05:00", "walltime=00:30:00"} <= {w for c in fake.calls("qsub") for w in c}
    assert project.run(profile="local").returncode == 0
    assert set(project.ran().values()) == {1}


def test_batches_on_two_nodes(fake: Fake, project: PbsProject) -> None:
    """Two jobs, members on both nodes of each, and the one that failed alone runs again."""
    failing = {"exe": "bash", "exe_args": ["-c", "[ {{ x }} != 3 -o -e {{ '$RAN_LOG' }}.go ] && "
               "echo {{ x }} >> $RAN_LOG && sleep 0.5 && touch out.json"]}  # fmt: skip
    project.ensemble(
        params={"x": list(range(10))},
        run_settings=failing,
        resources={"cpus_per_task": 2, "mem_mb": 100},
        batch_settings={"size": 5, "nodes": 2, "runtime": 7, "batch_args": {"ncpus": 4}},
    )
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(fake.calls("qsub")) == 2
    assert selects(fake) == ["select=2:ncpus=4:mpiprocs=4:mem=200mb"] * 2
    assert all({"place=scatter", "walltime=00:07:00"} <= set(c) for c in fake.calls("qsub"))
    assert [event["slots"] for event in project.events("start")] == [4, 4]
    assert {e["nodes"] for e in project.events("end")} == {socket.gethostname(), "node1"}
    assert len((fake.home / "ssh.log").read_text().splitlines()) == 2
    assert sorted(project.statuses()) == ["completed"] * 9 + ["failed"]
    (project.folder / "ran.log.go").touch()
    assert project.run().returncode == 0
    assert sorted(project.ran()) == sorted(map(str, range(10)))
    assert set(project.ran().values()) == {1}
    assert len(fake.calls("qsub")) == 3


def test_a_run_waits_for_no_timer(
    fake: Fake, project: PbsProject, reap: list[subprocess.Popen[str]]
) -> None:
    project.ensemble()
    process = project.start("--max-jobs-per-timespan", "10000/1h")
    reap.append(process)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told


def test_a_batch_has_room_for_a_member_if_nothing_is_said(fake: Fake, project: PbsProject) -> None:
    project.ensemble(
        resources={"cpus_per_task": 3, "mem_mb": 100, "gpu": 1},
        batch_settings={"batch_args": {"mem": "1gb", "exclusive": None}},
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert selects(fake) == ["select=1:ncpus=3:mpiprocs=3:mem=1gb:ngpus=1"]


@pytest.mark.parametrize("how", ["qdel", "kill -9"])
def test_a_batch_that_ends_early_loses_only_what_ran(
    fake: Fake, project: PbsProject, how: str
) -> None:
    project.write("code.py", SLOW, mode=0o755)
    project.ensemble(batch_settings={"batch_args": {"ncpus": 2}})
    process = project.start()
    wait_for(lambda: len(project.ran()) == 2, process)
    if how == "qdel":
        subprocess.run(["qdel", *fake.in_queue()], check=True)
    else:
        os.kill(runner(project), signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode != 0, out
    wait_for(lambda: not fake.in_queue())
    wait_for(lambda: project.statuses().count("cancelled") == 3)  # one did not start
    (project.folder / "ran.log.go").touch()
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.statuses() == ["completed"] * 3
    assert sorted(project.ran().values()) == [1, 2, 2]


def runner(project: PbsProject) -> int:
    """The process that runs a batch of this project; it has a child of the same name."""
    asked = subprocess.run(["pgrep", "-f", "scripts/batch.py results/exp"], capture_output=True)
    found = [int(pid) for pid in asked.stdout.split() if is_python_in(project.folder, int(pid))]
    return min(found)


def is_python_in(folder: Path, pid: int) -> bool:
    """Tell whether a process is a Python in this folder."""
    process = Path("/proc", str(pid))
    try:
        name = (process / "comm").read_text()
    except OSError:  # another test's, which has ended
        return False
    return name.startswith("python") and (process / "cwd").resolve() == folder.resolve()


def test_members_of_a_killed_run_are_taken_over_whatever_ended_meanwhile(
    fake: Fake, project: PbsProject
) -> None:
    """The next run plans for fewer members; those that still run are the same jobs."""
    project.write("code.py", SLOW, mode=0o755)
    project.write("ran.log.1", "")
    project.ensemble()
    process = project.start()
    wait_for(lambda: len(project.ran()) == 3, process)
    wait_for(lambda: len(fake.in_queue()) == 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    second = project.start()
    wait_for(lambda: len(fake.calls("qselect")) == 1, second)
    calls = len(fake.calls("qstat"))
    wait_for(lambda: len(fake.calls("qstat")) >= calls + 2, second)
    project.write("ran.log.go", "")
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    assert out.count("Taking over PBS job") == 2
    assert set(project.ran().values()) == {1}


def test_batches_of_a_killed_run_are_taken_over_though_they_got_further(
    fake: Fake, project: PbsProject
) -> None:
    """Plans are named by their content; one that may be under way keeps its name."""
    project.write("code.py", SLOW, mode=0o755)
    project.write("ran.log.0", "")
    project.ensemble(params={"x": list(range(7))}, batch_settings={"size": 3})
    process = project.start()
    wait_for(lambda: len(project.ran()) == 4, process)  # the first batch is at its second member
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    preview = project.run("--dry-run")
    assert preview.returncode == 0, preview.stdout + preview.stderr
    second = project.start()
    wait_for(lambda: len(fake.calls("qselect")) == 1, second)
    calls = len(fake.calls("qstat"))
    wait_for(lambda: len(fake.calls("qstat")) >= calls + 2, second)
    project.write("ran.log.go", "")
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    assert out.count("Taking over PBS job") == 3
    assert len(fake.calls("qsub")) == 3
    assert len(project.ran()) == 7
    assert set(project.ran().values()) == {1}
    assert set(project.statuses()) == {"completed"}
    assert [event["skipped"] for event in project.events("start")] == [0, 0, 0]


def test_members_know_their_run(fake: Fake, project: PbsProject) -> None:
    project.ensemble()
    assert project.run().returncode == 0
    (run,) = {row["run"] for row in project.table()}
    assert run
    assert not list(project.folder.glob(".snakemake/pbs_logs/environment.*"))


def test_a_passed_variable_reaches_jobs_and_batches(
    fake: Fake, project: PbsProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "very secret")
    run = {"exe": "printenv", "exe_args": ["NAME"], "env_vars": {"NAME": {"from_env": "TOKEN"}}}
    project.ensemble("alone", run_settings=run, outputs=[], params={"x": [1]})
    project.ensemble("packed", run_settings=run, outputs=[], batch_settings={"nodes": 2})
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    told = [path.read_text() for path in project.results.glob("*/*/run.out")]
    assert told == ["very secret\n"] * 4
