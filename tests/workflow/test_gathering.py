"""Ends of very many members reach the table through markers of some hundred each."""

import pytest

from ensemake.workflow.entity import GROUP

from ..conftest import Project

pytestmark = pytest.mark.workflow


def test_a_failed_member_of_many_and_the_next_run(project: Project) -> None:
    """Those of its group and the others are complete, and only it runs again."""
    healed = 'test {{ x }} != 7 -o -e "$(dirname "$RAN_LOG")/healed" && echo {{ x }} >> "$RAN_LOG"'
    project.ensemble(
        params={"x": {"range": [0, GROUP + 20]}},
        run_settings={"exe": "bash", "exe_args": ["-c", healed]},
        outputs=[],
    )
    failed = project.run()
    assert failed.returncode == 1
    statuses = [row["status"] for row in project.table()]
    assert statuses.count("completed") == GROUP + 19
    project.write("healed", "")
    assert project.run().returncode == 0
    assert set(project.ran().values()) == {1}
    assert len(project.ran()) == GROUP + 20
    again = project.run()
    assert "Nothing to be done" in again.stdout + again.stderr
