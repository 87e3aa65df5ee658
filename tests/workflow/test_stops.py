"""What ends a run, or is in its way: signals while tables are made, a full disk."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from types import SimpleNamespace

import pytest

from ensemake.workflow.run import _stop

from ..conftest import Project

pytestmark = pytest.mark.workflow
ENDLESS = {"never": {"file": "run.out", "regex": "(x|xx)+$"}}


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it never came to that")


def alive(session: int) -> list[str]:
    """Return the processes of a session, but for its leader."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "stat").read_text().rpartition(") ")[2].split()
            if int(words[3]) == session != int(entry.name) and words[0] != "Z":
                found.append((entry / "cmdline").read_text())
        except (OSError, ValueError, IndexError):
            continue
    return found


def matching(session: int) -> bool:
    """Tell whether a process makes tables, and has imported what its metric needs."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "stat").read_text().rpartition(") ")[2].split()
            is_one = int(words[3]) == session and "collect.py" in (entry / "cmdline").read_text()
            if is_one and "/_regex" in (entry / "maps").read_text():
                return True
        except (OSError, ValueError, IndexError):
            continue
    return False


@pytest.mark.parametrize(
    ("number", "is_group", "is_background"),
    [
        (signal.SIGINT, False, False),  # kill -INT
        (signal.SIGINT, True, False),  # Ctrl-C
        (signal.SIGTERM, False, True),  # started with &: the shell has SIGINT ignored
    ],
)
def test_tables_that_take_long_end_with_the_run(
    project: Project,
    reap: list[subprocess.Popen[str]],
    number: signal.Signals,
    is_group: bool,
    is_background: bool,
) -> None:
    project.write("code.py", f"#!/bin/sh\necho {'x' * 60}!\ntouch out.json\n", mode=0o755)
    settings = project.ensemble(metrics=ENDLESS)
    before = signal.getsignal(signal.SIGINT)
    if is_background:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = project.start()
    finally:
        signal.signal(signal.SIGINT, before)
    reap.append(process)
    until(lambda: matching(process.pid))
    time.sleep(0.5)  # it reads the metric by now
    if is_background:  # it does not heed this one
        process.send_signal(signal.SIGINT)
    (os.killpg if is_group else os.kill)(process.pid, number)
    output, _ = process.communicate()
    assert process.returncode != 0
    assert "Traceback" not in output
    assert "sweep: all 3 completed" in output
    assert "no tables were made: ensemake results makes them" in output
    assert not alive(process.pid)
    assert not (project.results / "sweep" / "results.csv").exists()
    settings["metrics"] = {}
    done = project.run()
    assert done.returncode == 0, done.stderr
    assert len(project.table()) == 3


FILLING = (
    "#!/bin/bash\n[ -e ../../../room ] || head -c 200000 /dev/zero >big || :\necho >out.json\n"
)


@pytest.mark.parametrize("keys", [{}, {"batch_settings": {}}])
@pytest.mark.parametrize("size", ["1m", "150k"])
def test_a_full_disk_is_told_in_words(project: Project, keys: dict[str, object], size: str) -> None:
    """It is full while members run; or already while they are generated."""
    project.config["results"] = "small"
    project.write("code.py", FILLING, mode=0o755)
    project.ensemble(params={"x": {"range": [0, 6]}}, **keys)
    project.save()
    (project.folder / "small").mkdir()
    run = " ".join(project.command())
    script = (
        f"mount -t tmpfs -o size={size} none small || exit 77\n"
        f"{run} >told 2>&1; echo $? >>told\n"
        "find small -name '*.tmp' >>told; grep -rl Traceback small >>told\n"
        "mount -o remount,size=20m small && touch small/room\n"
        f"{run} && cp small/exp/sweep/results.csv .\n"
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or shutil.which("unshare") is None:
        pytest.skip("nothing can be mounted here")
    told = (project.folder / "told").read_text()
    assert told.endswith("\n1\n"), told  # the exit code; no .tmp, no frames in logs
    assert "No space left on device" in told
    assert "Traceback" not in told
    assert "File " not in told
    assert done.returncode == 0, done.stderr
    assert "all 6 completed" in done.stderr


def test_what_killed_writers_left_is_cleared(project: Project) -> None:
    project.write("in.cfg", "x")
    project.ensemble(files={"to_copy": ["in.cfg"]})
    done = project.run()
    assert done.returncode == 0, done.stderr
    again, kept = project.member(x=1), project.member(x=2)
    folders = [project.results, project.results / ".ensemake", again.parent, again]
    for folder in (*folders, project.results / ".ensemake" / "sweep"):
        (folder / ".ensemake-0123456789ab.tmp").touch()
    own = kept / ".0123456789ab.tmp"  # a program's
    own.touch()
    (again / "out.json").unlink()
    done = project.run()
    assert done.returncode == 0, done.stderr
    assert list(project.results.rglob("*.tmp")) == [own]
    assert not (again / "previous").exists()


def test_a_signal_in_the_middle_of_a_round_does_not_wait_for_its_end() -> None:
    """Snakemake's handler wants the lock that the round has, which it has interrupted."""
    held, heard = Lock(), Event()

    def heed(*arguments: object) -> None:
        with held:
            heard.set()

    experiment = SimpleNamespace(is_stopped=False)
    handler = Thread(target=_stop, args=(experiment, heed, signal.SIGTERM, None), daemon=True)
    with held:
        handler.start()
        handler.join(60)
        assert not handler.is_alive()
    assert heard.wait(60)
    assert experiment.is_stopped
