"""Batches through the workflow: few jobs, never more members than fit, nothing done twice."""

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster, until
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

# Start, job and end of each run on one line each, outside of the results.
CODE = """\
#!/bin/bash
top=$(dirname "$RAN_LOG")
name=$(basename "$PWD")
echo "$EPOCHREALTIME 1 $SLURM_JOB_ID" >> "$top/times"
echo "$name" >> "$RAN_LOG"
sleep 0.3
[ ! -e "$top/slow" ] || sleep 2
echo "$name" >> "$top/finished"
echo "$EPOCHREALTIME -1 $SLURM_JOB_ID" >> "$top/times"
"""


def packed(project: SlurmProject, count: int, **batch: int) -> None:
    project.write("code.sh", CODE, mode=0o755)
    project.ensemble(
        params={"x": list(range(count))},
        outputs=[],
        run_settings={"exe": "./code.sh"},
        batch_settings=batch,
    )


def most_at_once(lines: list[list[str]]) -> int:
    running = most = 0
    for _, change, _ in sorted(lines):
        running += int(change)
        most = max(most, running)
    return most


def finished(project: SlurmProject) -> Counter[str]:
    log = project.folder / "finished"
    return Counter(log.read_text().split()) if log.exists() else Counter()


def runners(folder: Path) -> list[int]:
    """The processes that run batches of this project, without the watchdogs they fork."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            here = (entry / "cwd").resolve()
        except OSError:
            continue
        if here == folder and len(words) > 2 and words[1].endswith(b"/scripts/batch.py"):
            found[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return [pid for pid, parent in found.items() if parent not in found]


def test_200_members_are_4_jobs_and_growing_adds_one(project: SlurmProject) -> None:
    packed(project, 200, size=50)
    project.finish()
    lines = [line.split() for line in (project.folder / "times").read_text().splitlines()]
    assert len({job for _, _, job in lines}) == 4
    assert most_at_once(lines) <= 8
    assert [event["slots"] for event in _events(project, "start")] == [4] * 4
    assert sum(project.ran().values()) == 200

    project.config["ensembles"]["sweep"]["params"] = {"x": list(range(203))}
    project.finish()
    assert set(project.ran().values()) == {1}
    lines = [line.split() for line in (project.folder / "times").read_text().splitlines()]
    assert len({job for _, _, job in lines}) == 5


def test_whatever_is_killed_the_next_run_does_only_what_is_missing(
    slurm: Cluster, project: SlurmProject, reap: list[subprocess.Popen[str]]
) -> None:
    packed(project, 60, size=30)
    (project.folder / "slow").touch()
    first = project.start()
    reap.append(first)
    until(lambda: len(finished(project)) >= 6 and len(runners(project.folder)) == 2, "some members")
    # its runner ends what the member started, or it would be computed beside its successor
    until(lambda: _running(project) != [], "a member")
    os.kill(_running(project)[0], signal.SIGKILL)
    until(lambda: _ends(project)["killed"] == 1, "the batch to see it")
    runner, other = runners(project.folder)
    slurm.run("scancel", _job_of(other))
    os.kill(runner, signal.SIGKILL)
    told, _ = first.communicate(timeout=200)
    assert first.returncode == 1, told

    second = project.start()
    reap.append(second)
    before = len(finished(project))
    until(lambda: len(finished(project)) >= before + 6, "more members")
    second.kill()
    second.wait()
    assert len(slurm.jobs()) == 2
    third = project.start()
    reap.append(third)
    until(lambda: "Taking over Slurm job" in _logged(project), "the jobs to be taken over")
    (project.folder / "slow").unlink()
    told, _ = third.communicate(timeout=200)
    assert third.returncode == 0, told
    assert len(finished(project)) == 60
    assert set(finished(project).values()) == {1}


def _logged(project: SlurmProject) -> str:
    return "".join(path.read_text() for path in project.folder.glob(".snakemake/log/*.log"))


def _ends(project: SlurmProject) -> Counter[str]:
    """How members ended, as the records of the batches have it."""
    return Counter(event["status"] for event in _events(project, "end"))


def _events(project: SlurmProject, kind: str) -> list[dict[str, Any]]:
    """What the records of the batches have of a kind."""
    records = project.results.glob(".ensemake/sweep/*.record.jsonl")
    lines = [json.loads(line) for path in records for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def _job_of(pid: int) -> str:
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = dict(word.partition(b"=")[::2] for word in words)
    ids = [pairs[name] for name in (b"SLURM_ARRAY_JOB_ID", b"SLURM_ARRAY_TASK_ID") if name in pairs]
    return b"_".join(ids or [pairs[b"SLURM_JOB_ID"]]).decode()


def _running(project: SlurmProject) -> list[int]:
    """The process ids of each run.sh that runs, as they wrote them into their locks."""
    found = []
    for lock in project.results.glob("sweep/*/.lock"):
        words = lock.read_text().split()
        if len(words) > 3 and not (lock.parent / "status.json").exists():
            found += [int(words[3])] if Path(f"/proc/{words[3]}").exists() else []
    return found
