"""What status.json says, whatever a program left in its place."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ensemake.member.state import is_generated, is_locked, read_status, state

TOLD = {"status": "completed", "exit_code": 0, "digest": "1-a", "elapsed_s": 0.5, "reason": ""}


def test_what_run_sh_wrote(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps(TOLD))
    status = read_status(tmp_path)
    assert status
    assert (status.status, status.elapsed_s) == ("completed", 0.5)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[1",
        "[]",
        "[" * 200_000,
        "null",
        "x" * (2 << 20),
        *(
            json.dumps(TOLD | change)
            for change in (
                {"status": ["completed"]},
                {"exit_code": "0"},
                {"digest": None},
                {"elapsed_s": "long"},
                {"elapsed_s": float("nan")},
                {"elapsed_s": float("inf")},
                {"attempt": {}},
                {"reason": "\ud800"},
                {"more": 1},
            )
        ),
    ],
)
def test_somebody_elses_file_tells_nothing(tmp_path: Path, data: str) -> None:
    (tmp_path / "status.json").write_text(data)
    assert read_status(tmp_path) is None


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [_pipe, _endless, _folder])
def test_nothing_is_waited_for(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "status.json")
    make(tmp_path / ".lock")
    make(tmp_path / "run.sh")
    assert state(tmp_path, "1-a", [])[0] in ("killed", "missing")
    assert not is_locked(tmp_path / ".lock")
    assert not is_generated(tmp_path, "1-a")
