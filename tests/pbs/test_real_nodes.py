"""Several nodes of a real PBS; skipped where fewer than two are free.

The nodes must accept `ssh` from one another, as for any batch of several nodes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PbsProject, wait_for
from real import free_nodes, in_queue, server_answers, shared_folder

CPUS = 2  # of each of two nodes

pytestmark = [
    pytest.mark.pbs,
    pytest.mark.xdist_group("pbs-nodes"),
    pytest.mark.skipif(
        not server_answers() or free_nodes(CPUS) < 2, reason="no PBS with two free nodes"
    ),
]

# Tells where and when it ran. If it finds `deadly`, it kills the agent that started it, once.
CODE = """\
#!/usr/bin/env python3
import json, os, pathlib, signal, socket, time
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(pathlib.Path.cwd().name + "\\n")
began = time.time()
runner = int(pathlib.Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
deadly = pathlib.Path(os.environ["RAN_LOG"]).with_name("deadly")
command = pathlib.Path(f"/proc/{runner}/cmdline").read_bytes()
if b"ensemake.batch.node_agent" in command and deadly.exists():
    deadly.unlink()
    os.kill(runner, signal.SIGKILL)
    time.sleep(60)
time.sleep(1)
seen = {"host": socket.gethostname(), "began": began, "ended": time.time()}
pathlib.Path("out.json").write_text(json.dumps(seen))
"""
PATIENT = f"""
log = pathlib.Path(os.environ["RAN_LOG"])
while len(log.read_text().split()) > {2 * CPUS} and not log.with_name("go").exists():
    time.sleep(0.1)
"""
BATCH = {"nodes": 2, "runtime": 5, "batch_args": {"ncpus": CPUS}}
LAUNCHERS = [name for name in ("mpirun", "mpirun.mpich", "mpirun.openmpi") if shutil.which(name)]


@pytest.fixture
def project() -> Iterator[PbsProject]:
    """A project in a folder that the nodes see."""
    with shared_folder() as folder:
        project = PbsProject(folder / "a project")
        project.write("code.py", CODE, mode=0o755)
        yield project


@pytest.fixture(params=LAUNCHERS or ["none"])
def mpirun(
    request: pytest.FixtureRequest, project: PbsProject, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Have each MPI of this machine once as `mpirun`."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip("no mpirun")
    project.write("bin/mpirun", f'#!/bin/sh\nexec {program} "$@"\n', mode=0o755)
    monkeypatch.setenv("PATH", f"{project.folder}/bin{os.pathsep}{os.environ['PATH']}")
    return str(request.param)


def seen(project: PbsProject) -> dict[str, list[tuple[float, float]]]:
    """When members ran, by host."""
    found = defaultdict(list)
    for path in project.results.glob("sweep/*/out.json"):
        told = json.loads(path.read_text())
        found[told["host"]].append((told["began"], told["ended"]))
    return found


def log_of(project: PbsProject) -> str:
    """What Snakemake has put into its log files so far."""
    return "".join(path.read_text() for path in project.folder.glob(".snakemake/log/*.log"))


def most_at_once(times: list[tuple[float, float]]) -> int:
    """How many intervals overlap at most."""
    return max(sum(began <= start < ended for began, ended in times) for start, _ in times)


def hosts(project: PbsProject) -> dict[str, Counter[str]]:
    """The hosts that each member's processes have printed."""
    outputs = project.results.glob("sweep/*/run.out")
    return {path.parent.name: Counter(path.read_text().split()) for path in outputs}


def test_a_batch_fills_both_nodes_and_no_more(project: PbsProject) -> None:
    project.ensemble(params={"x": list(range(10))}, batch_settings=BATCH)
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [event["slots"] for event in project.events("start")] == [2 * CPUS]
    assert [most_at_once(times) for times in seen(project).values()] == [CPUS] * 2
    nodes = {event["member"]: event["nodes"] for event in project.events("end")}
    told = {path.name: path for path in project.results.glob("sweep/*") if path.is_dir()}
    assert {name: project.status(path)["host"] for name, path in told.items()} == nodes
    assert all((path / "run.out").exists() for path in told.values())


def test_a_batch_of_unequal_nodes(project: PbsProject) -> None:
    """The second node has the CPUs for two, and memory for one."""
    select = "1:ncpus=2:mem=200mb+1:ncpus=2:mem=100mb"
    batch = {**BATCH, "batch_args": {"select": select}}
    project.ensemble(params={"x": list(range(6))}, resources={"mem_mb": 100}, batch_settings=batch)
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [event["slots"] for event in project.events("start")] == [3]
    assert sorted(most_at_once(times) for times in seen(project).values()) == [1, 2]


def test_a_killed_agent_costs_what_ran_there_and_nothing_runs_twice(project: PbsProject) -> None:
    project.ensemble(params={"x": list(range(10))}, batch_settings=BATCH)
    project.write("deadly", "")
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(project.events("lost")) == 1
    lost = {row["member"] for row in project.table() if row["status"] != "completed"}
    assert 1 <= len(lost) <= CPUS
    again = project.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert {name for name, times in project.ran().items() if times > 1} <= lost
    assert project.statuses() == ["completed"] * 10


def test_qdel_ends_the_members_on_both_nodes(project: PbsProject) -> None:
    project.write("code.py", CODE.replace("sleep(1)", "sleep(300)"), mode=0o755)
    project.ensemble(params={"x": list(range(5))}, batch_settings=BATCH)
    process = project.start()
    wait_for(lambda: len(project.ran()) == 2 * CPUS, process)
    subprocess.run(["qdel", *in_queue(project.folder)], check=True)
    process.communicate(timeout=120)
    assert process.returncode == 1
    assert sorted(project.statuses()) == ["cancelled"] * 5
    reasons = sorted(row["reason"].startswith("did not start (PBS: ") for row in project.table())
    assert reasons == [False] * 2 * CPUS + [True]


def test_batches_of_a_killed_run_are_taken_over(project: PbsProject) -> None:
    """Though they got further meanwhile: all but the first members wait for a file `go`."""
    project.write("code.py", CODE.replace("time.sleep(1)", PATIENT), mode=0o755)
    project.ensemble(params={"x": list(range(10))}, batch_settings={**BATCH, "size": 5, "nodes": 1})
    process = project.start()
    wait_for(lambda: len(project.ran()) > 2 * CPUS, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    second = project.start()
    wait_for(lambda: log_of(project).count("Taking over PBS job") == 2, second)
    project.write("go", "")
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 0, out
    assert sorted(project.ran().values()) == [1] * 10
    assert project.statuses() == ["completed"] * 10


def test_an_mpi_member_of_two_nodes(project: PbsProject, mpirun: str) -> None:
    project.ensemble(
        params={"x": [1]},
        run_settings={"exe": "hostname"},
        resources={"nodes": 2, "tasks": 2 * CPUS, "mem_mb": 50},
        outputs=[],
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = hosts(project).values()
    assert list(found.values()) == [CPUS] * 2


@pytest.mark.parametrize(("tasks", "slots", "width"), [(CPUS, 2, 1), (2 * CPUS, 1, 2)])
def test_mpi_members_of_a_batch_have_hosts_of_their_own(
    project: PbsProject, mpirun: str, tasks: int, slots: int, width: int
) -> None:
    project.ensemble(
        params={"x": [1, 2, 3, 4]},
        run_settings={"exe": "bash", "exe_args": ["-c", "hostname; sleep 1"]},
        resources={"tasks": tasks},
        outputs=[],
        batch_settings=BATCH,
    )
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [event["slots"] for event in project.events("start")] == [slots]
    nodes = {event["member"]: event["nodes"].split(",") for event in project.events("end")}
    assert {len(names) for names in nodes.values()} == {width}
    assert hosts(project) == {
        member: Counter(dict.fromkeys(names, CPUS)) for member, names in nodes.items()
    }
    assert len({name for names in nodes.values() for name in names}) == 2


def test_the_local_profile_uses_the_allocation_around_it(project: PbsProject) -> None:
    """Batches have both nodes, other members the CPUs of the first."""
    project.ensemble(params={"x": list(range(8))}, batch_settings={})
    project.ensemble("alone", params={"x": list(range(4))})
    project.save()
    words = " ".join(f"'{word}'" for word in project.command(profile="local"))
    lines = ["#!/bin/bash", f"cd '{project.folder}'", f"export RAN_LOG='{project.folder}/ran.log'"]
    script = project.write("job.sh", "\n".join([*lines, f"PATH='{os.environ['PATH']}'", words, ""]))
    select = ["-l", f"select=2:ncpus={CPUS}", "-l", "place=scatter", "-l", "walltime=300"]
    block = ["-W", "block=true", "-j", "oe", "-o", str(project.folder / "job.log")]
    done = subprocess.run(["qsub", "-N", "alloc", *select, *block, str(script)], timeout=120)
    assert done.returncode == 0, Path(project.folder, "job.log").read_text()
    assert [event["slots"] for event in project.events("start")] == [2 * CPUS]
    assert [most_at_once(times) for times in seen(project).values()] == [CPUS] * 2
    alone = [project.status(path.parent) for path in project.results.glob("alone/*/status.json")]
    assert len({status["host"] for status in alone}) == 1
