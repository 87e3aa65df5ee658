"""What goes wrong on a cluster: told with its reason, nothing counted as done, the rest goes on."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from slurm_cluster import Cluster, until
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

CODE = """\
#!/bin/bash
echo "$(basename "$PWD")" >> "$RAN_LOG"
top=$(dirname "$RAN_LOG")
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
echo $job > "$top/$1.job"
[ -e "$top/healed" ] && exit 0
case $1 in
  good) ;;
  memory) python3 -c 'import time; b = b"x" * (900 << 20); time.sleep(100)' ;;
  *) sleep 100 ;;
esac
"""
WAITING = """\
#!/bin/bash
echo "$(basename "$PWD")" >> "$RAN_LOG"
until [ -e "$(dirname "$RAN_LOG")/go" ]; do sleep 0.1; done
"""


def waiting(project: SlurmProject, count: int = 2) -> None:
    """An ensemble whose members run until there is a file `go`."""
    project.write("waiting.sh", WAITING, mode=0o755)
    settings = {"exe": "./waiting.sh"}
    project.ensemble(params={"x": list(range(count))}, outputs=[], run_settings=settings)


def outcome(project: SlurmProject, name: str = "sweep") -> dict[str, tuple[str, str]]:
    return {row["x"]: (row["status"], row["reason"]) for row in project.table(name)}


def fail_node(slurm: Cluster, name: str) -> None:
    """As if the node lost its power: its daemons and all they run are gone."""
    slurm.stop(name, signal.SIGKILL)
    # The controller would see it after SlurmdTimeout. Before the rest: a step daemon that sees its
    # command killed would still report a failed job.
    slurm.run("scontrol", "update", f"nodename={name}", "state=down", "reason=power")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _runs_on(entry, name, slurm):
            os.kill(int(entry.name), signal.SIGKILL)


def _runs_on(entry: Path, node: str, slurm: Cluster) -> bool:
    try:
        words = (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return (
        f"SLURMD_NODENAME={node}".encode() in words and f"SLURM_CONF={slurm.conf}".encode() in words
    )


def test_each_fault_has_its_reason_and_the_next_run_goes_on(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    project.write("faulty.sh", CODE, mode=0o755)
    place = "--no-requeue --nodelist={{ 'n2' if x == 'node' else 'n1' }}"
    project.ensemble(
        params={"x": ["good", "memory", "time", "cancel", "node"]},
        outputs=[],
        run_settings={"exe": "./faulty.sh", "exe_args": ["{{ x }}"]},
        resources={"mem_mb": 800, "runtime": 5, "slurm_extra": place},
    )
    project.ensemble("nowhere", params={"x": [1]}, resources={"queue": "no-such"})
    process = project.start()
    reap.append(process)
    jobs = {x: project.folder / f"{x}.job" for x in ("memory", "time", "cancel", "node")}
    until(lambda: all(path.exists() for path in jobs.values()), "the members to start")
    slurm.run("scontrol", "update", f"jobid={jobs['time'].read_text().strip()}", "EndTime=now+5")
    slurm.run("scancel", jobs["cancel"].read_text().strip())
    fail_node(slurm, "n2")
    told, _ = process.communicate(timeout=200)

    assert process.returncode == 1
    found = outcome(project)
    assert found["good"] == ("completed", "")
    assert found["memory"][0] in ("killed", "failed")
    assert found["memory"][1].endswith("(Slurm: OUT_OF_MEMORY: ask for more `mem_mb`)")
    # in the member's own words, or if Slurm left it no time for them, in the run's
    why = ("TimeLimit", "TIMEOUT: ask for more `runtime`")
    reasons = [f"stopped by SIGTERM (Slurm: {reason})" for reason in why]
    assert found["time"] in [("cancelled", reason) for reason in reasons]
    assert found["cancel"][0] == "cancelled"
    lost = "started and never told how it ended (Slurm: NODE_FAIL: its node was lost)"
    assert found["node"] == ("killed", lost)
    refused, why = outcome(project, "nowhere")["1"]
    assert (refused, "invalid partition" in why.lower()) == ("cancelled", True)
    assert why.startswith("did not start (Slurm: not submitted: ")
    assert "invalid partition" in told.lower()
    assert "cancelled: did not start (Slurm: not submitted: " in told
    assert "NODE_FAIL" in told

    slurm.settle()
    (project.folder / "healed").touch()
    del project.config["ensembles"]["nowhere"]["resources"]
    project.finish()
    again = {x: project.ran()[project.member(x=x).name] for x in found}
    assert again == {"good": 1, "memory": 2, "time": 2, "cancel": 2, "node": 2}


UNLUCKY = """\
#!/bin/bash
echo "$(basename "$PWD")" >> "$RAN_LOG"
top=$(dirname "$RAN_LOG")
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
echo $job > "$top/$1.job"
[ ! -e "$top/$1.once" ] || exit 0
touch "$top/$1.once"
until [ -e "$top/$1.go" ]; do sleep 0.1; done
"""


def test_what_is_not_the_end_is_waited_for_and_told_once(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    """Held, suspended, requeued, preempted; and a job that is warned, one that can never run."""
    project.write("unlucky.sh", UNLUCKY, mode=0o755)
    project.ensemble(
        params={"x": ["held", "suspended", "requeued", "preempted", "near", "never"]},
        outputs=[],
        run_settings={"exe": "./unlucky.sh", "exe_args": ["{{ x }}"]},
        resources={
            "mem_mb": "{{ 2500 if x == 'preempted' else 100 }}",
            "runtime": "{{ {'near': 20, 'never': 100}.get(x, 5) }}",
            "slurm_extra": "--requeue {{ '--hold' if x == 'held' else '' }}"
            " --nodelist={{ 'n2' if x == 'preempted' else 'n1' }}",
        },
    )
    process = project.start()
    reap.append(process)
    started = ("suspended", "requeued", "preempted", "near")
    until(lambda: all((project.folder / f"{x}.job").exists() for x in started), "the members")
    job = {x: (project.folder / f"{x}.job").read_text().strip() for x in started}
    slurm.run("scontrol", "update", f"jobid={job['near']}", "EndTime=now+80")
    slurm.run("scontrol", "suspend", job["suspended"])
    slurm.run("scontrol", "requeue", job["requeued"])
    urgent = ("--partition=urgent", "--nodelist=n2", "--mem=3000", "--time=1")
    slurm.submit("sleep 3", *urgent, cwd=project.folder)
    for words in ("is waiting: JobHeldUser", "is waiting: SUSPENDED", "can never run here"):
        until(lambda words=words: words in log_of(project), words)
    held = slurm.run("squeue", "-h", "-o", "%i", "--name=" + name_of(project, slurm, "JobHeldUser"))
    slurm.run("scontrol", "release", held)
    slurm.run("scontrol", "resume", job["suspended"])
    for x in ("held", "suspended"):
        (project.folder / f"{x}.go").touch()
    told, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    found = outcome(project)
    near = ("cancelled", "stopped by SIGTERM (Slurm: TIMEOUT: ask for more `runtime`)")
    assert found == {
        **dict.fromkeys(("held", "suspended", "requeued", "preempted"), ("completed", "")),
        "near": near,
        "never": ("cancelled", "did not start (Slurm: can never run here (PartitionTimeLimit))"),
    }
    ran = {x: project.ran()[project.member(x=x).name] for x in found}
    assert ran == {"held": 1, "suspended": 1, "requeued": 2, "preempted": 2, "near": 1, "never": 0}
    assert told.count("JobHeldUser") == told.count("SUSPENDED") == 1
    assert "can never run here (PartitionTimeLimit)" in told
    assert not slurm.jobs()


def name_of(project: SlurmProject, slurm: Cluster, reason: str) -> str:
    """The name of the job that waits for a reason."""
    lines = slurm.run("squeue", "-h", "-o", "%r %j").splitlines()
    return next(line.split()[1] for line in lines if line.split()[0] == reason)


def test_a_full_queue_is_waited_for_while_the_run_has_jobs_in_it(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    waiting(project, count=3)
    project.config["ensembles"]["sweep"]["resources"] = {"mem_mb": "{{ 100 + x }}"}  # no array
    throttled = "JobSubmitPlugins=throttle\nSchedulerParameters=jobs_per_user_per_hour=1"
    slurm.configure(throttled)  # or none
    try:
        process = project.start()
        reap.append(process)
        until(lambda: "takes no more jobs now" in log_of(project), "the limit")
        assert len(project.ran()) <= 1
    finally:
        slurm.configure()
    (project.folder / "go").touch()
    told, _ = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert sorted(project.ran().values()) == [1] * 3


def test_ctrl_c_cancels_the_jobs_and_those_of_a_killed_run_are_taken_over(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    waiting(project)
    stopped = project.start()
    reap.append(stopped)
    until(lambda: len(project.ran()) == 2, "the members to start")
    stopped.send_signal(signal.SIGINT)
    stopped.communicate(timeout=100)
    until(lambda: not slurm.jobs(), "an empty queue")
    assert stopped.returncode
    assert {status for status, _ in outcome(project).values()} <= {"cancelled", "running"}
    assert "2 cancelled" in project.run("status", profile="local").stdout

    killed = project.start()
    reap.append(killed)
    until(lambda: sum(project.ran().values()) == 4, "the members to start")
    killed.kill()
    killed.wait()
    assert len(slurm.jobs()) == 2
    again = project.start()
    reap.append(again)
    until(lambda: log_of(project).count("Taking over Slurm job") == 2, "the jobs to be taken over")
    assert len(slurm.jobs()) == 2
    (project.folder / "go").touch()
    told, _ = again.communicate(timeout=100)
    assert again.returncode == 0, told
    assert set(project.ran().values()) == {2}


def test_a_controller_that_is_away_is_waited_for(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    """What ends meanwhile is seen, by the jobs' markers; what is to be submitted waits."""
    waiting(project, count=4)
    process = project.start("--jobs", "2")
    reap.append(process)
    until(lambda: len(project.ran()) == 2, "the members to start")
    slurm.stop("slurmctld")
    until(lambda: "Slurm gives no answer" in log_of(project), "the run to see it")
    (project.folder / "go").touch()
    until(lambda: set(outcome_on_disk(project)) == {"completed"}, "the members to end")
    until(lambda: "Slurm does not answer" in log_of(project), "the run to try the others")
    slurm.start("slurmctld")
    told, _ = process.communicate(timeout=200)
    assert process.returncode == 0, told
    assert set(outcome(project).values()) == {("completed", "")}
    assert sorted(project.ran().values()) == [1] * 4


def log_of(project: SlurmProject) -> str:
    """What Snakemake has put into its log files so far."""
    return "".join(p.read_text() for p in project.folder.glob(".snakemake/log/*.log"))


def outcome_on_disk(project: SlurmProject) -> list[str]:
    paths = project.results.glob("sweep/*/status.json")
    return [json.loads(path.read_text())["status"] for path in paths]


def test_a_job_that_slurm_has_lost_is_given_up(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    waiting(project)
    process = project.start()
    reap.append(process)
    until(lambda: len(project.ran()) == 2, "the members to start")
    slurm.stop("slurmctld", signal.SIGKILL)
    slurm.forget()  # as after a crash with its state on the lost disk
    slurm.start("slurmctld")
    told, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "unknown to Slurm" in told
    (project.folder / "go").touch()
    project.finish()
    assert set(project.ran()) == {path.name for path in project.results.glob("sweep/*/")}
