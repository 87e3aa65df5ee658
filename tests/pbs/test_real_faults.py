"""Faults of a real PBS and of its daemons: nothing lost, nothing twice, every reason told.

They need a manager's rights, and daemons that end and start at a word: `.ci/pbs` gives both.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PbsProject, wait_for
from real import asked, in_queue, server_answers, shared_folder

DAEMONS = os.environ.get("PBS_TEST_DAEMONS", "")  # a pipe that takes words
pytestmark = [
    pytest.mark.pbs,
    pytest.mark.skipif(not (DAEMONS and server_answers()), reason="no PBS to be disturbed"),
]
AWAY_S = 10

# Each member tells its job and its node, waits to be let go, and then does what its name says.
CODE = """\
#!/bin/bash
echo "$(basename "$PWD")" >> "$RAN_LOG"
top=$(dirname "$RAN_LOG")
echo "$PBS_JOBID $(hostname)" > "$top/$1.job"
until [ -e "$top/go" ] || [ -e "$top/$1.go" ]; do sleep 0.1; done
[ "$1" != fails ] || [ -e "$top/healed" ] || exit 3
"""


@pytest.fixture
def project() -> Iterator[PbsProject]:
    """A project in a folder that the nodes see; PBS as it was, afterwards."""
    with shared_folder() as folder:
        yield PbsProject(folder / "a project")
        set_up("unset queue workq max_queued")


def set_up(line: str) -> None:
    subprocess.run(["qmgr", "-c", line], check=True)


def daemon(*words: str) -> None:
    Path(DAEMONS).write_text(" ".join(words) + "\n")


def manage(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30)


def members(project: PbsProject, *names: str, extra: str = "") -> None:
    project.write("code.sh", CODE, mode=0o755)
    project.ensemble(
        params={"x": list(names)},
        run_settings={"exe": "./code.sh", "exe_args": ["{{ x }}"]},
        resources={"mem_mb": 50, "runtime": 10, "pbs_extra": extra},
        outputs=[],
    )


def started(project: PbsProject, *names: str) -> bool:
    return all((project.folder / f"{name}.job").exists() for name in names)


def job(project: PbsProject, name: str) -> tuple[str, str]:
    """Return the id of a member's job, and its node."""
    job_id, node = (project.folder / f"{name}.job").read_text().split()
    return job_id, node


def let_go(project: PbsProject, *names: str) -> None:
    for name in names or [""]:
        (project.folder / (f"{name}.go" if name else "go")).touch()


def log(project: PbsProject) -> str:
    return "".join(path.read_text() for path in project.folder.glob(".snakemake/log/*.log"))


def outcomes(project: PbsProject) -> dict[str, str]:
    return {row["x"]: row["reason"] or row["status"] for row in project.table()}


def ran(project: PbsProject) -> dict[str, int]:
    return {row["x"]: project.ran()[row["member"]] for row in project.table()}


def test_what_is_not_the_end_is_waited_for_and_told_once(project):
    """Held by an operator, suspended, requeued; and a queue that takes no more."""
    members(project, "held", "suspended", "requeued", extra="{{ '-h' if x == 'held' else '' }}")
    other = PbsProject(project.folder.parent / "other")
    members(other, "late")
    set_up('set queue workq max_queued = "[u:PBS_GENERIC=3]"')
    process = project.start()
    wait_for(lambda: started(project, "suspended", "requeued"), process)
    late = other.start()
    (held,) = asked("qselect", "-h", "u").split()
    manage("qhold", "-h", "s", held)
    manage("qrls", "-h", "u", held)
    manage("qsig", "-s", "suspend", job(project, "suspended")[0])
    manage("qrerun", job(project, "requeued")[0])
    troubles = ("is waiting: Job held by", "is waiting: suspended")
    for words in troubles:
        wait_for(lambda words=words: words in log(project), process)
    wait_for(lambda: project.ran().total() == 3, process)
    wait_for(lambda: "takes no more jobs now" in log(other), late)

    let_go(project)
    let_go(other)
    manage("qrls", "-h", "s", held)
    manage("qsig", "-s", "resume", job(project, "suspended")[0])
    told, _ = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert [told.count(words) for words in troubles] == [1, 1]
    assert ran(project) == {"held": 1, "suspended": 1, "requeued": 2}
    late.communicate(timeout=60)
    assert ran(other) == {"late": 1}


def test_lost_jobs_and_a_lost_node_have_their_reasons_and_the_next_run_goes_on(project):
    members(
        project, "good", "purged", "pinned", "moved", extra="{{ '-r n' if x == 'pinned' else '' }}"
    )
    process = project.start()
    names = ("good", "purged", "pinned", "moved")
    wait_for(lambda: started(project, *names), process)
    let_go(project, "good")
    wait_for(lambda: "completed" in outcomes_on_disk(project), process)
    manage("qdel", "-W", "force", "-x", job(project, "purged")[0])
    for node in {job(project, name)[1] for name in ("pinned", "moved")}:
        daemon("kill", node)
        daemon("start", node)
    wait_for(lambda: project.ran().total() == 5, process)
    let_go(project)
    told, _ = process.communicate(timeout=100)
    assert process.returncode == 1, told
    found = outcomes(project)
    assert (found["good"], found["moved"]) == ("completed", "completed")
    assert "node lost: PBS was restarted on it" in found["pinned"]
    # in its own words, if PBS left it time for them
    assert re.search("killed by SIGKILL|PBS: unknown to PBS", found["purged"])
    assert ran(project) == {"good": 1, "purged": 1, "pinned": 1, "moved": 2}
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(project) == {"good": 1, "purged": 2, "pinned": 2, "moved": 2}


def test_a_server_that_is_away_is_waited_for(project):
    """What ends meanwhile, what is to be submitted, and jobs of a main process that was killed."""
    members(project, "good", "fails")
    others = PbsProject(project.folder.parent / "others")
    members(others, "a", "b")
    left = PbsProject(project.folder.parent / "left")
    members(left, "old")
    first, second, third = project.start(), others.start("--jobs", "1"), left.start()
    wait_for(lambda: started(project, "good", "fails") and started(left, "old"))
    wait_for(lambda: others.ran().total() == 1)
    daemon("kill", "server")
    third.kill()
    third.wait()
    third = left.start()
    away = time.monotonic()
    for one in (project, others, left):
        let_go(one)
    wait_for(lambda: all("PBS gives no answer" in log(one) for one in (project, others)))
    wait_for(lambda: time.monotonic() > away + AWAY_S)
    daemon("start", "server")
    for process, code in ((first, 1), (second, 0), (third, 0)):
        told, _ = process.communicate(timeout=100)
        assert process.returncode == code, told
    assert outcomes(project) == {"good": "completed", "fails": "exit code 3"}
    for one, names in ((project, ("good", "fails")), (others, ("a", "b")), (left, ("old",))):
        assert ran(one) == dict.fromkeys(names, 1)
    assert in_queue(project.folder.parent) == []


def outcomes_on_disk(project: PbsProject) -> str:
    return "".join(path.read_text() for path in project.results.glob("sweep/*/status.json"))
