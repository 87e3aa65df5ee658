"""An installed copy brings the workflow, rules, scripts and profiles, and runs anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import REPOSITORY, Project

pytestmark = pytest.mark.workflow


def run(words: list[str], **options: object) -> str:
    done = subprocess.run(words, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package installed from a wheel, alone."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    run([*pip, "--target", str(folder), str(REPOSITORY)])
    return folder


def test_an_installed_copy_runs(installed: Path, project: Project) -> None:
    project.ensemble()
    project.save()
    environment = {**project.environment, "PYTHONPATH": str(installed)}
    here = {"cwd": project.folder, "env": environment}
    ensemake = [sys.executable, "-m", "ensemake.cli"]
    where = run([*ensemake, "path", "snakefile"], **here).strip()
    profiles = run([*ensemake, "path", "profiles"], **here).strip()
    assert Path(where).is_relative_to(installed)
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", where]
    run([*snakemake, "--profile", f"{profiles}/local"], **here)
    assert len(project.ran()) == 3
    assert "all 3 completed" in run([*snakemake, "--cores", "1", "status"], **here)


def test_an_installed_copy_begins_a_project(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_CONFIG_HOME": str(tmp_path)}
    run([sys.executable, "-m", "ensemake.cli", "init", "new"], cwd=tmp_path, env=environment)
    made = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*.*")}
    assert made >= {Path(".gitignore"), Path("config/config.yaml"), Path("code/pendulum.py")}
    assert (tmp_path / "new" / "workflow" / "Snakefile").exists()
    assert (tmp_path / "snakemake" / "slurm").resolve().is_relative_to(installed)


def test_the_wheel_holds_no_caches(installed: Path) -> None:
    share = installed / "ensemake" / "share"
    assert {path.name for path in share.iterdir()} == {"workflow", "rules", "scripts", "profiles"}
    assert os.listdir(share / "workflow") == ["Snakefile"]


def test_the_executors_come_with_it(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    words = [sys.executable, "-m", "snakemake", "--executor", "pbs", "--help"]
    text = run(words, cwd=tmp_path, env=environment)
    for option in ("logdir", "array-jobs", "array-limit", "full-jobs"):
        assert f"--pbs-{option}" in text
    assert {"--sbatch-logdir", "--sbatch-full-jobs"} <= set(text.split())
    for name in ("pbs", "sbatch"):
        where = f"import snakemake_executor_plugin_{name} as p; print(p.__file__)"
        found = run([sys.executable, "-c", where], cwd=tmp_path, env=environment)
        assert Path(found.strip()).is_relative_to(installed)
