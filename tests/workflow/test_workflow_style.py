"""The workflow as Snakemake's own linter sees it."""

import subprocess
import sys

from ..conftest import REPOSITORY

# The software is the lock file's environment, one for all rules: compute nodes run only run.sh.
ACCEPTED = {"Specify a conda environment or container for each rule."}


def test_snakemake_lint() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    lines = [line.strip() for line in found.stderr.splitlines()]
    assert any(line.startswith("Lints for rule") for line in lines), found.stderr
    titles = {line.removeprefix("* ").rstrip(":") for line in lines if line.startswith("* ")}
    assert titles <= {title.rstrip(":") for title in ACCEPTED}
