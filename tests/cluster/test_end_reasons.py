"""What a cluster says of jobs it ended, in the members' status."""

import fcntl
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ensemake.cluster.end_reasons import explain
from ensemake.member.state import read_status, state
from ensemake.workflow import run


def member(folder: Path, status: dict[str, object] | None = None, lock: str = "") -> Path:
    folder.mkdir()
    (folder / ".lock").write_text(lock)
    if status is not None:
        whole = {"exit_code": 137, "digest": "d", "run": "now", **status}
        (folder / "status.json").write_text(json.dumps(whole))
    return folder


def test_only_members_that_were_killed_get_the_reason(tmp_path: Path) -> None:
    begun = "d 2 n1 4711 2026-11-24T12:00:00+0000\n"
    silent = member(tmp_path / "silent", lock=begun)
    early = member(tmp_path / "early")
    killed = member(tmp_path / "killed", {"status": "failed", "reason": "killed by SIGKILL"}, begun)
    before = member(
        tmp_path / "before",
        {"status": "failed", "reason": "killed by SIGKILL", "run": "old"},
        begun,
    )
    failed = member(tmp_path / "failed", {"status": "failed", "reason": "exit code 1"}, begun)
    done = member(tmp_path / "done", {"status": "completed", "exit_code": 0, "reason": ""}, begun)
    alive = member(tmp_path / "alive", lock=begun)
    stopped = {"status": "cancelled", "reason": "stopped by SIGTERM"}
    stopped_by = member(tmp_path / "stopped", stopped, begun)
    folders = [stopped_by, silent, early, killed, before, failed, done, alive, tmp_path / "absent"]
    with (alive / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for _ in range(2):  # an executor may tell it twice
            explain(folders, "Slurm: OUT_OF_MEMORY", "now")
    told = {path.name: read_status(path) for path in folders}
    reasons = {name: status.reason if status else None for name, status in told.items()}
    assert reasons == {
        "stopped": "stopped by SIGTERM (Slurm: OUT_OF_MEMORY)",
        "silent": "started and never told how it ended (Slurm: OUT_OF_MEMORY)",
        "early": None,
        "killed": "killed by SIGKILL (Slurm: OUT_OF_MEMORY)",
        "before": "killed by SIGKILL",
        "failed": "exit code 1",
        "done": "",
        "alive": None,
        "absent": None,
    }
    kind, status = state(silent, "d", [])
    assert kind == "killed"
    assert status is not None
    assert (status.exit_code, status.attempt, status.host) == (None, 2, "n1")


def test_members_that_never_started_have_the_reason_until_they_do(tmp_path: Path) -> None:
    """Whatever the exit code of their job was, and whether an earlier one ended as well."""
    never, early, other = (member(tmp_path / name) for name in ("never", "early", "other"))
    (never / ".lock").unlink()
    for path in (never, early):
        (path / "run.sh").write_text("_ensemake_digest=d\n")
    (other / "run.sh").write_text("of nobody we know")
    with (early / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # it is just starting
        explain([never, early, other], "Slurm: TIMEOUT", "old")
    explain([never, other], "PBS: exit code 1", "now")
    explain([never, other], "PBS: exit code 1", "now")
    kind, status = state(never, "d", [])
    assert status is not None
    assert (kind, status.exit_code, status.run) == ("cancelled", None, "now")
    assert status.reason == "did not start (PBS: exit code 1)"
    assert [read_status(path) for path in (early, other)] == [None, None]


def test_a_member_that_told_nothing_has_the_exit_code_of_its_job(tmp_path: Path) -> None:
    begun = "d 2 n1 4711 2026-11-24T12:00:00+0000 77\n"
    silent = member(tmp_path / "silent", lock=begun)
    killed = member(tmp_path / "killed", {"status": "failed", "reason": "killed by SIGKILL"}, begun)
    explain([silent, killed], "PBS: exit code 1", "now")  # of a batch: not the member's
    assert read_status(silent) is None
    explain([silent, killed], "PBS: exit code 137: killed by SIGKILL", "now")
    told, own = read_status(silent), read_status(killed)
    assert told is not None
    assert own is not None
    assert (told.status, told.exit_code) == ("killed", 137)
    assert told.reason.endswith("(PBS: exit code 137: killed by SIGKILL)")
    assert own.reason == "killed by SIGKILL"


def test_a_disk_that_is_full_of_reasons_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An executor that tells a job's end must not end by that itself."""

    def explain(*_: object) -> None:
        raise OSError(28, "No space left on device", "status.json")

    listeners: list[Any] = []
    monkeypatch.setattr(run, "LISTENERS", listeners)
    monkeypatch.setattr(run, "explain", explain)
    run._follow_jobs(SimpleNamespace(entities=[], ended=[]))  # type: ignore[arg-type]
    listeners[0](SimpleNamespace(is_group=lambda: False), "Slurm: TIMEOUT")
    assert "No space left" in capsys.readouterr().err
