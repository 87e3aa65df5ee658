"""Progress: what the board counts, what is seen on a terminal and in a log."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from ensemake.show import progress
from ensemake.show.progress import Board, duration, panel_lines, plain_line

from ..conftest import Project


@pytest.fixture(autouse=True)
def _expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EXPECTED", {"sweep": 4})


def marker(name: str) -> list[str]:
    return [f"results/exp/.ensemake/sweep/{name}.done"]


def test_members_are_counted() -> None:
    board = Board()
    board.start(1, "generate_sweep", ["results/exp/.ensemake/sweep/0.generated"])
    board.start(2, "sweep", marker("a"))
    board.start(3, "sweep", marker("b"))
    tally = board.tallies["sweep"]
    assert (tally.total, tally.done, tally.failed, tally.running) == (4, 0, 0, 2)
    board.finish(2)
    assert board.fail(3) is not None
    board.finish(1)
    assert (tally.done, tally.failed, tally.running) == (1, 1, 0)
    assert not board.others
    board.start(3, "sweep", marker("b"))  # retried
    board.finish(3)
    assert (tally.done, tally.failed, tally.running) == (2, 0, 0)


def test_a_batch_is_followed_in_its_record(tmp_path: Path) -> None:
    done = tmp_path / ".ensemake" / "sweep" / "chunk.done"
    done.parent.mkdir(parents=True)
    plan = done.with_suffix(".plan.json")
    plan.write_text(json.dumps({"members": [{}] * 4}))
    record = plan.with_name(f"{plan.name}.record.jsonl")
    record.write_text('{"event": "end", "status": "failed"}\n')  # of an earlier attempt
    board = Board()
    board.start(1, "batch_sweep", [str(done)])
    with record.open("a") as file:
        file.write('{"event": "start", "skipped": 1}\n{"event": "end", "status": "completed"}\n')
        file.write('{"event": "end", "sta')  # half a line
    board.refresh()
    tally = board.tallies["sweep"]
    assert (tally.done, tally.failed) == (2, 0)
    with record.open("a") as file:
        file.write('tus": "failed"}\n')
    board.fail(1)
    assert (tally.done, tally.failed, tally.running) == (2, 1, 0)


def test_a_batch_that_its_cluster_starts_again(tmp_path: Path) -> None:
    """What was lost with a node counts once it has run again; nothing counts twice."""
    done = tmp_path / ".ensemake" / "sweep" / "chunk.done"
    done.parent.mkdir(parents=True)
    done.with_suffix(".plan.json").write_text(json.dumps({"members": [{}] * 4}))
    board = Board()
    board.start(1, "batch_sweep", [str(done)])
    lines = ["start", "completed", "completed", "lost"]
    events = [{"event": "end", "status": line, "skipped": 0} for line in lines]
    events[0]["event"] = "start"
    record = done.with_suffix(".plan.json.record.jsonl")
    record.write_text("".join(json.dumps(event) + "\n" for event in events))
    board.refresh()
    tally = board.tallies["sweep"]
    assert (tally.done, tally.failed) == (2, 1)
    with record.open("a") as file:
        file.write(json.dumps({**events[0], "skipped": 2}) + "\n")
    board.refresh()
    assert (tally.done, tally.failed) == (2, 0)
    board.finish(1)
    assert (tally.done, tally.failed) == (4, 0)


def test_a_batch_without_record(tmp_path: Path) -> None:
    done = tmp_path / ".ensemake" / "sweep" / "chunk.done"
    done.parent.mkdir(parents=True)
    done.with_suffix(".plan.json").write_text(json.dumps({"members": [{}] * 4}))
    board = Board()
    board.start(1, "batch_sweep", [str(done)])
    board.finish(1)
    assert board.tallies["sweep"].done == 4


@pytest.mark.parametrize("width", [20, 60, 79, 200])
def test_lines_fit(width: int) -> None:
    board = Board()
    board.start(1, "sweep", marker("a"))
    board.start(2, "sweep", marker("b"))
    board.start(3, "a_rule_with_a_long_name" * 9, [])
    board.finish(1)
    board.fail(2)
    tally = board.tallies["sweep"]
    lines = panel_lines(board, width, tally.began + 100)
    assert len(lines) == 2
    assert all(len(line) <= width for line in lines)
    if width >= 60:
        assert "1/4 done  1 failed" in lines[0]
        assert "1:40 left" in lines[0]


def test_what_is_submitted_is_not_said_to_run() -> None:
    board = Board()
    board.start(1, "sweep", marker("a"))
    tally = board.tallies["sweep"]
    assert plain_line(tally, True, 0.0) == "sweep: 0 of 4 done, 0 failed, 1 submitted"


def test_durations() -> None:
    told = [duration(s) for s in (0, 5, 754, 3723, 86400 * 2 + 3600 * 3)]
    assert told == ["0:00", "0:05", "12:34", "1:02:03", "2 d 3 h"]


@pytest.fixture
def failing(project: Project) -> Project:
    script = "if [ {{ x }} = 2 ]; then echo boom >&2; exit 3; fi"
    project.ensemble(outputs=[], run_settings={"exe": "bash", "exe_args": ["-c", script]})
    return project


@pytest.mark.workflow
def test_lines_in_a_log(failing: Project) -> None:
    done = failing.run()
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert re.search(r"^sweep: 2 of 3 done, 1 failed, 0 running$", done.stderr, re.M)
    assert re.search(r"^failed: results/exp/sweep/\w+: exit code 3: boom$", done.stderr, re.M)
    assert len(done.stderr.splitlines()) < 25, done.stderr
    assert ".done" not in done.stderr
    log = next((failing.folder / ".snakemake" / "log").iterdir()).read_text()
    assert "rule sweep:" in log
    assert "2 completed, 1 failed of 3" in log


@pytest.mark.workflow
def test_lines_on_a_terminal(failing: Project) -> None:
    """The panel is drawn anew in place, and its last state stays."""
    failing.save()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        failing.command(), cwd=failing.folder, env=failing.environment, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the terminal is closed
            break
    process.wait()
    os.close(ours)
    text = seen.decode().replace("\r", "")
    assert "\x1b[1F\x1b[J" in text or "\x1b[2F\x1b[J" in text
    last = re.findall(r"sweep  █.*done  1 failed.*", text)[-1]
    assert "2/3 done" in last
    assert text.index(last) < text.index("sweep: 2 completed, 1 failed of 3")


@pytest.mark.workflow
def test_dry_runs_and_verbose_runs_say_all(failing: Project) -> None:
    assert "rule sweep:" in failing.run("--dry-run").stdout
    assert "rule sweep:" in failing.run("--printshellcmds").stderr


def test_markers_of_others_are_no_members() -> None:
    board = Board()
    board.start(1, "mine", ["/home/me/.ensemake/mine.done"])
    board.start(2, "theirs", ["results/theirs.done"])
    assert board.others == {1: "mine", 2: "theirs"}


def test_a_member_of_a_sub_folder_belongs_to_its_ensemble() -> None:
    board = Board()
    board.start(1, "sweep", marker("5d/5d30fbc82d28"))
    assert list(board.tallies) == ["sweep"]
