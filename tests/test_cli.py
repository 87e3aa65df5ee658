"""The command `ensemake` answers as the targets do, from any folder, and writes nothing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from ensemake.check.config import load_config
from ensemake.cli import ensemake
from ensemake.lock import hold, release
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Plan

from .conftest import CODE, Project
from .test_lock import HOLD

HEAVY = {"snakemake", "pandas", "scipy", "matplotlib", "numpy", "pydantic", "yaml", "jinja2"}
QUESTIONS = (["check"], ["preview"], ["status"], ["find", "sweep"], ["prune"])


def ask(*words: str) -> Result:
    return CliRunner().invoke(ensemake, words)


@pytest.fixture
def swept(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Members x = 1 and 2 completed, x = 3 failed, x = 4 is no longer in the config."""
    project.write("code.py", f"{CODE}assert sys.argv[1] != '3'\n", mode=0o755)
    metrics = {"v": {"file": "out.json", "key": "value"}}
    project.ensemble(params={"x": [1, 2, 3, 4]}, metrics=metrics)
    project.config["models"] = {"one": {"run_settings": {"exe": "./code.py"}}}
    project.save()
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("RAN_LOG", str(project.folder / "ran.log"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    work = expand_work(load_config(Path("config/config.yaml")), "sweep")
    generate(Plan("sweep", work.settings, work.planned), Path())
    for member in work.planned:
        subprocess.run(["bash", f"{member.directory}/run.sh"], check=False)
    project.config["ensembles"]["sweep"]["params"] = {"x": [1, 2, 3]}
    project.save()
    return project


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return all that lies below, with its times and sizes."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_status_and_find(swept: Project) -> None:
    told = ask("status")
    assert told.exit_code == 0
    assert told.output.startswith("one: 1 missing of 1\nsweep: 2 completed, 1 failed of 3\n")
    assert "1 no longer in the config (ensemake prune lists them)" in told.output
    assert ask("status", "one").output == "one: 1 missing of 1\n"
    (failed,) = ask("find", "sweep", "status == 'failed' and x > 2").output.splitlines()
    assert "AssertionError" in Path(failed, "run.err").read_text()
    assert len(ask("find", "sweep", "v == 1.5").output.splitlines()) == 2
    assert len(ask("find", "sweep").output.splitlines()) == 3


def test_preview_and_check(swept: Project) -> None:
    assert "2 completed already, 1 to run" in ask("preview", "sweep").output
    both = ask("preview", "--at-once", "7").output
    assert both.index("one: a model, to run") < both.index("\n\nsweep: 3 members")
    assert ask("check").output == "config/config.yaml: no faults; 1 model, 1 ensemble\n"


def test_results_are_written(swept: Project) -> None:
    told = ask("results", "sweep").output
    assert told.splitlines()[-2:] == [
        "  results/exp/sweep/results.csv",
        "results/exp/overview.html",
    ]
    assert [row["v"] for row in swept.table()] == ["1.5", "1.5", ""]
    assert (swept.results / "sweep/plots/v.svg").exists()


def test_prune_deletes_only_with_yes(swept: Project) -> None:
    left = set((swept.results / "sweep").iterdir())
    assert "Nothing was deleted. To delete: ensemake prune --yes" in ask("prune").output
    assert set((swept.results / "sweep").iterdir()) == left
    assert "1 deleted." in ask("prune", "--yes").output
    assert len(list((swept.results / "sweep").iterdir())) == len(left) - 1
    assert ask("prune").output.startswith("Nothing to prune")


@pytest.mark.parametrize("first", [True, False])
def test_options_before_and_after_the_question(
    swept: Project, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    (swept.folder / "config/config.yaml").rename(swept.folder.parent / "other.yaml")
    monkeypatch.chdir(swept.folder.parent)
    where = ["-C", "project", "--configfile", "other.yaml"]
    told = (
        ask(*where, "find", "sweep", "x == 3") if first else ask("find", *where, "sweep", "x == 3")
    )
    assert told.output.startswith("project/results/exp/sweep/")
    assert Path(swept.folder.parent, told.output.strip(), "run.sh").exists()


def test_another_place_for_results(swept: Project) -> None:
    assert (
        ask("status", "--config", "results=elsewhere", "sweep").output == "sweep: 3 missing of 3\n"
    )
    for text in ("results", "results=["):
        assert "write KEY=VALUE" in ask("status", "--config", text).output


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda words: words[0])
def test_faults_are_those_of_the_workflow(swept: Project, question: list[str]) -> None:
    swept.config["ensembles"]["sweep"]["where"] = "x > 9"
    swept.save()
    told = ask(*question)
    assert told.exit_code == 1
    assert told.stdout == ""
    line = "config/config.yaml:19: ensembles.sweep.where: keeps none of the members"
    assert told.stderr.startswith(line)
    assert told.stderr.endswith("\n1 fault in config/config.yaml: nothing was run.\n")


def test_check_tells_the_faults_of_all_entities(swept: Project) -> None:
    swept.ensemble("other", where="x == 5")
    swept.config["ensembles"]["sweep"]["where"] = "x > 9"
    swept.save()
    told = ask("check").stderr
    assert "ensembles.other.where: keeps none" in told
    assert "ensembles.sweep.where: keeps none" in told


def test_names_that_are_not_there(swept: Project) -> None:
    told = ask("status", "swep")
    assert told.exit_code == 1
    assert "no model or ensemble 'swep'; did you mean 'sweep'?" in told.stderr
    told = ask("find", "sweep", "y == 1")
    assert told.exit_code == 1
    assert told.stderr.startswith("Error: 'y' is no column of results.csv")


def test_status_is_watched_until_nothing_runs(
    swept: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = ask("find", "sweep", "x == 1").output.strip()
    status = Path(member, "status.json")
    content = status.read_text()
    status.unlink()
    holder = subprocess.Popen(
        ["flock", f"{member}/.lock", "-c", "echo; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()

    def sleep(seconds: float) -> None:
        holder.communicate("\n")
        status.write_text(content)

    monkeypatch.setattr("ensemake.cli.time", SimpleNamespace(sleep=sleep))
    lines = ask("status", "--watch", "sweep").output.splitlines()
    assert [line for line in lines if line.startswith("sweep")] == [
        "sweep: 1 completed, 1 failed, 1 running of 3",
        "sweep: 2 completed, 1 failed of 3",
    ]


def test_a_run_between_two_members_is_watched_on(
    swept: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = swept.results / ".ensemake" / "sweep" / "run.lock"
    hold(lock, "sweep")
    clock = SimpleNamespace(sleep=lambda seconds: release(lock))
    monkeypatch.setattr("ensemake.cli.time", clock)
    assert ask("status", "--watch", "sweep").output.count("sweep: 2 completed") == 2
    holder = {"host": socket.gethostname(), "pid": 2**22 + 1, "since": ""}
    lock.write_text(json.dumps(holder))  # killed: nobody let go of it
    assert ask("status", "--watch", "sweep").output.count("sweep: 2 completed") == 1


def test_a_saved_config_was_checked_when_it_was_run(swept: Project) -> None:
    config = load_config(Path("config/config.yaml"))
    saved = swept.write("results/exp/.ensemake/config.json", config.model_dump_json())
    (swept.folder / "config/config.yaml").unlink()
    (swept.folder / "code.py").unlink()
    told = ask("status", "--saved", str(saved), "one")
    assert told.output == "one: 1 missing of 1\n"


def test_questions_write_nothing(swept: Project) -> None:
    swept.write("own/choice.py", "def pick(names, values):\n    return [{'x': 1}, {'x': 2}]\n")
    swept.config["ensembles"]["sweep"]["perm_strategy"] = "own.choice:pick"
    swept.save()
    before = files(swept.folder)
    script = "".join(f"ensemake {' '.join(words)}\n" for words in QUESTIONS)
    environment = {**swept.environment, "PYTHONPATH": str(swept.folder)}
    done = subprocess.run(
        ["bash", "-e"], input=script, text=True, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert "sweep: all 2 completed" in done.stdout
    assert files(swept.folder) == before


def imported(*words: str) -> set[str]:
    """Return what a fresh Python has imported when the command has ended."""
    code = (
        "import json, sys; from ensemake.cli import ensemake\n"
        f"try: ensemake({list(words)!r})\n"
        "except SystemExit: print(json.dumps(list(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(told.stdout.splitlines()[-1]))


def test_a_folder_that_cannot_be_written_is_told(swept: Project) -> None:
    (swept.results / "sweep" / "members.csv").mkdir()
    told = ask("results", "sweep")
    assert told.exit_code == 1
    assert told.stderr.startswith("Error: ")
    assert "members.csv" in told.stderr or ".tmp" in told.stderr
    assert told.stderr.endswith(": Is a directory\n")


def test_starts_fast(swept: Project) -> None:
    assert imported("--help") == set()
    assert imported("path", "snakefile") == set()
    assert imported("status") == {"pydantic", "yaml", "jinja2"}


def test_paths_are_there() -> None:
    assert Path(ask("path", "snakefile").output.strip()).is_file()
    assert os.listdir(ask("path", "profiles").output.strip())


def test_nothing_is_pruned_that_is_being_run(swept: Project) -> None:
    words = [sys.executable, "-c", HOLD, str(swept.results / ".ensemake" / "sweep" / "run.lock")]
    before = files(swept.results / "sweep")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        asked = ask("prune", "--yes")
        run.kill()
    assert asked.exit_code == 1
    assert f"sweep is being run by process {run.pid} on " in asked.stderr
    assert files(swept.results / "sweep") == before
    assert ask("prune", "--yes").exit_code == 0


@pytest.fixture
def ran(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Three members that completed."""
    project.write("in.cfg", "x = ;x;")
    metrics = {"v": {"file": "out.json", "key": "value"}}
    project.ensemble(metrics=metrics, files={"to_configure": ["in.cfg"]})
    assert project.run().returncode == 0
    monkeypatch.chdir(project.folder)
    return project


@pytest.mark.workflow
def test_what_was_run_is_told_by_the_results_alone(ran: Project) -> None:
    told = ask("status").output
    assert told == "sweep: all 3 completed\n"
    (ran.folder / "in.cfg").unlink()
    for text in (None, "experiment: exp\nensembles: 3\n", "a: [\n"):
        if text:
            (ran.folder / "config" / "config.yaml").write_text(text)
        answer = ask("status")
        assert answer.stdout == told
        assert answer.stderr == "config/config.yaml has faults; this is what was run last.\n"
        assert ask("preview").exit_code == 1
        assert ask("prune", "--yes").exit_code == 1
    before = (ran.results / "sweep" / "results.csv").read_text()
    (ran.results / "sweep" / "results.csv").unlink()
    assert ask("results").exit_code == 0
    assert (ran.results / "sweep" / "results.csv").read_text() == before


@pytest.mark.workflow
def test_results_that_were_moved(ran: Project, tmp_path: Path) -> None:
    moved = ran.results.rename(tmp_path / "copy")
    assert ask("status", str(moved)).output == "sweep: all 3 completed\n"
    assert ask("status", str(moved), "sweep").output == "sweep: all 3 completed\n"
    (directory,) = ask("find", str(moved / "sweep"), "x == 2").output.split()
    assert Path(directory, "params.json").exists()
    assert ask("results", str(moved)).exit_code == 0
    assert (moved / "overview.html").exists()
    assert not ran.results.exists()
