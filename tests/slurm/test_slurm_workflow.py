"""The workflow on the real Slurm: one job per member, or many members in one."""

import pytest
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

GROWING = """\
#!/bin/bash
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
scontrol show job $job >> jobs.txt
[ -e second ] || { touch second; exit 1; }
"""


def test_resources_reach_the_job(project: SlurmProject) -> None:
    project.config["models"] = {
        "hello_world": {"run_settings": {"exe": "echo", "exe_args": ["Hello World"]}}
    }
    wide = {"nodes": 2, "tasks": 4, "cpus_per_task": 2, "mem_mb": 600, "runtime": 7}
    project.sized("wide", resources={**wide, "queue": "other"})
    project.sized("gpus", resources={"gpu": 2, "tasks": 1, "cpus_per_task": 2, "mem_mb": 700})
    project.sized("launched")["run_settings"]["run_command"] = "srun"
    batch = {"nodes": 2, "runtime": 9, "queue": "other", "batch_args": {"nice": 7}}
    project.sized("packed", batch_settings={**batch, "preamble": ["export SEEN=1"]})
    project.write("growing.sh", GROWING, mode=0o755)
    project.ensemble(
        "growing",
        params={"x": [1]},
        outputs=[],
        run_settings={"exe": "./growing.sh"},
        resources={"mem_mb": "{{ 700 * attempt }}", "runtime": "{{ 3 * attempt }}"},
    )
    project.finish("--retries", "1")

    job = project.job_of(project.member("wide", x=1))
    assert (job["NumNodes"], job["NumTasks"]) == ("2", "4")
    assert (job["CPUs/Task"], job["MinMemoryNode"]) == ("2", "600M")
    assert (job["TimeLimit"], job["Partition"]) == ("00:07:00", "other")
    where = (project.member("wide", x=1) / "where").read_text().split()
    assert sorted(where) == ["n1", "n1", "n2", "n2"]

    job = project.job_of(project.member("gpus", x=1))
    assert job["TresPerJob"] == "gres:gpu:2"
    assert (job["NumTasks"], job["CPUs/Task"]) == ("1", "2")

    job = project.job_of(project.member("packed", x=1))
    assert (job["NumNodes"], job["NumCPUs"], job["OverSubscribe"]) == ("2", "8", "NO")
    assert "mem=8000M" in job["TRES"]  # whole nodes
    assert (job["TimeLimit"], job["Partition"], job["Nice"]) == ("00:09:00", "other", "7")

    text = (project.member("growing", x=1) / "jobs.txt").read_text()
    for words in ("MinMemoryNode=700M", "MinMemoryNode=1400M"):
        assert words in text
    assert "TimeLimit=00:03:00" in text
    assert "TimeLimit=00:06:00" in text

    local = project.run(profile="local")
    assert "Nothing to be done" in local.stdout + local.stderr


def test_a_passed_variable_reaches_jobs_and_batches_on_all_nodes(project: SlurmProject) -> None:
    run = {"exe": "printenv", "exe_args": ["NAME"], "env_vars": {"NAME": {"from_env": "TOKEN"}}}
    spread = {"nodes": 2, "batch_args": {"exclusive": None}}
    project.ensemble("alone", run_settings=run, outputs=[], params={"x": [1]})
    project.ensemble("packed", run_settings=run, outputs=[], batch_settings=spread)
    project.environ = {**project.environ, "TOKEN": "very secret"}
    project.finish()
    for path in project.results.glob("*/*/run.out"):
        assert path.read_text() == "very secret\n"
        path.unlink()
    assert not [
        path
        for path in project.folder.rglob("*")
        if path.is_file() and b"very secret" in path.read_bytes()
    ]
