"""A fake PBS, and projects in which Snakemake runs for real, as tests see them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests import conftest  # noqa: E402

WORKFLOW = HERE.parent.parent / "workflow"


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 60
) -> None:
    """Wait until `condition` holds; `process` must not end before."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


@dataclass
class Fake:
    """The fake PBS's state, from outside."""

    home: Path

    def read(self) -> dict:
        """Return the whole state."""
        path = self.home / "state.json"
        return json.loads(path.read_text()) if path.exists() else {"jobs": {}}

    def set(self, **settings: object) -> None:
        """Change settings (see fake_pbs.py) before the first or between two commands."""
        with open(self.home / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # jobs write their states at the same time
            state = {"next": 0, **self.read(), **settings}
            part = self.home / "state.new"
            part.write_text(json.dumps(state))
            part.replace(self.home / "state.json")

    def calls(self, command: str) -> list[list[str]]:
        """Return the arguments of every call of `command` so far."""
        path = self.home / "calls.log"
        lines = (
            [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []
        )
        return [json.loads(words) for _, name, words in lines if name == command]

    def release(self) -> None:
        """Let waiting jobs go on."""
        (self.home / "release").touch()

    @property
    def jobs(self) -> dict:
        """The jobs that PBS knows, by id."""
        return self.read()["jobs"]

    def in_queue(self) -> list[str]:
        """Return the ids of unfinished jobs."""
        return [job_id for job_id, job in self.jobs.items() if job["job_state"] not in ("F", "X")]


def heed_ctrl_c() -> None:
    """Undo what a shell does to the processes that it starts with ``&``."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a fake PBS first on PATH."""
    home, commands = folder / "pbs", folder / "bin"
    home.mkdir()
    commands.mkdir()
    for name in ("qsub", "qstat", "qdel", "qselect"):
        shutil.copy(HERE / "fake_pbs.py", commands / name)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_PBS_HOME", str(home))
    return Fake(home)


@dataclass
class Project:
    """A directory with a Snakefile, and ways to run Snakemake in it."""

    folder: Path
    options: list[str] = field(default_factory=list)

    def write(self, snakefile: str) -> None:
        """Write the Snakefile."""
        (self.folder / "Snakefile").write_text(snakefile)

    def command(self, *options: str) -> list[str]:
        """Return the command line, with a short polling interval that tests can afford."""
        common = "--executor pbs --jobs 100 --keep-going --scheduler greedy --latency-wait 2"
        polling = ["--seconds-between-status-checks", "1", "--rerun-triggers", "mtime", "params"]
        return [sys.executable, "-m", "snakemake", *common.split(), *polling, *options]

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Snakemake finds the plugin."""
        path = os.pathsep.join(filter(None, [str(WORKFLOW), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "PYTHONPATH": path}

    def run(self, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; stderr and stdout in `stdout`."""
        return subprocess.run(
            self.command(*options),
            cwd=self.folder,
            env={**self.environment, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start in the background."""
        return subprocess.Popen(
            self.command(*options),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
        )

    @property
    def logs(self) -> Path:
        """The folder of scripts and logs."""
        return self.folder / ".snakemake" / "pbs_logs"

    def reasons(self) -> list[str]:
        """Return the contents of all reason files."""
        return [path.read_text().strip() for path in sorted(self.logs.glob("*.reason"))]


QUICK = ("--seconds-between-status-checks", "1", "--latency-wait", "5")


class PbsProject(conftest.Project):
    """A project whose members go to PBS."""

    def command(self, *arguments: str, profile: str = "pbs") -> list[str]:
        quick = QUICK if profile == "pbs" else ()
        return super().command(*quick, *arguments, profile=profile)

    def statuses(self) -> list[str]:
        """The members' statuses in results.csv."""
        return [row["status"] for row in self.table()]

    def events(self, kind: str) -> list[dict[str, str]]:
        """What the batches have recorded."""
        records = sorted(self.results.glob(".ensemake/**/*.record.jsonl"))
        lines = [json.loads(line) for path in records for line in path.read_text().splitlines()]
        return [line for line in lines if line["event"] == kind]
