"""Status in every state, from files alone; shared values of failures; the record of a run."""

import fcntl
import json
import os
import platform
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.plan import Planned, Work
from ensemake.results import provenance
from ensemake.results.outcomes import (
    common_values,
    error_line,
    failures,
    leftovers,
    outcomes,
    status_lines,
)

from ..conftest import Project


def work(base: Path, **keys: Any) -> Work:
    settings = {
        "params": {"x": [1, 2, 3], "dt": [0.1, 0.2], "kind": "a"},
        "run_settings": {"exe": "echo", "exe_args": ["{{ x }} {{ dt }} {{ kind }}"]},
        **keys,
    }
    config = {"experiment": "exp", "ensembles": {"sweep": settings}}
    return expand_work(Config.model_validate(config), "sweep", base)


def ended(base: Path, member: Planned, status: str = "completed", **more: Any) -> Path:
    directory = base / member.directory
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".lock").touch()
    code = 0 if status == "completed" else 3
    record = {"status": status, "exit_code": code, "digest": member.digest, **more}
    (directory / "status.json").write_text(json.dumps(record))
    return directory


def submitted(base: Path, marker: Path, job: str | None = "17") -> None:
    folder = base / ".snakemake" / "incomplete"
    folder.mkdir(parents=True, exist_ok=True)
    name = urlsafe_b64encode(str(marker).encode()).decode()
    (folder / name).write_text(json.dumps({"external_jobid": job}))


def test_every_state(tmp_path: Path) -> None:
    sweep = work(tmp_path, outputs=["out.json"])
    one, two, three, four, five, _ = sweep.planned
    (ended(tmp_path, one) / "out.json").touch()
    ended(tmp_path, two)  # its output is gone
    (ended(tmp_path, three, digest="other") / "out.json").touch()
    ended(tmp_path, four, "failed", reason="exit code 3")
    (tmp_path / five.directory).mkdir()
    with (tmp_path / five.directory / ".lock").open("w") as lock:
        lock.write("1-digest 1 host 1 2026-01-01T00:00:00+0000\n")
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = [outcome.state for outcome in outcomes(sweep)]
    assert found == ["completed", "incomplete", "stale", "failed", "running", "missing"]
    assert outcomes(sweep)[4].state == "killed"


def test_queued_is_what_a_living_run_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(provenance.VARIABLE, "")
    sweep = work(tmp_path)
    submitted(tmp_path, sweep.layout.done(sweep.planned[0].name))
    submitted(tmp_path, sweep.layout.done(sweep.planned[1].name), job=None)  # on this machine
    assert {outcome.state for outcome in outcomes(sweep)} == {"missing"}
    provenance.new_run()
    provenance.record_start(sweep.layout.root, Config(experiment="exp"), {"sweep": 6}, tmp_path)
    assert [o.state for o in outcomes(sweep)[:3]] == ["queued", "missing", "missing"]
    provenance.record_end(sweep.layout.root, False, tmp_path)
    assert {outcome.state for outcome in outcomes(sweep)} == {"missing"}


def test_a_batch_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(provenance.VARIABLE, "")
    sweep = work(tmp_path, batch_settings={"size": 4})
    chunk, plan = next(iter(sweep.chunks(sweep.planned)))
    path = tmp_path / sweep.layout.plan(chunk)
    path.parent.mkdir(parents=True)
    path.write_text(plan.as_json())
    submitted(tmp_path, sweep.layout.done(chunk))
    provenance.new_run()
    provenance.record_start(sweep.layout.root, Config(experiment="exp"), {"sweep": 6}, tmp_path)
    assert [outcome.state for outcome in outcomes(sweep)] == ["queued"] * 4 + ["missing"] * 2


def test_a_run_whose_process_is_gone_is_dead() -> None:
    assert not provenance.is_over({"host": platform.node(), "pid": os.getpid()})
    assert provenance.is_over({"host": platform.node(), "pid": 2**22 + 1})
    assert not provenance.is_over({"host": "elsewhere", "pid": 2**22 + 1})


def test_what_failures_share(tmp_path: Path) -> None:
    sweep = work(tmp_path)
    for member in sweep.planned:
        ended(tmp_path, member, "failed" if member.values["dt"] == 0.1 else "completed")
    found = outcomes(sweep)
    (one,) = common_values(sweep, failures(found))
    assert (one.name, one.value, one.failed, one.members) == ("dt", 0.1, 3, 3)
    lines = status_lines(sweep, found)
    assert lines[:2] == [
        "sweep: 3 completed, 3 failed of 6",
        "  all 3 failed members have dt=0.1; no other member has it",
    ]
    assert "kind" not in "".join(lines)  # the same in all of them
    assert common_values(sweep, failures(found)[:1]) == []


def test_failures_are_told_with_reason_parameters_and_log(tmp_path: Path) -> None:
    sweep = work(tmp_path)
    directory = ended(tmp_path, sweep.planned[0], "failed", reason="exit code 3")
    (directory / "run.err").write_text("Traceback\n\x1b[31mValueError: no\x07 way\x1b[0m\n\n")
    assert status_lines(sweep)[1:] == [
        "  failed: exit code 3: x=1, dt=0.1",
        "      [31mValueError: no way[0m",
        f"      {sweep.planned[0].directory}/run.err",
    ]


def test_one_that_never_started_has_no_log_to_see(tmp_path: Path) -> None:
    sweep = work(tmp_path)
    why = "did not start (Slurm: TIMEOUT)"
    ended(tmp_path, sweep.planned[0], "cancelled", attempt=0, reason=why)
    assert status_lines(sweep)[1:] == [f"  cancelled: {why}: x=1, dt=0.1"]


def test_kinds_of_failure_are_cut(tmp_path: Path) -> None:
    sweep = work(tmp_path, params={"x": {"range": [0, 30]}})
    for member in sweep.planned:
        ended(tmp_path, member, "failed", reason=f"exit code {member.values['x']}")
    lines = status_lines(sweep)
    assert "20 more: see results/exp/sweep/results.csv" in lines[-1]
    assert len(lines) < 50


def test_members_that_fail_alike_are_told_once(tmp_path: Path) -> None:
    sweep = work(tmp_path)
    for number, member in enumerate(sweep.planned):
        reason = "exit code 3" if number < 4 else "exit code 4"
        directory = ended(tmp_path, member, "failed", reason=reason)
        (directory / "run.err").write_text("FLUX diverged: error\n#1 0x7f in ???\n-----\n")
    lines = status_lines(sweep)
    assert lines[1:5] == [
        "  failed: exit code 3: 4 members, such as x=1, dt=0.1",
        "      FLUX diverged: error",
        f"      {sweep.planned[0].directory}/run.err",
        "  failed: exit code 4: 2 members, such as x=3, dt=0.1",
    ]


def test_what_was_cancelled_shares_no_blame(tmp_path: Path) -> None:
    sweep = work(tmp_path)
    for member in sweep.planned:
        state = "failed" if member.values["dt"] == 0.1 else "cancelled"
        ended(tmp_path, member, state, reason="stopped by SIGTERM")
    assert "  all 3 failed members have dt=0.1; 0 more" not in status_lines(sweep)
    assert "all 3 failed members have dt=0.1; no other member has it" in status_lines(sweep)[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'\n",
            "KeyError: 'x'",
        ),
        (
            "At line 3 of file a.f90\nFortran runtime error: End of file\n\n"
            "Error termination. Backtrace:\n#0  0x7f in ???\n#10 0xffff in ???\n",
            "Fortran runtime error: End of file",
        ),
        (
            "ERROR: Lost atoms (src/thermo.cpp:494)\nLast command: run 100\n------\n"
            "srun: error: node1: task 0: Exited with exit code 1\n",
            "ERROR: Lost atoms (src/thermo.cpp:494)",
        ),
        ("all went well\nslurmstepd: error: *** STEP 1.0 ON n1 CANCELLED\n", "all went well"),
        ("step 1\nstep 2\n", "step 2"),
    ],
)
def test_the_line_that_says_what_is_wrong(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "run.err").write_text(text)
    assert error_line(tmp_path / "run.err") == line


def test_last_line_of_anything(tmp_path: Path) -> None:
    path = tmp_path / "run.err"
    assert error_line(path) == ""
    path.write_bytes(b"\xff\xfe\n" + b"x" * 10_000)
    assert error_line(path) == "x" * 100


def test_no_line_of_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert [error_line(tmp_path / name) for name in ("pipe", "zero", ".")] == ["", "", ""]


def test_leftovers(tmp_path: Path) -> None:
    sweep = work(tmp_path)
    folder = tmp_path / sweep.layout.directory
    (folder / "plots").mkdir(parents=True)
    (folder / "old").mkdir()
    (folder / "old" / "run.sh").touch()
    assert leftovers(sweep) == [folder / "old"]


def test_profiles_of_a_command_line() -> None:
    words = ["snakemake", "--profile", "slurm", "--workflow-profile=site", "-n"]
    assert provenance.profiles(words, {}) == ["slurm", "site"]
    assert provenance.profiles(["snakemake"], {"SNAKEMAKE_PROFILE": "pbs"}) == ["pbs"]


@pytest.mark.workflow
def test_each_run_leaves_a_record_and_rows_name_it(project: Project) -> None:
    settings = project.ensemble()
    project.run()
    settings["params"] = {"x": [1, 2, 3, 4]}
    project.run()
    project.run("status")
    records = [
        json.loads(path.read_text())
        for path in sorted((project.results / ".ensemake" / "runs").glob("*.json"))
    ]
    records.sort(key=lambda record: len(record["config"]["ensembles"]["sweep"]["params"]["x"]))
    first, second = records
    assert [first["pending"], second["pending"]] == [{"sweep": 3}, {"sweep": 1}]
    assert [row["run"] for row in project.table()] == [first["run"]] * 3 + [second["run"]]
    assert first["succeeded"] is True
    assert first["packages"]["snakemake"]
    assert first["profile"][0].endswith("profiles/local")
    assert first["git"] is None or len(first["git"]["commit"]) == 40
