"""Fixtures: a fake PBS on PATH, and Snakemake run on it for real."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "workflow")]

from harness import Fake, Project, install  # noqa: E402


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a fake PBS first on PATH."""
    return install(tmp_path, monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    folder = tmp_path / "a project"  # blanks must survive everywhere
    folder.mkdir()
    return Project(folder)
