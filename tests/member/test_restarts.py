"""Time limits, restarts, and success by content; in real bash, as generated."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .by_hand import Member, shell

# Goes on where it was, a tenth of a second a step, and leaves what it has after each.
WALK = """
[ ! -e state ] || read -r step <state
for ((step = ${step:-0} + 1; step <= %d; step++)); do
  sleep 0.1; echo "$step $ENSEMAKE_ATTEMPT" >>steps; echo $step >next; mv next state
done
"""
RESTART = {"from": "state"}


def started(member: Member, file: str, **environ: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        ["bash", "run.sh"], cwd=member.directory, env={**os.environ, **environ}
    )
    deadline = time.monotonic() + 20
    while not (member.directory / file).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def steps(member: Member) -> list[int]:
    return [int(line.split()[0]) for line in member.text("steps").splitlines()]


def attempts(member: Member) -> set[str]:
    return {line.split()[1] for line in member.text("steps").splitlines()}


def test_a_member_is_ended_at_its_limit(member: Member) -> None:
    code = "trap 'echo told; exit 0' TERM; touch on; while :; do sleep 0.05; done"
    member.made(shell(code), resources={"runtime": "1s"})
    assert member.run() == "cancelled time limit of 1 s"
    assert member.status.exit_code == 143
    assert member.text("run.out") == "told\n"
    assert member.made(shell(code), resources={"runtime": "120 m"}).text("run.sh").count("=7200\n")
    # one that ignores that is killed, with all that it started
    code = "trap '' TERM; (trap '' TERM; sleep 100) & echo $! >pid; wait; sleep 100"
    member.made(shell(code), resources={"runtime": "1s"})
    assert member.run(ENSEMAKE_GRACE="0.2") == "cancelled time limit of 1 s"
    assert member.status.exit_code == 137
    # what a site sets for the job of its own counts
    member.made(shell("sleep 1.2"), resources={"runtime": "1s"})
    assert member.run(ENSEMAKE_RUNTIME="1") == "completed"
    member.made(shell("sleep 0"), resources={"runtime": 0.5})
    assert member.run(ENSEMAKE_RUNTIME="0") == "completed"


def test_the_limit_holds_for_all_commands_together(member: Member) -> None:
    second = {"exe": "sleep", "exe_args": ["1.5"]}
    member.made(shell("sleep 0.9"), second, resources={"runtime": "2s"})
    assert member.run() == "cancelled step 2 of 2 (sleep): time limit of 2 s"


def test_one_that_is_stopped_goes_on_in_the_same_run_and_in_later_ones(member: Member) -> None:
    keys = {"resources": {"runtime": "2s"}}
    member.made(shell(WALK % 25), restart={**RESTART, "times": 20}, **keys)
    assert member.run() == "completed"
    assert sorted(set(steps(member))) == list(range(1, 26))
    assert member.status.attempt > 1
    assert attempts(member) == {str(1 + n) for n in range(member.status.attempt)}
    assert member.text("run.out").count("==> attempt ") == member.status.attempt - 1
    # another recipe starts afresh
    member.made(shell(WALK % 600), restart={**RESTART, "times": 1}, **keys)
    assert member.run() == "cancelled time limit of 2 s"
    assert steps(member)[0] == 1
    assert member.status.attempt == 2
    assert member.run() == "cancelled time limit of 2 s"
    assert member.status.attempt == 4
    assert sorted(set(steps(member))) == list(range(1, steps(member)[-1] + 1))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_is_gone_on_from_the_next_time(member: Member, sent: signal.Signals) -> None:
    member.made(shell(WALK % 10), restart=RESTART)
    process = started(member, "state")
    if sent == signal.SIGKILL:  # with its node: nothing is recorded
        (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.killpg(int(pid), sent)
        os.kill(process.pid, sent)
    else:
        process.send_signal(sent)
    process.wait()
    done = len(steps(member))
    assert done < 10
    assert member.run() == "completed"
    assert steps(member)[done] in (done, done + 1), "it went on"
    assert steps(member)[-1] == 10
    assert member.status.attempt >= 2


def test_a_restart_has_other_arguments_or_is_another_command(member: Member) -> None:
    first = shell("echo $0 $ENSEMAKE_ATTEMPT; touch state; kill -KILL $$")
    member.made(
        first, restart={**RESTART, "exe_args": ["-c", "echo go {{ x }} on"]}, params={"x": 7}
    )
    assert member.run() == "completed"
    assert member.text("run.out") == "bash 1\n==> attempt 2: bash\ngo 7 on\n"
    member.made(first, restart={**RESTART, "run_settings": {"exe": "echo", "exe_args": ["on"]}})
    assert member.run() == "completed"
    assert member.text("run.out") == "bash 1\n==> attempt 2: bash\non\n"


@pytest.mark.parametrize("code", ["exit 3", "kill -SEGV $$"])
def test_one_that_failed_is_not_gone_on_with(member: Member, code: str) -> None:
    member.made(shell(f"[ ! -e state ] || echo went on; touch state; {code}"), restart=RESTART)
    restart = {**RESTART, "exe_args": ["-c", "touch restarted"]}
    member.made(shell(f"touch state; {code}"), restart=restart)
    for _ in range(2):
        assert member.run().startswith("failed ")
        assert not (member.directory / "restarted").exists()


def test_of_several_commands_the_stopped_one_goes_on(member: Member) -> None:
    """From a file of its own; as an earlier one left it, it is none."""
    first, last = shell("echo 1 >>first; echo 0 >state"), shell("echo last")
    stopped = shell("[ ! -e late ] || echo 5 >state; kill -TERM $$")
    restart = {**RESTART, "exe_args": ["-c", "cat state"]}
    member.made(first, stopped, last, restart=restart)
    assert member.run() == "cancelled step 2 of 3 (bash): stopped by SIGTERM"
    (member.directory / "late").touch()
    assert member.run() == "completed"
    assert member.text("first") == "1\n"
    printed = [line for line in member.text("run.out").splitlines() if line[:3] != "==>"]
    assert printed == ["5", "last"]


def test_the_checkpoint_of_the_stopped_command_counts(member: Member) -> None:
    first, last = shell("echo 1 >>first"), shell("echo last; test -e restarted")
    stopped = shell("mkdir -p out; echo 5 >out/state.7; kill -TERM $$")
    restart = {"from": "./out/state.*", "exe_args": ["-c", "touch restarted; cat out/state.7"]}
    member.made(first, stopped, last, restart=restart)
    assert member.run() == "completed"
    assert member.text("first") == "1\n"
    assert [line for line in member.text("run.out").splitlines() if line[:3] != "==>"] == [
        "5",
        "last",
    ]


def test_one_run_of_the_workflow_restarts_no_more_than_it_may(member: Member) -> None:
    """Jobs that a cluster ended are submitted again: run.sh says which of them go on."""
    member.made(shell("[ -e no ] || touch state; sleep 100"), restart={**RESTART, "times": 1})

    def stopped(run: str) -> int:
        process = started(member, "state", ENSEMAKE_RUN=run)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.wait()
        return member.status.attempt

    assert stopped("r1") == 1
    assert stopped("r1") == 2
    again = subprocess.run(
        ["bash", "run.sh"],
        cwd=member.directory,
        env={**os.environ, "ENSEMAKE_RUN": "r1"},
        capture_output=True,
        text=True,
    )
    assert again.returncode == 1
    assert "has ended in this run" in again.stderr
    assert member.status.attempt == 2
    assert stopped("r2") == 3


def test_a_success_is_told_by_what_files_hold_and_by_its_code(member: Member) -> None:
    checks = [
        {"file": "run.out", "regex": r"^JOB\s+DONE \d+$"},
        {"file": "log", "regex": "it's \\("},
    ]
    code = "echo 'JOB DONE 5'; echo \"it's (\" >log; exit 3"
    member.made(shell(code), checks=checks, success_codes=[0, 3])
    assert member.run() == "completed"
    assert member.status.exit_code == 3
    member.made(shell("echo 'JOB  DONE'; touch log"), checks=checks)
    assert member.run() == r"failed run.out has no '^JOB\s+DONE \d+$'"
    member.made(shell("echo 'JOB DONE 1'"), checks=checks)
    assert member.run() == "failed log has no 'it's \\('"
    member.made(shell("true"), success_codes=[3])
    assert member.run() == "failed exit code 0"
