"""One run of an entity at a time, on one machine and on several."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ensemake import lock
from ensemake.errors import RunningError

HOLD = """
import sys, time
from pathlib import Path
from ensemake.lock import hold
hold(Path(sys.argv[1]), "sweep")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "run.lock"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.1)
    monkeypatch.setattr(lock, "WATCH_S", 0.5)


def elsewhere(path: Path, beat: int = 0) -> None:
    """Write what a holder on another host, whose lock does not reach us, writes."""
    path.parent.mkdir(exist_ok=True)
    holder = {"host": "far", "pid": 7, "since": "2026-11-25 12:00:00", "beat": beat}
    path.write_text(json.dumps(holder))


def test_held_by_another_process_until_it_is_killed(path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunningError, match=f"sweep is being run by process {other.pid} on "):
            lock.hold(path, "sweep")
        os.kill(other.pid, signal.SIGKILL)
    lock.hold(path, "sweep")
    lock.hold(path, "sweep")
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release(path)
    assert path.read_text() == ""


def test_the_holder_beats(path: Path) -> None:
    lock.hold(path, "sweep")
    first = json.loads(path.read_text())["beat"]
    time.sleep(0.5)
    assert json.loads(path.read_text())["beat"] > first
    lock.release(path)


def test_a_holder_elsewhere_that_beats_lives(path: Path) -> None:
    elsewhere(path)
    threading.Timer(0.2, elsewhere, (path, 1)).start()
    with pytest.raises(RunningError, match="process 7 on far, since 2026-11-25 12:00:00"):
        lock.hold(path, "sweep")
    assert json.loads(path.read_text())["host"] == "far"


def test_a_holder_elsewhere_that_does_not_beat_is_gone(path: Path) -> None:
    elsewhere(path)
    lock.hold(path, "sweep")
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release(path)
