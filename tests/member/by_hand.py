"""A member as it is generated, run by hand."""

import os
import subprocess
from pathlib import Path
from typing import Any

from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Plan
from ensemake.member.state import StatusFile, is_generated, read_status


def shell(text: str, **keys: Any) -> dict[str, Any]:
    return {"exe": "bash", "exe_args": ["-c", text], **keys}


class Member:
    """A model in a working directory of its own."""

    def __init__(self, base: Path) -> None:
        self.base, self.directory = base, base / "results/e/m"

    def made(self, *commands: Any, forced: int = 0, **keys: Any) -> "Member":
        run: Any = list(commands) if len(commands) > 1 else commands[0]
        data = {"experiment": "e", "models": {"m": {"run_settings": run, **keys}}}
        work = expand_work(Config.model_validate(data), "m", self.base)
        self.digest = work.planned[0].digest
        assert generate(Plan("m", work.settings, work.planned, forced), self.base) == []
        assert is_generated(self.directory, self.digest)
        return self

    def run(self, **environ: str) -> str:
        """Run it by hand and return how it ended."""
        words = ["bash", "run.sh"]
        subprocess.run(words, cwd=self.directory, env={**os.environ, **environ}, check=False)
        assert self.status.digest == self.digest
        return f"{self.status.status} {self.status.reason}".strip()

    @property
    def status(self) -> StatusFile:
        status = read_status(self.directory)
        assert status is not None
        return status

    def text(self, name: str) -> str:
        return (self.directory / name).read_text()
