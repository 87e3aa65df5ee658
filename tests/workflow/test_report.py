"""The report in a real browser without a network: it opens, sorts, shows the plots."""

import os
import shutil
from pathlib import Path

import pytest

from ..browser import browser
from ..conftest import Project

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        shutil.which("chromedriver") is None and "CI" not in os.environ,
        reason="needs chromium and chromium-driver",
    ),
]
SCRIPT = "if [ {{ x }} = 3 ]; then echo '<b>boom</b>' >&2; exit 3; fi; echo '{\"value\": {{ x }}}'"
FIGURE = """
from matplotlib.figure import Figure
def own(table):
    figure = Figure()
    figure.add_subplot().plot(table["x"], table["value"], "o")
    return figure
"""
ROWS = "return [...document.querySelectorAll('[data-table] td:nth-child(3)')].map(c => c.innerText)"


def test_the_report(project: Project, tmp_path: Path) -> None:
    project.ensemble(
        params={"x": [10, 9, 100, 3], "text": "</script><i>"},
        outputs=[],
        run_settings={"exe": "bash", "exe_args": ["-c", SCRIPT]},
        metrics={"value": {"file": "run.out", "key": "value"}},
        labels={"value": "value [m]"},
        plots=["figures.py:own", {"x": "x", "y": "value"}],
    )
    project.write("figures.py", FIGURE)
    assert project.run().returncode == 1  # x = 3 fails, the report is made all the same
    done = project.run("--report", "report.html")
    assert done.returncode == 0, done.stderr
    with browser(tmp_path) as window:
        window.open(project.folder / "report.html")
        window.wait(
            "const a = [...document.querySelectorAll('a')].find(a => a.innerText == 'Overview');"
            "if (a) a.click(); return !!a"
        )
        window.wait(
            "const a = document.querySelector('[iconname=eye]'); a && a.click(); return !!a"
        )
        window.wait("return document.querySelectorAll('iframe').length == 1")
        window.into_frame()
        window.wait("return document.querySelectorAll('[data-table] tbody tr').length == 4")
        assert window.run(ROWS) == ["3", "10", "9", "100"]  # what failed stands first
        window.run(
            "[...document.querySelectorAll('th button')].find(b => b.innerText == 'x').click()"
        )
        assert window.run(ROWS) == ["3", "9", "10", "100"]
        window.run(
            "[...document.querySelectorAll('th button')].find(b => b.innerText == 'x').click()"
        )
        assert window.run(ROWS) == ["100", "10", "9", "3"]
        assert window.run("return document.querySelector('[aria-sort]').ariaSort") == "descending"
        pictures = "[...document.querySelectorAll('[data-pictures]:not([hidden]) img')]"
        assert window.run(f"return {pictures}.map(i => i.naturalWidth > 300)") == [True] * 2
        text = window.run("return document.body.innerText")
        for part in ("1 failed", "exit code 3", "value [m] over x", "<b>boom</b>", "exe_args"):
            assert part in text
        assert "snakemake==" in window.run("return document.body.textContent")
        window.run(
            "const box = document.querySelector('#find'); box.value = 'failed';"
            "box.dispatchEvent(new Event('input'))"
        )
        assert window.run("return document.querySelector('[data-count]').innerText") == "1 of 4"
