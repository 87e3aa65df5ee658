"""The campaign in short: one trial of some kinds, at moments that chance chooses."""

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).with_name("faults.py")


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("only", "trials"),
    [
        ("local-alone: KILL -> main,local-alone: STOP -> member,local-alone: a second run", 3),
        (
            "local-batches: KILL -> runner,local-batches: TERM -> group,"
            "local-batches: snakemake -n -F",
            3,
        ),
        (
            "local-store: KILL -> keeper,local-store-cluster: KILL -> server",
            2,
        ),
    ],
)
def test_nothing_is_lost_or_wrong_whatever_happens(only: str, trials: int) -> None:
    words = [sys.executable, str(FAULTS), "--seed", "1", "--only", only, "--trials", str(trials)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    count = trials + len({kind.split(":")[0] for kind in only.split(",")})  # one undisturbed each
    assert f"{count} trials, 0 with violations" in done.stdout, done.stdout
