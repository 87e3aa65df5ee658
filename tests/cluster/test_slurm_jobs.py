"""Slurm jobs without Snakemake: which commands are submitted as they are, and what they do."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ensemake.cluster import slurm_jobs as plainjobs
from ensemake.cluster.slurm_jobs import submit_plainly


def executor(array_jobs: tuple[str, ...] = ()) -> Any:
    workflow = SimpleNamespace(execution_settings=SimpleNamespace(latency_wait=1))
    made = SimpleNamespace(
        workflow=workflow, array_jobs=set(array_jobs), format_job_exec=lambda job: "snakemake"
    )
    submit_plainly(made, "ENSEMAKE_RUN", "this run")
    return made


def job(log: str = "logs/a.log", command: str = "echo $ENSEMAKE_RUN > {log}") -> Any:
    return SimpleNamespace(
        log=[log] if log else [],
        input=["in.generated"],
        output=["a.done"],
        rule=SimpleNamespace(name="sweep"),
        wildcards=["a"],
        threads=2,
        shellcmd=command.format(log=log),
    )


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plainjobs.plain, "is_plain", lambda job, workflow: "conda" not in job.log)
    (tmp_path / "in.generated").touch()
    return tmp_path


def test_a_plain_command_is_the_job() -> None:
    Path("a.done").touch()  # of another run, which may be collecting now
    line = executor().format_job_exec(job())
    assert line == "exec bash logs/a.job.sh"
    done = subprocess.run(["sh", "-c", line], check=False)
    assert done.returncode == 0
    assert Path("logs/a.log").read_text() == "this run\n"
    assert Path("a.done").exists()


def test_failures_and_inputs_that_are_missing_fail_the_job() -> None:
    submit = executor().format_job_exec
    assert subprocess.run(submit(job(command="false | true; touch on")), shell=True).returncode == 1
    assert not Path("on").exists()
    assert subprocess.run(submit(job(command="exit 7")), shell=True).returncode == 7
    os.remove("in.generated")
    assert subprocess.run(submit(job()), shell=True, stderr=subprocess.PIPE).returncode == 1


def test_sigterm_is_the_commands_to_answer() -> None:
    code = "trap 'echo stopped > told; exit 143' TERM; touch up; while :; do sleep 0.05; done"
    line = executor().format_job_exec(job(command=f'bash -c "{code}"'))
    process = subprocess.Popen(["sh", "-c", line], start_new_session=True)
    while not Path("up").exists():
        assert process.poll() is None
    os.killpg(process.pid, 15)  # Slurm tells all processes of a job
    assert process.wait() == 143
    assert Path("told").read_text() == "stopped\n"


@pytest.mark.parametrize(
    ("array_jobs", "log"),
    [(("sweep",), "logs/a.log"), ((), ""), ((), "conda"), ((), "a $folder/a.log")],
)
def test_all_else_goes_as_before(array_jobs: tuple[str, ...], log: str) -> None:
    assert executor(array_jobs).format_job_exec(job(log)) == "snakemake"
