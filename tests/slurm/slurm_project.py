"""A user's project whose Snakemake finds the cluster of the tests."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import Project

# The profile's patience is for real clusters.
QUICK = ("--latency-wait", "15")


@dataclass
class SlurmProject(Project):
    """A project, on this cluster."""

    environ: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{self.environ['PATH']}"
        return {**self.environ, "RAN_LOG": str(self.folder / "ran.log"), "PATH": path}

    def command(self, *arguments: str, profile: str = "slurm") -> list[str]:
        quick = QUICK if profile == "slurm" else ()
        return super().command(*quick, *arguments, profile=profile)

    def finish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run, and expect that all members are complete in the end."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        entities = [*self.config.get("models", {}), *self.config.get("ensembles", {})]
        rows = [row for name in entities for row in self.table(name)]
        assert {row["status"] for row in rows} == {"completed"}
        return done

    def job_of(self, directory: Path) -> dict[str, str]:
        """What scontrol said of the job when the member ran in it (see DESCRIBED)."""
        words = (directory / "job.txt").read_text().split()
        pairs = (word.partition("=") for word in words if "=" in word)
        return {key: value for key, _, value in pairs}

    def sized(self, name: str, **keys: Any) -> dict[str, Any]:
        """An ensemble of one member that keeps what Slurm says of its job."""
        self.write("described.sh", DESCRIBED, mode=0o755)
        return self.ensemble(
            name,
            params={"x": [1]},
            outputs=["job.txt"],
            run_settings={"exe": "./described.sh"},
            **keys,
        )


# One line per task in `where`; the first task asks for the job.
DESCRIBED = """\
#!/bin/bash
echo "$SLURMD_NODENAME" >> where
job=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
[ "${SLURM_PROCID:-0}" != 0 ] || scontrol --details show job $job > job.txt
"""
