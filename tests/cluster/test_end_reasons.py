"""What a cluster says of jobs it ended, in the members' status; and patience with Slurm."""

import asyncio
import fcntl
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as slurm

from ensemake.cluster.end_reasons import cluster_reason, explain
from ensemake.cluster.slurm_polling import Patient, be_patient
from ensemake.member.state import read_status, state


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "SLURM-job '7' failed due to a node failure, SLURM status is: 'NODE_FAIL'. Failed "
            "nodes will be excluded from future job submissions.",
            "Slurm: NODE_FAIL",
        ),
        (
            "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'. Detailed failure reason "
            "unavailable (status command is not 'sacct').",
            "Slurm: OUT_OF_MEMORY",
        ),
        ("SLURM-job '7' failed, SLURM status is: 'FAILED'. Reason: Unknown.", ""),
        (
            "PBS job 3.server: walltime limit exceeded: ask for more `runtime`. ",
            "PBS: walltime limit exceeded: ask for more `runtime`",
        ),
        ("PBS job 3.server: exit code 1. ", ""),
        (
            "PBS job 3.server: exit code 137: killed by SIGKILL. ",
            "PBS: exit code 137: killed by SIGKILL",
        ),
        ("Not submitted: no such queue. ", ""),
        ("", ""),
    ],
)
def test_reasons_are_found_in_the_plugins_messages(message: str, reason: str) -> None:
    assert cluster_reason(message) == reason


def test_a_kill_for_memory_is_found_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "7.log"
    message = "SLURM-job '7' failed, SLURM status is: 'FAILED'. Reason: Unknown."
    for line in (
        "slurmstepd-n1: error: StepId=2.0 exceeded memory limit (981417984 > 838860800), killed",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the step tasks",
    ):
        log.write_text(f"Building DAG of jobs...\n{line}\nsrun: error: n1: task 0: Killed\n")
        assert cluster_reason(message, [str(log)]) == "Slurm: OUT_OF_MEMORY"
    log.write_text("the code says: exceeded memory limit\n")
    assert cluster_reason(message, [str(log), str(tmp_path / "gone.log")]) == ""


def member(folder: Path, status: dict[str, object] | None = None, lock: str = "") -> Path:
    folder.mkdir()
    (folder / ".lock").write_text(lock)
    if status is not None:
        whole = {"exit_code": 137, "digest": "d", "run": "now", **status}
        (folder / "status.json").write_text(json.dumps(whole))
    return folder


def test_only_members_that_were_killed_get_the_reason(tmp_path: Path) -> None:
    begun = "d 2 n1 4711 2026-11-24T12:00:00+0000\n"
    silent = member(tmp_path / "silent", lock=begun)
    early = member(tmp_path / "early")
    killed = member(tmp_path / "killed", {"status": "failed", "reason": "killed by SIGKILL"}, begun)
    before = member(
        tmp_path / "before",
        {"status": "failed", "reason": "killed by SIGKILL", "run": "old"},
        begun,
    )
    failed = member(tmp_path / "failed", {"status": "failed", "reason": "exit code 1"}, begun)
    done = member(tmp_path / "done", {"status": "completed", "exit_code": 0, "reason": ""}, begun)
    alive = member(tmp_path / "alive", lock=begun)
    stopped = {"status": "cancelled", "reason": "stopped by SIGTERM"}
    stopped_by = member(tmp_path / "stopped", stopped, begun)
    folders = [stopped_by, silent, early, killed, before, failed, done, alive, tmp_path / "absent"]
    with (alive / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for _ in range(2):  # an executor may tell it twice
            explain(folders, "Slurm: OUT_OF_MEMORY", "now")
    told = {path.name: read_status(path) for path in folders}
    reasons = {name: status.reason if status else None for name, status in told.items()}
    assert reasons == {
        "stopped": "stopped by SIGTERM (Slurm: OUT_OF_MEMORY)",
        "silent": "started and never told how it ended (Slurm: OUT_OF_MEMORY)",
        "early": None,
        "killed": "killed by SIGKILL (Slurm: OUT_OF_MEMORY)",
        "before": "killed by SIGKILL",
        "failed": "exit code 1",
        "done": "",
        "alive": None,
        "absent": None,
    }
    kind, status = state(silent, "d", [])
    assert kind == "killed"
    assert status is not None
    assert (status.exit_code, status.attempt, status.host) == (None, 2, "n1")


def test_a_member_that_told_nothing_has_the_exit_code_of_its_job(tmp_path: Path) -> None:
    begun = "d 2 n1 4711 2026-11-24T12:00:00+0000 77\n"
    silent = member(tmp_path / "silent", lock=begun)
    killed = member(tmp_path / "killed", {"status": "failed", "reason": "killed by SIGKILL"}, begun)
    explain([silent, killed], "PBS: exit code 1", "now")  # of a batch: not the member's
    assert read_status(silent) is None
    explain([silent, killed], "PBS: exit code 137: killed by SIGKILL", "now")
    told, own = read_status(silent), read_status(killed)
    assert told is not None
    assert own is not None
    assert (told.status, told.exit_code) == ("killed", 137)
    assert told.reason.endswith("(PBS: exit code 137: killed by SIGKILL)")
    assert own.reason == "killed by SIGKILL"


def ask(
    answers: list[dict[str, str] | None], goes_on: bool = True, submitted: str = ""
) -> list[dict[str, str] | None]:
    """Ask as the plugin does, with these answers of squeue, and return what it is told."""
    left = iter(answers)

    async def squeue(command: str, log: object) -> tuple[dict[str, str] | None, float | None]:
        found = next(left)
        return found, None if found is None else 0.1

    async def run() -> list[dict[str, str] | None]:
        patient, log = Patient(squeue, lambda: goes_on), logging.getLogger("test")
        told = []
        if submitted:
            patient.expect(submitted)
        for _ in range(len(answers) - (answers.count(None) if goes_on else 0)):
            told.append((await patient("squeue", log))[0])
        return told

    return asyncio.run(run())


def test_no_answer_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensemake.cluster.slurm_polling.PAUSE_S", 0)
    assert ask([None, None, {"1": "RUNNING"}]) == [{"1": "RUNNING"}]
    assert ask([None], goes_on=False) == [None]  # Ctrl-C is not waited out


def test_a_lost_job_fails_and_one_that_ended_is_forgotten() -> None:
    both = {"1": "RUNNING", "2": "RUNNING"}
    assert ask([both, {"2": "COMPLETED"}, {}, {}, {}]) == [
        both,
        {"2": "COMPLETED"},  # 1 is missing once: perhaps the controller is just starting
        {"1": "FAILED"},
        {},
        {},
    ]
    assert ask([both, {}, both, {}, both]) == [both, {}, both, {}, both]


def test_a_job_that_was_never_listed_is_missed() -> None:
    assert ask([{}, {}, {}], submitted="1") == [{}, {"1": "FAILED"}, {}]
    assert ask([{}, {}, {}], submitted="1_2") == [{}, {}, {}]


@pytest.mark.parametrize(("told", "used"), [(7, 7), (None, 300)])
def test_the_age_of_jobs_is_asked_once(
    told: int | None, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([told])
    for name in ("get_min_job_age", "query_job_status"):  # what is replaced is put back
        monkeypatch.setattr(slurm, name, getattr(slurm, name))
    monkeypatch.setattr(slurm, "get_min_job_age", lambda: next(answers))
    be_patient(SimpleNamespace(report_job_submission=None))
    assert [slurm.get_min_job_age() for _ in range(3)] == [used] * 3
