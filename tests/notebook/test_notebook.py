"""A notebook, executed: what a reader sees in it."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

HERE = Path(__file__).parent
PACKAGES = HERE.parent.parent / "workflow"


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The outputs of each code cell."""
    shutil.copy(HERE / "logistic.py", tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{PACKAGES}:{os.environ.get('PYTHONPATH', '')}")
    notebook = nbformat.read(HERE / "sweep.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.workflow
def test_what_a_reader_sees(outputs: list[list[Any]]) -> None:
    ensemble, run, results, experiment = outputs
    assert "growth: 3 members" in ensemble[0].data["text/html"]
    assert "<td>growth_2</td><td>3.9</td>" in ensemble[0].data["text/html"]
    assert len(run) == 1, run  # one table, updated in place, and no log
    assert "<td>growth</td><td>3</td>" in run[0].data["text/html"]
    rows = results[0].data["text/plain"].splitlines()
    assert rows[1].split() == ["0", "2.5", "completed", "0.000000"]  # a number
    assert float(rows[3].split()[-1]) > 0.5
    assert "<td>growth</td><td>3</td>" in experiment[0].data["text/html"]
