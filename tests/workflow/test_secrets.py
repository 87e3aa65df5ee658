"""Values of environment variables: where they are written, and who can read it."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from ensemake.check.config import check_config
from ensemake.config.faults import ConfigError
from ensemake.config.schema import Config
from ensemake.config.yamlfile import Document
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Plan, read_work, save_work

from ..conftest import Project

TELL = {"exe": "sh", "exe_args": ["-c", 'printf %s "$NAME$OTHER" | wc -c']}


def config(**env_vars: object) -> Config:
    run = {**TELL, "env_vars": env_vars}
    data = {"experiment": "exp", "models": {"m": {"run_settings": run}}}
    return check_config(Document("config.yaml", data))


@pytest.mark.workflow
def test_a_variable_is_passed_on_and_written_nowhere(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_vars = {"NAME": {"from_env": "TOKEN"}, "OTHER": "hunter2"}
    run = {**TELL, "env_vars": env_vars}
    project.ensemble("alone", run_settings=run, outputs=[])
    project.ensemble("packed", run_settings=run, outputs=[], batch_settings={})
    failed = project.run()
    assert failed.returncode == 1
    assert failed.stderr.count("the environment has no TOKEN") >= 2
    monkeypatch.setenv("TOKEN", "very-secret")
    assert project.run().returncode == 0
    for name in ("alone", "packed"):
        assert (project.member(name, x=1) / "run.out").read_text().strip() == "18"
    assert project.run("--report", "report.html").returncode == 0
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    holding = {path for path in files if b"very-secret" in path.read_bytes()}
    assert not holding
    seen = {path for path in files if b"hunter2" in path.read_bytes()}
    assert {path.name for path in seen} <= {"config.yaml", "run.sh", "env_vars.json"} | {
        path.name for path in seen if path.name.endswith(".plan.json")
    }
    private = {path for path in seen if ".ensemake" in path.parts}
    assert private
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)


@pytest.mark.workflow
def test_the_umask_holds_for_all_files(project: Project) -> None:
    project.write("data.txt", "data", mode=0o644)
    project.ensemble(files={"to_copy": ["data.txt", "code.py"]})
    project.save()
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", *project.command()]
    subprocess.run(command, cwd=project.folder, env=project.environment, check=True)
    for path in project.results.parent.rglob("*"):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0 or path.is_symlink(), path
    assert os.access(project.member(x=1) / "code.py", os.X_OK)


def test_a_passed_variable_is_no_part_of_the_recipe() -> None:
    plain = expand_work(config(OTHER="o"), "m").planned[0].digest
    passed = expand_work(config(OTHER="o", NAME={"from_env": "TOKEN"}), "m").planned[0].digest
    assert passed == plain


def test_who_has_run_it_reads_the_values_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = expand_work(config(NAME="hidden-text"), "m")
    save_work(work)
    assert read_work(Path("results/exp"), "m") == work
    assert b"hidden-text" not in work.layout.planned.read_bytes()
    work.layout.env_vars.unlink()  # somebody else
    assert read_work(Path("results/exp"), "m").planned == work.planned


@pytest.mark.parametrize("name", ["IFS", "PS1", "NAME", "HOME"])
def test_a_variable_arrives_under_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = {"exe": "printenv", "exe_args": [name], "env_vars": {name: {"from_env": "TOKEN"}}}
    data = {"experiment": "exp", "models": {"m": {"run_settings": run}}}
    work = expand_work(check_config(Document("config.yaml", data)), "m")
    assert generate(Plan("m", work.settings, work.planned), Path()) == []
    directory = Path(work.planned[0].directory)
    token = "a 'b' $c\n\"d\""
    subprocess.run(["bash", f"{directory}/run.sh"], check=True, env={**os.environ, "TOKEN": token})
    assert (directory / "run.out").read_text() == f"{token}\n"


def test_raw_texts_are_given_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "{{ x }} ${#a} {% raw"
    run = {
        "exe": "sh",
        "exe_args": ["-c", {"raw": 'printf "%s|" "$1" "$NAME"'}, "sh", {"raw": text}],
        "env_vars": {"NAME": {"raw": text}},
    }
    data = {"experiment": "exp", "models": {"m": {"run_settings": run}}}
    work = expand_work(check_config(Document("config.yaml", data)), "m")
    assert generate(Plan("m", work.settings, work.planned), Path()) == []
    directory = Path(work.planned[0].directory)
    subprocess.run(["bash", f"{directory}/run.sh"], check=True)
    assert (directory / "run.out").read_text() == f"{text}|{text}|"


@pytest.mark.parametrize(
    ("env_vars", "words"),
    [
        ({"A": "${#a}"}, "write {raw: '...'}"),
        ({"A": {"raw": "x", "from_env": "Y"}}, "needs one of raw: TEXT, from_env: NAME"),
        ({"A": {}}, "needs one of raw: TEXT, from_env: NAME"),
        ({"A": {"fromenv": "Y"}}, "did you mean 'from_env'"),
        ({"A": {"from_env": "UID"}}, "bash sets it itself"),
        ({"LD_LIBRARY_PATH": "$HOME/lib:$LD_LIBRARY_PATH"}, "no shell reads it"),
        ({"A": [1]}, "expected text or a number, got the list"),
    ],
)
def test_faults_of_variables(env_vars: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**env_vars)
    assert words in str(caught.value)
    assert len(caught.value.faults) == 1
