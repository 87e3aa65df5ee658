"""A batch on the real Slurm: its nodes and CPUs, its agents, its end."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster, until

from ensemake.config.schema import Model, RunSettings
from ensemake.member.plan import Plan, Planned

pytestmark = pytest.mark.slurm
PACKAGES = Path(__file__).parents[2] / "workflow"
RUNNER = f"PYTHONPATH={PACKAGES} {sys.executable} -m ensemake.batch.runner plan.json"
# How the Slurm plugin starts a job's work: a step of its own, nearly all of SLURM_* removed.
IN_A_STEP = (
    'env -i PATH="$PATH" SLURM_CONF=$SLURM_CONF SLURM_JOB_ID=$SLURM_JOB_ID '
    f"srun -n1 --nodes=1 --cpus-per-task={{cpus}} env {RUNNER}"
)
RUN = """\
cd "$(dirname "$0")"
grep -qs '"completed"' status.json && exit 0
trap 'kill $!' TERM
{{ echo $EPOCHREALTIME 1; ({code}) && echo $EPOCHREALTIME -1; }} >times 2>err &
wait $! && status=completed || status=cancelled
echo "{{\\"status\\": \\"$status\\", \\"exit_code\\": 0, \\"digest\\": \\"d\\"}}" >status.json
[ $status = completed ]
"""


def write(folder: Path, count: int, code: str, **needs: int) -> None:
    """Write a plan and its members."""
    members = [Planned(f"m{i}", str(folder / f"m{i}"), "d", {}) for i in range(count)]
    for member in members:
        os.mkdir(member.directory)
        Path(member.directory, "run.sh").write_text(RUN.format(code=code))
    settings = Model(run_settings=RunSettings(exe="true"), resources=needs)
    (folder / "plan.json").write_text(Plan("Waves", settings, members).as_json())


def record(folder: Path, event: str) -> list[dict[str, Any]]:
    """The lines of the batch record for an event."""
    lines = map(json.loads, (folder / "plan.json.record.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def at_once(folder: Path) -> int:
    """How many members ran at the same time."""
    texts = [path.read_text() for path in folder.glob("m*/times")]
    pairs = sorted(tuple(line.split()) for text in texts for line in text.splitlines())
    running = most = 0
    for _, change in pairs:
        running += int(change)
        most = max(most, running)
    return most


@pytest.mark.parametrize("start", [RUNNER, IN_A_STEP.format(cpus=4)], ids=["job", "step"])
def test_members_run_on_both_nodes_and_never_more_than_fit(
    slurm: Cluster, tmp_path: Path, start: str
) -> None:
    write(tmp_path, 40, "echo $SLURMD_NODENAME $ENSEMAKE_NODELIST >where; sleep 0.3")
    jobid = slurm.submit(f"env {start}", "--nodes=2", "--ntasks=8", "--mem=2000", cwd=tmp_path)
    assert slurm.wait(jobid) == "COMPLETED", (tmp_path / "job.log").read_text()
    where = Counter(path.read_text() for path in tmp_path.glob("m*/where"))
    assert where.keys() == {"n1 n1\n", "n2 n2\n"}
    assert record(tmp_path, "start")[0]["slots"] == 8
    assert at_once(tmp_path) <= 8


def test_memory_and_gpus_limit_what_fits(slurm: Cluster, tmp_path: Path) -> None:
    write(tmp_path, 6, "echo $CUDA_VISIBLE_DEVICES >gpu; sleep 0.3", mem_mb=400, gpu=1)
    options = ("--nodes=2", "--ntasks=8", "--mem=1000", "--gpus-per-node=2")
    jobid = slurm.submit(f"env {RUNNER}", *options, cwd=tmp_path)
    assert slurm.wait(jobid) == "COMPLETED", (tmp_path / "job.log").read_text()
    assert record(tmp_path, "start")[0]["slots"] == 4
    assert at_once(tmp_path) <= 4
    assert {path.read_text() for path in tmp_path.glob("m*/gpu")} == {"0\n", "1\n"}


def test_members_over_two_nodes_start_their_own_steps(slurm: Cluster, tmp_path: Path) -> None:
    step = "srun --exact --nodes=2 --ntasks=4 --nodelist=$ENSEMAKE_NODELIST "
    write(tmp_path, 6, step + "printenv SLURMD_NODENAME >where", nodes=2, tasks=4)
    jobid = slurm.submit(f"env {RUNNER}", "--nodes=2", "--ntasks=8", "--mem=1000", cwd=tmp_path)
    assert slurm.wait(jobid) == "COMPLETED", (tmp_path / "job.log").read_text()
    assert record(tmp_path, "start")[0]["slots"] == 2
    for path in tmp_path.glob("m*/where"):
        assert Counter(path.read_text().split()) == {"n1": 2, "n2": 2}
    assert at_once(tmp_path) <= 2


def test_members_with_several_tasks_on_a_node_start_steps_there(
    slurm: Cluster, tmp_path: Path
) -> None:
    step = "srun --exact --nodes=1 --ntasks=2 --nodelist=$ENSEMAKE_NODELIST "
    write(tmp_path, 8, step + "printenv SLURMD_NODENAME >where", tasks=2)
    jobid = slurm.submit(f"env {RUNNER}", "--nodes=2", "--ntasks=8", "--mem=1000", cwd=tmp_path)
    assert slurm.wait(jobid) == "COMPLETED", (tmp_path / "job.log").read_text()
    pairs = Counter(path.read_text() for path in tmp_path.glob("m*/where"))
    assert pairs.keys() == {"n1\nn1\n", "n2\nn2\n"}
    assert at_once(tmp_path) <= 4


def test_scancel_reaches_all_members_and_the_rest_is_done_later(
    slurm: Cluster, tmp_path: Path
) -> None:
    write(tmp_path, 12, "[ -e ../ready ] || sleep 100")
    options = ("--nodes=2", "--ntasks=8", "--mem=2000")
    jobid = slurm.submit(f"env {RUNNER}", *options, cwd=tmp_path)
    until(lambda: len(list(tmp_path.glob("m*/times"))) == 8, "8 members")
    slurm.run("scancel", jobid)
    assert slurm.wait(jobid) == "CANCELLED"
    until(lambda: slurm.idle_nodes() == 2, "the job to be gone")
    # Slurm signals one process after the other: a member may end, and the next one start and be
    # ended, before the runner is told.
    statuses = [json.loads(path.read_text()) for path in tmp_path.glob("m*/status.json")]
    assert len(statuses) >= 8
    assert {status["status"] for status in statuses} == {"cancelled"}
    (tmp_path / "ready").touch()
    assert slurm.wait(slurm.submit(f"env {RUNNER}", *options, cwd=tmp_path)) == "COMPLETED"
    assert len(list(tmp_path.glob("m*/times"))) == 12


def test_an_allocation_without_a_shell_on_its_nodes_is_used(slurm: Cluster, tmp_path: Path) -> None:
    write(tmp_path, 10, "echo $SLURMD_NODENAME >where; sleep 0.2")
    log = slurm.run(
        *("salloc", "--nodes=2", "--ntasks=4", "--mem=1000", "bash", "-c", f"env {RUNNER} 2>&1"),
        cwd=tmp_path,
    )
    assert "10 completed" in log
    assert {path.read_text() for path in tmp_path.glob("m*/where")} == {"n1\n", "n2\n"}
    assert at_once(tmp_path) <= 4
