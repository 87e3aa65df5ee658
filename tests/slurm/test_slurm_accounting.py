"""A Slurm that keeps accounts: what the controller has forgotten, sacct still tells."""

import os
import signal
import subprocess

import pytest
from accounting import Accounting, missing
from slurm_cluster import Cluster, until
from slurm_project import SlurmProject
from test_slurm_faults import CODE, outcome

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.workflow,
    pytest.mark.skipif(
        bool(missing()) and os.environ.get("CI") != "true",
        reason=f"{', '.join(missing())} not installed (Debian: slurmdbd mariadb-server-core)",
    ),
]


def test_the_accounting_tells_how_a_forgotten_job_ended(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    project.write("faulty.sh", CODE, mode=0o755)
    project.ensemble(
        params={"x": ["good", "killed"]},
        outputs=[],
        run_settings={"exe": "./faulty.sh", "exe_args": ["{{ x }}"]},
    )
    with Accounting(slurm) as accounting:
        process = project.start()
        reap.append(process)
        job = project.folder / "killed.job"
        until(job.exists, "the member to start")
        process.send_signal(signal.SIGSTOP)  # it does not see the end
        slurm.run("scancel", "--signal=KILL", "--full", job.read_text().strip())
        ends = lambda: accounting.state(job.read_text().strip())  # noqa: E731
        until(lambda: ends() not in ("", "PENDING", "RUNNING"), "sacct to know")
        known = ends().split()[0]
        slurm.stop("slurmctld")
        slurm.forget()
        slurm.start("slurmctld")
        until(lambda: "UP" in slurm.run("scontrol", "ping", check=False), "the controller")
        process.send_signal(signal.SIGCONT)
        told, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "unknown to Slurm" not in told
    found = outcome(project)
    assert found["good"] == ("completed", "")
    status, reason = found["killed"]
    assert status in ("cancelled", "killed")
    assert reason.endswith(f"(Slurm: {known})")
