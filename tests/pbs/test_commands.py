"""The calls of PBS's commands, against the fake."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from harness import wait_for
from snakemake_interface_common.exceptions import WorkflowError

from ensemake.submit import calls
from ensemake.submit.manager import Reply, Submission, Submitted
from snakemake_executor_plugin_pbs import commands
from snakemake_executor_plugin_pbs.pbs import Pbs

NAME = "job-0123456789abcdef"


def never(_seconds: float) -> bool:
    return False


def submit(folder: Path, *more: str, name: str = NAME, script: str = "true") -> str:
    arguments = ["-N", name, "-j", "oe", "-o", str(folder / "log.^array_index^"), *more]
    answer = commands.run_command("qsub", *arguments, stdin=script)
    assert answer.code == 0, answer.err
    return answer.out.strip()


def patiently(folder: Path, sleep=never) -> Submitted:
    submission = Submission(NAME, 1, [], "true", folder / "o.log", 0o022)
    return calls.submit_patiently(Pbs(), submission, sleep=sleep)


def test_id_is_kept_whole_and_begins_at_zero(fake, tmp_path):
    assert submit(tmp_path) == "0.pbshost"
    assert submit(tmp_path, "-J", "0-1") == "1[].pbshost"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-N", "x" * 231], 2),
        (["-N", "a b"], 2),
        (["-l", "select=1:mem=0.5gb"], 166),
        (["-l", "walltime=1:00:00:00"], 166),
        (["-l", "select=1", "-l", "mem=1gb"], 5),
        (["-q", "nowhere"], 170),
        (["-J", "5-5"], 2),
        (["-J", "0-10000"], 3),
    ],
)
def test_what_qsub_refuses_is_an_answer_with_its_message(fake, tmp_path, words, code):
    where = ["-j", "oe", "-o", str(tmp_path / "o"), "-N", NAME]
    answer = commands.run_command("qsub", *where, *words, stdin="true")
    assert (answer.code, answer.out) == (code, "")
    assert answer.complaint.startswith("qsub:")
    assert "\n" not in answer.complaint


def test_qsub_works_where_tmpdir_is_gone(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/not/there")
    assert submit(tmp_path)


def test_lost_answer_does_not_submit_twice(fake, tmp_path):
    fake.set(mute=1, fate={".": "wait"})
    answer = patiently(tmp_path)
    assert answer == Submitted(Reply.DONE, ["0.pbshost"])
    assert len(fake.calls("qsub")) == 1
    commands.delete(answer.ids)


def test_submission_waits_for_a_server_that_is_away(fake, tmp_path):
    fake.set(down=3)
    assert patiently(tmp_path).ids == ["0.pbshost"]


def test_submission_gives_up_when_asked_to(fake, tmp_path):
    fake.set(down=99)
    assert patiently(tmp_path, lambda _: True).reply is Reply.SILENT
    assert len(fake.calls("qsub")) == 1


@pytest.mark.parametrize("command", ["qstat", "qdel", "qselect", "qsub"])
def test_a_hung_server_does_not_hang_the_caller(fake, monkeypatch, command):
    fake.set(hang=[command])
    monkeypatch.setitem(commands.PATIENCE, command, 0.5)
    answer = commands.run_command(command, "1.pbshost")
    assert answer.code == commands.TIMEOUT
    assert "no answer" in answer.complaint


def test_look_gives_nothing_while_the_server_is_away(fake, tmp_path):
    job = submit(tmp_path)
    fake.set(down=1)
    queue = commands.Queue()
    assert queue.look([job]) is None
    assert queue.look([job])[job]["Job_Name"] == NAME


@pytest.mark.parametrize("code", [160, 162, 255])
def test_an_unreachable_server_is_no_answer(fake, tmp_path, code):
    """The codes differ with the command and with what is wrong: name, connection."""
    for name in ("qstat", "qsub"):
        replace(tmp_path / "bin", name, f"echo >> {tmp_path}/{name}; exit {code}")
    assert commands.Queue().look(["1.pbshost"]) is None
    assert patiently(tmp_path).reply is Reply.SILENT
    assert len((tmp_path / "qsub").read_text()) == 1 + len(calls.PAUSES)


def test_bytes_that_are_no_text_spoil_nothing(fake, tmp_path):
    """PBS passes them through, from anybody's environment."""
    text = r'{"Jobs": {"1.pbshost": {"job_state": "R", "Variable_List": {"A": "\377", "A": 1}}}}'
    replace(tmp_path / "bin", "qstat", f"printf '{text}'")
    found = commands.Queue().look(["1.pbshost"])
    assert found is not None
    assert found["1.pbshost"]["job_state"] == "R"


def test_finished_and_unknown_jobs(fake, tmp_path):
    job = submit(tmp_path, script="exit 3")
    queue = commands.Queue()
    wait_for(lambda: not fake.in_queue())
    assert queue.look([job, "99.pbshost"])[job]["Exit_status"] == 3
    assert queue.look(["99.pbshost"]) == {}


def test_any_number_of_jobs_takes_one_port(fake, tmp_path):
    job = submit(tmp_path)
    ids = [f"{number}.pbshost" for number in range(1000, 2000)]
    assert list(commands.Queue().look([*ids, job])) == [job]
    assert (fake.home / "ports").read_text() == "1"


def test_without_express_the_ports_run_out(fake, tmp_path):
    """The reason for -E: this is what the fake, as the real one, does without."""
    ids = [f"{number}.pbshost" for number in range(600)]
    answer = commands.run_command("qstat", "-x", "-f", "-F", "json", *ids)
    assert "all reserved ports in use" in answer.err


def test_without_history_the_question_changes_after_one_interval(fake, tmp_path):
    fake.set(history=False, fate={".": "wait"})
    job = submit(tmp_path)
    queue = commands.Queue()
    assert queue.look([job]) is None
    assert queue.look([job])[job]["job_state"] == "Q"
    assert [("-x" in call) for call in fake.calls("qstat")] == [True, False]
    commands.delete([job])


def test_broken_json_is_no_answer_and_dsv_is_asked_for_next(fake, tmp_path):
    fake.set(json="old")
    job = submit(tmp_path, "-A", "grün")
    queue = commands.Queue()
    assert queue.look([job]) is None
    assert queue.look([job])[job]["Account_Name"] == "grün"
    assert [call[call.index("-F") + 1] for call in fake.calls("qstat")] == ["json", "dsv"]


def test_sub_jobs_have_records_of_their_own(fake, tmp_path):
    job = submit(tmp_path, "-J", "0-2", script="exit $PBS_ARRAY_INDEX")
    ids = [job.replace("[]", f"[{i}]") for i in range(3)]
    wait_for(lambda: not fake.in_queue())
    found = commands.Queue().look(ids)
    assert [found[i]["Exit_status"] for i in ids] == [0, 1, 2]


def test_what_is_over_already_is_no_error_for_qdel(fake, tmp_path):
    fake.set(fate={"exiting": "exiting"})
    over, exiting = submit(tmp_path), submit(tmp_path, name="exiting-0123456789abcdef")
    array = submit(tmp_path, "-J", "0-1", script='[ "$PBS_ARRAY_INDEX" = 0 ] || sleep 60')
    wait_for(lambda: fake.jobs[over]["job_state"] == "F")
    wait_for(lambda: fake.jobs[exiting]["job_state"] == "E")
    first = array.replace("[]", "[0]")
    wait_for(lambda: fake.jobs[first]["job_state"] == "X")
    codes = {
        job: commands.run_command("qdel", job).code for job in (over, exiting, first, "99.pbshost")
    }
    assert list(codes.values()) == [35, 168, 55, 153]
    assert all(commands.delete([job]).code == 0 for job in codes)
    fake.release()
    assert commands.delete([array.replace("[]", "[1]")]).code == 0


def test_other_errors_of_qdel_are_told(fake):
    fake.set(down=1)
    assert "Connection refused" in commands.delete(["1.pbshost"]).complaint


def test_one_qdel_for_all(fake, tmp_path):
    fake.set(fate={".": "wait"})
    ids = [submit(tmp_path) for _ in range(3)]
    assert commands.delete(ids).code == 0
    wait_for(lambda: not fake.in_queue())
    assert fake.calls("qdel") == [ids]


def test_nothing_to_delete_calls_nothing(fake):
    assert commands.delete([]).code == 0
    assert fake.calls("qdel") == []


def test_own_jobs_must_be_known(fake):
    fake.set(down=1)
    with pytest.raises(WorkflowError, match="Connection refused"):
        commands.own_jobs()


def test_wait_until_gone(fake, tmp_path):
    job = submit(tmp_path, script="sleep 60")
    wait_for(lambda: fake.jobs[job]["job_state"] == "R")
    commands.delete([job])
    calls.wait_until_gone(Pbs(), job)
    assert fake.in_queue() == []


def replace(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 'Version: 6.1.3' >&2", "not that of PBS Pro or OpenPBS"),
        ("echo 'Unknown option: version'; exit 2", "not that of PBS Pro or OpenPBS"),
        ("echo pbs_version = 13.1.0", "19.1.3"),
    ],
)
def test_other_products_are_refused(fake, tmp_path, text, message):
    replace(tmp_path / "bin", "qstat", text)
    with pytest.raises(WorkflowError, match=message):
        commands.require_pbs()


def test_missing_commands_are_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkflowError, match="No qsub on PATH"):
        commands.require_pbs()


def test_pbs_is_accepted(fake):
    commands.require_pbs()


def test_ctrl_c_does_not_reach_a_command(fake, tmp_path):
    """A command in the terminal's foreground group would get the signal too."""
    replace(tmp_path / "bin", "qselect", "ps -o pgid= -p $$; ps -o pid= -p $$")
    answer = commands.run_command("qselect")
    group, own = answer.out.split()
    assert group == own
    assert (
        group
        != subprocess.run(
            ["ps", "-o", "pgid=", "-p", str(os.getpid())],
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
