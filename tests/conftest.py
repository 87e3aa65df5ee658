"""A project in a temporary folder, and Snakemake run on it as a user does."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from . import warm

# What is ignored here, as under nohup or in the background of a script, would be ignored by all
# that the tests start, and some tests interrupt it.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

REPOSITORY = Path(__file__).parent.parent
SNAKEFILE = REPOSITORY / "workflow" / "Snakefile"

# Leaves a line per run in ran.log, outside of the results, so that reruns can be counted.
CODE = """\
#!/usr/bin/env python3
import os, pathlib, sys
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(pathlib.Path.cwd().name + "\\n")
print("args", sys.argv[1:])
pathlib.Path("out.json").write_text('{"value": 1.5}')
"""


@dataclass
class Project:
    """A user's folder with a config, and what was seen of its runs."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "config").mkdir(parents=True)
        self.write("code.py", CODE, mode=0o755)

    def write(self, name: str, text: str | bytes, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def ensemble(self, name: str = "sweep", **keys: Any) -> dict[str, Any]:
        """Add an ensemble with sensible defaults and return its settings for editing."""
        settings = {
            "params": {"x": [1, 2, 3]},
            "run_settings": {"exe": "./code.py", "exe_args": ["{{ x }}"]},
            "outputs": ["out.json"],
            **keys,
        }
        self.config.setdefault("experiment", "exp")
        self.config.setdefault("ensembles", {})[name] = settings
        return settings

    def command(self, *arguments: str, profile: str = "local") -> list[str]:
        profile_folder = REPOSITORY / "profiles" / profile
        where = ["--snakefile", str(SNAKEFILE), "--profile", str(profile_folder)]
        return [sys.executable, "-m", "snakemake", *where, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "RAN_LOG": str(self.folder / "ran.log"), "PATH": path}

    def save(self) -> None:
        text = yaml.safe_dump(self.config, sort_keys=False)
        (self.folder / "config" / "config.yaml").write_text(text)

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Save the config if one was built, and run the workflow."""
        if self.config:
            self.save()
        return warm.run(self.command(*arguments, **options), self.folder, self.environment)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the workflow in a session of its own."""
        self.save()
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ran(self) -> Counter[str]:
        """Return how often each member has run so far."""
        log = self.folder / "ran.log"
        return Counter(log.read_text().split()) if log.exists() else Counter()

    @property
    def results(self) -> Path:
        return self.folder / self.config.get("results", "results") / self.config["experiment"]

    def table(self, entity: str = "sweep", name: str = "results.csv") -> list[dict[str, str]]:
        with (self.results / entity / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def member(self, entity: str = "sweep", **params: Any) -> Path:
        """Return the directory of the member with these parameters."""
        wanted = {key: str(value) for key, value in params.items()}
        rows = [row for row in self.table(entity) if wanted.items() <= row.items()]
        assert len(rows) == 1, rows
        return self.results / entity / rows[0]["member"]

    def status(self, directory: Path) -> dict[str, Any]:
        return dict(json.loads((directory / "status.json").read_text()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take long first, so that all workers end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture(autouse=True)
def _no_leftover_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SNAKEMAKE_PROFILE", "SLURM_JOB_ID", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def reap() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes put into this list are killed with all they started when the test ends."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
