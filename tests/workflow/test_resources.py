"""On one machine: never more members at once than CPUs and memory allow."""

from pathlib import Path
from typing import Any

import pytest

from ensemake.member.command import resource

from ..conftest import Project
from .test_reruns import finish

pytestmark = pytest.mark.workflow

# Notes its begin and end on one line each, with the time.
CODE = """\
#!/bin/bash
echo "$EPOCHREALTIME 1" >> "$RAN_LOG"
sleep 0.2
echo "$EPOCHREALTIME -1" >> "$RAN_LOG"
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(5, 5), ("main", "main"), ("{{ x * 8 }}", 24), ("{{ x / 2 }}", 2), ("{{ x }}h", "3h")],
)
def test_a_resource_is_never_less_than_asked(value: Any, expected: Any) -> None:
    assert resource(value, {"x": 3}) == expected


def most_at_once(log: Path) -> int:
    events = sorted((float(t), int(n)) for t, n in map(str.split, log.read_text().splitlines()))
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most


@pytest.mark.parametrize(
    ("resources", "arguments", "expected"),
    [
        ({}, ["--cores", "3"], 3),
        ({"cpus_per_task": 2}, ["--cores", "4"], 2),
        ({"tasks": 2, "cpus_per_task": 2}, ["--cores", "4"], 1),
        ({"mem_mb": 1000}, ["--cores", "4", "--resources", "mem_mb=2000"], 2),
    ],
)
def test_never_more_than_fit(
    project: Project, resources: dict[str, int], arguments: list[str], expected: int
) -> None:
    project.write("code.py", CODE, mode=0o755)
    settings = project.ensemble(params={"x": list(range(6))}, resources=resources, outputs=[])
    settings["run_settings"]["run_command"] = "none"
    finish(project, *arguments)
    assert most_at_once(project.folder / "ran.log") == expected


def test_memory_of_this_machine_is_the_limit(project: Project) -> None:
    """Without --resources: two members that want most of the memory do not run together."""
    import os

    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    project.write("code.py", CODE, mode=0o755)
    project.ensemble(params={"x": [1, 2, 3]}, resources={"mem_mb": installed // 2 + 1}, outputs=[])
    finish(project, "--cores", "3")
    assert most_at_once(project.folder / "ran.log") == 1
