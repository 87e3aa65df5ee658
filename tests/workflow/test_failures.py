"""Members that fail: told with the reason, never counted as done, the others untouched."""

import os
import subprocess
from pathlib import Path

import pytest

from ..conftest import Project
from .test_reruns import finish, snapshot

pytestmark = pytest.mark.workflow

CODE = """\
#!/bin/bash
echo "$(basename "$PWD")" >> "$RAN_LOG"
echo "working on $1"
if [ ! -e ../../../../mended ]; then
  case $1 in
    exit) echo "no convergence" >&2; exit 3 ;;
    signal) kill -9 $$ ;;
    forget) exit 0 ;;
  esac
fi
echo '{"value": 1}' > out.json
"""


@pytest.fixture
def failing(project: Project) -> Project:
    project.write("code.py", CODE, mode=0o755)
    kinds = ["good", "exit", "signal", "forget", "better"]
    project.ensemble(params={"x": kinds}, metrics={"value": {"file": "out.json", "key": "value"}})
    return project


def rows(project: Project) -> dict[str, dict[str, str]]:
    return {row["x"]: row for row in project.table()}


def test_failures_are_told_and_only_they_run_again(failing: Project) -> None:
    failed = failing.run()
    assert failed.returncode == 1
    outcome = {
        x: (row["status"], row["exit_code"], row["reason"]) for x, row in rows(failing).items()
    }
    assert outcome == {
        "good": ("completed", "0", ""),
        "better": ("completed", "0", ""),
        "exit": ("failed", "3", "exit code 3"),
        "signal": ("failed", "137", "killed by SIGKILL"),
        "forget": ("failed", "0", "left no output out.json"),
    }
    assert rows(failing)["good"]["value"] == "1"
    told = failing.run("status").stdout
    for text in ("2 completed, 3 failed of 5", "exit code 3", "SIGKILL", "no convergence"):
        assert text in told
    assert "3 failed" in failed.stdout + failed.stderr

    count = failing.ran()
    (failing.results / "sweep/results.csv").unlink()
    told = failing.run("results")
    assert told.returncode == 0
    assert "3 failed" in told.stdout
    assert len(failing.table()) == 5
    assert failing.ran() == count

    finished = {x: failing.member(x=x) for x in ("good", "better")}
    before = {x: snapshot(folder) for x, folder in finished.items()}
    assert failing.run().returncode == 1
    assert {x: snapshot(folder) for x, folder in finished.items()} == before
    (failing.folder / "mended").touch()
    finish(failing)
    ran = failing.ran()
    assert {x: ran[failing.member(x=x).name] for x in rows(failing)} == {
        "good": 1, "better": 1, "exit": 3, "signal": 3, "forget": 3,
    }  # fmt: skip
    assert {x: snapshot(folder) for x, folder in finished.items()} == before
    assert {row["status"] for row in failing.table()} == {"completed"}
    assert failing.status(failing.member(x="exit"))["attempt"] == 3


def test_results_before_anything_ran(failing: Project) -> None:
    told = failing.run("results")
    assert told.returncode == 0, told.stderr
    assert {row["status"] for row in failing.table()} == {"missing"}


def test_retries_are_attempts(failing: Project) -> None:
    code = (
        '#!/bin/bash\n[ "$(wc -l < "$RAN_LOG")" -ge 2 ] && touch out.json\necho x >> "$RAN_LOG"\n'
    )
    failing.write("code.py", code, mode=0o755)
    failing.write("ran.log", "")
    failing.ensemble(params={"x": ["only"]})
    finish(failing, "--retries", "4")
    assert failing.status(failing.member(x="only"))["attempt"] == 3


def test_memory_may_grow_with_the_attempt(project: Project) -> None:
    project.ensemble(resources={"mem_mb": "{{ 1000 * attempt * x }}"}, params={"x": [2]})
    told = project.run("--dry-run", "--quiet", "progress")
    assert "mem_mb=2000" in told.stderr + told.stdout, told.stderr


def test_a_member_that_stops_the_disk(project: Project) -> None:
    """A status that cannot be written is no success: here a folder is in its place."""
    project.ensemble(params={"x": [1]}, outputs=[])
    finish(project, "generate")
    folder = project.results / "sweep" / project.table(name="members.csv")[0]["member"]
    (folder / "status.json").mkdir()
    assert project.run().returncode == 1
    assert project.table()[0]["status"] != "completed"
    (folder / "status.json").rmdir()
    finish(project)
    assert project.table()[0]["status"] == "completed"


def test_metrics_that_are_absent_are_told_and_a_damaged_status_is_no_success(
    project: Project,
) -> None:
    project.ensemble(
        metrics={
            "value": {"file": "out.json", "key": "value"},
            "nothing": {"file": "out.json", "key": "no.such"},
        }
    )
    finish(project)
    assert {row["value"] for row in project.table()} == {"1.5"}
    assert {row["nothing"] for row in project.table()} == {""}
    assert "no key 'no.such'" in project.table()[0]["reason"]

    (project.member(x=1) / "status.json").write_text('{"status": "comple')
    (project.member(x=2) / "status.json").write_text("")
    finish(project)
    assert sorted(project.ran().values()) == [1, 2, 2]


def test_container_runs_inside_the_image(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for apptainer that records its words and runs the command outside."""
    stand_in = (
        "#!/bin/bash\nprintf '%s\\n' \"$@\" > apptainer.args\n"
        "while [[ $1 != *image.sif ]]; do shift; done\n"
        'shift\nexec "$@"\n'
    )
    project.write("bin/apptainer", stand_in, mode=0o755)
    project.write("image.sif", "")
    settings = project.ensemble(params={"x": ["a b"]}, outputs=[])
    settings["run_settings"] = {
        "exe": "echo",
        "exe_args": ["{{ x }}"],
        "container": {"image": "image.sif", "bind": ["/data:/d d:ro"]},
    }
    missing = project.run()
    assert missing.returncode == 1
    assert "neither apptainer nor singularity is on PATH" in missing.stderr
    monkeypatch.setenv("PATH", f"{project.folder / 'bin'}:{os.environ['PATH']}")
    finish(project)
    folder = project.member(x="a b")
    assert (folder / "run.out").read_text() == "a b\n"
    words = (folder / "apptainer.args").read_text().splitlines()
    assert words[:1] == ["exec"]
    assert words[words.index("--pwd") + 1] == str(folder)
    assert "/data:/d d:ro" in words


def test_a_member_that_runs_with_an_older_recipe_is_left_alone(
    project: Project, reap: list[subprocess.Popen[str]]
) -> None:
    project.write("code.py", "#!/bin/bash\ntouch ready; sleep 60\n", mode=0o755)
    settings = project.ensemble(params={"x": [1]}, outputs=[])
    finish(project, "generate")
    folder = project.results / "sweep" / project.table(name="members.csv")[0]["member"]
    script = subprocess.Popen(["bash", str(folder / "run.sh")], start_new_session=True, text=True)
    reap.append(script)
    while not (folder / "ready").exists():
        assert script.poll() is None
    settings["run_settings"]["exe_args"] = ["edited"]
    before = (folder / "run.sh").read_text()
    failed = project.run()
    script.terminate()
    script.wait()
    assert failed.returncode == 1
    assert "runs with an older recipe" in failed.stderr
    assert (folder / "run.sh").read_text() == before
