"""The cluster of the tests is a real one: it places, limits and ends jobs."""

from pathlib import Path

import pytest
from slurm_cluster import Cluster

pytestmark = pytest.mark.slurm


def test_a_job_runs_on_two_nodes(slurm: Cluster, tmp_path: Path) -> None:
    jobid = slurm.submit("srun -l -N2 -n2 printenv SLURMD_NODENAME", "--nodes=2", cwd=tmp_path)
    assert slurm.wait(jobid) == "COMPLETED"
    assert sorted((tmp_path / "job.log").read_text().split()) == ["0:", "1:", "n1", "n2"]


def test_a_failure_keeps_its_exit_code(slurm: Cluster, tmp_path: Path) -> None:
    jobid = slurm.submit("exit 3", cwd=tmp_path)
    assert slurm.wait(jobid) == "FAILED"
    assert slurm.job(jobid)["ExitCode"] == "3:0"
