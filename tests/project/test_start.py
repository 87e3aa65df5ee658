"""A project of one's own, and profiles that serve any folder."""

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ensemake.cli import ensemake

from ..conftest import Project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's Snakemake folder, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / ".config" / "snakemake"


def ask(*words: str) -> Result:
    return CliRunner().invoke(ensemake, words)


def test_profiles_are_linked_again_and_others_left_alone(home: Path, tmp_path: Path) -> None:
    assert ask("profiles").exit_code == 0
    assert {link.name for link in home.iterdir()} == {"local", "slurm", "pbs"}
    assert (home / "slurm" / "config.yaml").exists()
    (home / "slurm").unlink()
    (home / "slurm").symlink_to(tmp_path / "gone")
    (home / "local").unlink()
    (home / "local").mkdir()
    (home / "pbs").unlink()
    (home / "pbs").symlink_to(tmp_path)
    told = ask("profiles")
    assert told.exit_code == 1
    assert told.stderr.splitlines() == [
        f"{home}/{name} is there and no link of ours: left alone" for name in ("local", "pbs")
    ]
    assert (home / "slurm" / "config.yaml").exists()
    assert (home / "pbs").readlink() == tmp_path
    assert list((home / "local").iterdir()) == []


def test_init_overwrites_nothing(home: Path, tmp_path: Path) -> None:
    own = tmp_path / "config" / "config.yaml"
    own.parent.mkdir()
    own.write_text("experiment: mine\n")
    told = ask("init")
    assert told.exit_code == 0
    assert "kept config/config.yaml\n" in told.output
    assert "made workflow/Snakefile\n" in told.output
    assert own.read_text() == "experiment: mine\n"
    assert (home / "slurm" / "config.yaml").exists()
    before = (tmp_path / "workflow/Snakefile").stat().st_mtime_ns
    assert "made" not in ask("init").output
    assert (tmp_path / "workflow/Snakefile").stat().st_mtime_ns == before


@pytest.mark.workflow
def test_a_new_project_runs(home: Path, project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    environment = {**project.environment, "HOME": os.environ["HOME"]}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "To run it: cd new; snakemake --profile local" in ask("init", "new").output
    assert "swing: 12 members, all to run" in run("ensemake", "preview")
    assert "warning" not in run("ensemake", "preview")
    assert "swing: all 12 completed" in run("snakemake", "--profile", "local")
    assert "Nothing to be done" in run("snakemake", "--profile", "local")
    assert run("ensemake", "status") == "swing: all 12 completed\n"
    assert run("ensemake", "status") in run("snakemake", "--profile", "local", "status")
    periods = run("ensemake", "find", "swing", "period < 2.05").splitlines()
    assert len(periods) == 2  # 2.006 s for small amplitudes
    config = folder / "config" / "config.yaml"
    config.write_text(config.read_text().replace("damping: [", "dampin: ["))
    words = ["snakemake", "--profile", "local"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    asked = subprocess.run(
        ["ensemake", "check"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == asked.returncode == 1
    assert "config/config.yaml:11: ensembles.swing" in asked.stderr
    assert done.stderr.endswith(asked.stderr)
