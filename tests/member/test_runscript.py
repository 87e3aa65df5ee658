"""run.sh by itself, in real bash: what a user does by hand, and what every job executes."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemake.config.container import Container
from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.runscript import MACHINERY, RunScript, Step, run_script
from ensemake.member.state import is_locked, state

ARGV = "import json, os, sys; json.dump([sys.argv[1:], os.environ.get('VALUE')], open('seen', 'w'))"
NASTY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


COMMAND_KEYS = {"environment", "passed", "container", "stdin"}


def make(folder: Path, command: Sequence[str], **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    own = {key: fields.pop(key) for key in COMMAND_KEYS & fields.keys()}
    only = Step(words=command, digest=fields.pop("digest", "1-a"), **own)
    run = RunScript(title="e: m", commands=fields.pop("commands", [only]), **fields)
    (folder / "run.sh").write_text(run_script(run), encoding="utf-8")
    return folder


def bash(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(folder / "run.sh")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def status(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "status.json").read_text()))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.lists(NASTY, max_size=4), value=NASTY)
def test_words_and_environment_arrive_unchanged(
    tmp_path: Path, words: list[str], value: str
) -> None:
    folder = make(
        tmp_path / "m", [sys.executable, "-c", ARGV, *words], environment={"VALUE": value}
    )
    (folder / "status.json").unlink(missing_ok=True)
    assert bash(folder).returncode == 0
    assert json.loads((folder / "seen").read_text()) == [words, value]


@pytest.mark.parametrize(
    "value", ["$(touch x)", "`touch x`", "a; touch x", "a\nb", "it's", "\\1\t"]
)
def test_nothing_in_a_value_is_executed(tmp_path: Path, value: str) -> None:
    folder = make(tmp_path, [sys.executable, "-c", ARGV, value])
    assert bash(folder).returncode == 0
    assert json.loads((folder / "seen").read_text())[0] == [value]
    assert not (folder / "x").exists()


def test_success_is_recorded(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo out; echo err >&2; touch a"], outputs=["a"])
    assert bash(folder).returncode == 0
    seen = status(folder)
    assert seen["status"] == "completed"
    assert seen["exit_code"] == 0
    assert seen["digest"] == "1-a"
    assert seen["attempt"] == 1
    assert seen["host"]
    assert seen["elapsed_s"] >= 0
    assert (folder / "run.out").read_text() == "out\n"
    assert (folder / "run.err").read_text() == "err\n"


def test_runs_from_anywhere(tmp_path: Path) -> None:
    folder = make(tmp_path / "with blank", ["touch", "here"])
    subprocess.run(["bash", "run.sh"], cwd=folder, check=True)
    assert (folder / "here").exists()


@pytest.mark.parametrize(
    ("command", "outputs", "expected"),
    [
        (["sh", "-c", "exit 3"], [], ("failed", 3, "exit code 3")),
        (["sh", "-c", "kill -9 $$"], [], ("failed", 137, "killed by SIGKILL")),
        (["sh", "-c", "kill -SEGV $$"], [], ("failed", 139, "killed by SIGSEGV")),
        (["true"], ["never.json"], ("failed", 0, "left no output never.json")),
        (["no-such-program-anywhere"], [], ("failed", 127, "exit code 127")),
    ],
)
def test_failures_have_a_reason(
    tmp_path: Path, command: list[str], outputs: list[str], expected: tuple[str, int, str]
) -> None:
    folder = make(tmp_path, command, outputs=outputs)
    assert bash(folder).returncode == (expected[1] or 1)
    seen = status(folder)
    assert (seen["status"], seen["exit_code"], seen["reason"]) == expected


def test_completed_is_not_run_again(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo x >> count; touch a"], outputs=["a"])
    bash(folder)
    again = bash(folder)
    assert again.returncode == 0
    assert "completed already" in again.stderr
    assert (folder / "count").read_text() == "x\n"


def test_completed_runs_again_without_its_output(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo x >> count; touch a"], outputs=["a"])
    bash(folder)
    (folder / "a").unlink()
    bash(folder)
    assert (folder / "count").read_text() == "x\nx\n"
    assert status(folder)["attempt"] == 2


def test_what_another_recipe_left_is_not_gone_on_from(tmp_path: Path) -> None:
    """The generate step clears it; without that run.sh leaves all as it is."""
    make(tmp_path, ["sh", "-c", "echo old > a"], outputs=["a"])
    bash(tmp_path)
    before = (tmp_path / "status.json").read_text()
    folder = make(tmp_path, ["sh", "-c", "echo new > a"], outputs=["a"], digest="1-b")
    done = bash(folder)
    assert done.returncode == 1
    assert "another recipe" in done.stderr
    assert (folder / "a").read_text() == "old\n"
    assert (folder / "status.json").read_text() == before


def wait_for(path: Path) -> None:
    for _ in range(1000):
        if path.exists():
            return
        time.sleep(0.01)
    pytest.fail(f"{path} did not appear")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_recorded(tmp_path: Path, sent: signal.Signals) -> None:
    code = "trap 'echo stopped > told; exit 0' TERM; touch ready; while :; do sleep 0.05; done"
    folder = make(tmp_path, ["bash", "-c", code])
    process = subprocess.Popen(["bash", str(folder / "run.sh")], stderr=subprocess.DEVNULL)
    wait_for(folder / "ready")
    process.send_signal(sent)
    # the command's end by SIGTERM, or our own signal's if the command was gone before we looked
    assert process.wait() in (143, 128 + sent)
    assert status(folder)["status"] == "cancelled"
    assert status(folder)["reason"] == f"stopped by {sent.name}"
    assert (folder / "told").exists()


def test_two_at_once_compute_once(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo x >> count; sleep 0.3"])
    both = [subprocess.Popen(["bash", str(folder / "run.sh")]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (folder / "count").read_text() == "x\n"


def test_a_command_that_outlives_run_sh_keeps_the_lock(tmp_path: Path) -> None:
    folder = make(
        tmp_path, ["sh", "-c", "echo x >> count; touch ready; sleep 0.5; echo y >> count"]
    )
    process = subprocess.Popen(["bash", str(folder / "run.sh")])
    wait_for(folder / "ready")
    process.kill()
    process.wait()
    assert not (folder / "status.json").exists()
    assert bash(folder).returncode == 0
    assert (folder / "count").read_text() == "x\ny\nx\ny\n"


def test_a_status_that_cannot_be_written_is_no_success(tmp_path: Path) -> None:
    folder = make(tmp_path, ["mkdir", "status.json"])
    assert bash(folder).returncode != 0
    assert state(folder, "1-a", [])[0] == "killed"


def test_a_full_disk_is_no_success(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "head -c 1M /dev/zero >fill; true"])
    steps = f"""
        mount -t tmpfs -o size=64k tmpfs /mnt || exit 77
        cp {quote(str(folder / "run.sh"))} /mnt
        bash /mnt/run.sh && exit 1
        echo "left: $(cat /mnt/status.json)"
    """
    done = subprocess.run(["unshare", "-rm", "bash", "-c", steps], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no disk of our own: {done.stderr}")
    assert done.stdout.startswith("left: \n"), done
    assert "No space left on device" in done.stderr


def test_half_a_status_is_none(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo x >> count"])
    bash(folder)
    whole = (folder / "status.json").read_text()
    for length in (0, len(whole) // 2, len(whole) - 2):
        (folder / "status.json").write_text(whole[:length])
        assert state(folder, "1-a", [])[0] == "killed"
        assert bash(folder).returncode == 0
        assert status(folder)["status"] == "completed"
    assert (folder / "count").read_text() == "x\n" * 4


def test_who_starts_it_may_hold_its_lock(tmp_path: Path) -> None:
    folder = make(
        tmp_path, ["sh", "-c", "env; touch ready; while [ -e ready ]; do sleep 0.01; done"]
    )
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            ["bash", str(folder / "run.sh")],
            env={**os.environ, "ENSEMAKE_LOCKED": "1"},
            pass_fds=[9],
            preexec_fn=lambda: os.dup2(lock.fileno(), 9),
        )
    wait_for(folder / "ready")
    assert is_locked(folder / ".lock")  # by the command that inherited it
    (folder / "ready").unlink()
    assert process.wait() == 0
    assert not is_locked(folder / ".lock")
    assert "ENSEMAKE_LOCKED" not in (folder / "run.out").read_text()


def test_a_lock_that_is_said_to_be_held_and_is_not_is_taken(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "touch ready; while [ -e ready ]; do sleep 0.01; done"])
    environ = {**os.environ, "ENSEMAKE_LOCKED": "1"}
    process = subprocess.Popen(["bash", str(folder / "run.sh")], env=environ)
    wait_for(folder / "ready")
    assert is_locked(folder / ".lock")
    (folder / "ready").unlink()
    assert process.wait() == 0


# What bash has for itself, what run.sh is made of, and what users have fallen for.
BASHES = (
    *("BASHOPTS", "BASHPID", "BASH_ARGV0", "BASH_COMMAND", "BASH_COMPAT", "BASH_ENV", "BASH"),
    *("BASH_VERSINFO", "BASH_XTRACEFD", "CDPATH", "COLUMNS", "COMP_WORDBREAKS", "DIRSTACK", "ENV"),
    *("EPOCHREALTIME", "EPOCHSECONDS", "EUID", "EXECIGNORE", "FUNCNAME", "FUNCNEST", "GLOBIGNORE"),
    *("GROUPS", "HISTCMD", "HOSTNAME", "IFS", "LANG", "LC_ALL", "LINENO", "MAPFILE", "OPTERR"),
    *("OPTIND", "PIPESTATUS", "POSIXLY_CORRECT", "PPID", "PS1", "PS2", "PS4", "RANDOM", "REPLY"),
    *("SECONDS", "SHELLOPTS", "SRANDOM", "TMOUT", "TZ", "UID", "GREP_OPTIONS", "histchars"),
)
OURS = (
    *("digest", "last", "command", "launch", "now", "date", "began", "started", "attempt", "file"),
    *("signal", "child", "code", "text", "outputs", "host", "job", "reason", "ms", "elapsed"),
    *("_ensemake_digest", "_ensemake_given", "_ensemake_launch", "_ensemake_path"),
)
NAMES = st.sampled_from(BASHES + OURS) | st.from_regex(
    r"[A-Za-z_][A-Za-z0-9_]{0,7}", fullmatch=True
)
# changed for every program that a shell starts; or a loader's, which would end bash itself
UNSTEADY = {"_", "SHLVL", "PWD", "OLDPWD"}
ENVIRONMENTS = st.dictionaries(NAMES.filter(lambda name: name not in UNSTEADY), NASTY, max_size=25)
FUNCTIONS = {
    f"BASH_FUNC_{name}%%": "() {  echo hidden >&2; return 7; }"
    for name in ("cd", "say", "printf", "exec", "export", "read", "wait", "kill", "set", "mapfile")
}


def seen_by_program(folder: Path, how: Sequence[str], environ: dict[str, str]) -> dict[str, str]:
    (folder / "status.json").unlink(missing_ok=True)
    words = ["/bin/bash", *how, str(folder / "run.sh")]
    done = subprocess.run(words, env=environ, capture_output=True, cwd=folder.parent)
    assert done.returncode == 0, done
    pairs = (folder / "run.out").read_bytes().decode().removesuffix("\0").split("\0")
    found = dict(pair.partition("=")[::2] for pair in pairs)
    return {name: value for name, value in found.items() if name not in UNSTEADY}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux tells what was given")
@pytest.mark.parametrize("how", [(), ("-p",)])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(inherited=ENVIRONMENTS, given=ENVIRONMENTS, hidden=st.booleans())
def test_the_program_sees_exactly_the_environment_given(
    tmp_path: Path,
    how: Sequence[str],
    inherited: dict[str, str],
    given: dict[str, str],
    hidden: bool,
) -> None:
    if not how and hidden:  # where a function is called exec, POSIX's bash starts nothing at all
        inherited.pop("POSIXLY_CORRECT", None)
    environ = {"PATH": "/nowhere", **inherited, **(FUNCTIONS if hidden else {})}
    folder = make(tmp_path / "m", ["/usr/bin/env", "-0"], environment=given)
    seen, expected = seen_by_program(folder, how, environ), {**environ, **given}
    for name in FUNCTIONS if not how else ():  # a bash like any other writes them anew
        seen.pop(name, None), expected.pop(name, None)
    assert seen == expected


def test_variables_of_bash_that_the_user_sets_arrive(tmp_path: Path) -> None:
    given = dict.fromkeys((*BASHES, *OURS, *UNSTEADY), "a 'b'\n")
    make(tmp_path, ["/usr/bin/env", "-0"], environment=given)
    assert bash(tmp_path).returncode == 0
    pairs = (tmp_path / "run.out").read_text().rstrip("\0").split("\0")
    found = dict(pair.partition("=")[::2] for pair in pairs)
    assert {name: found.get(name) for name in given} == given


def test_start_up_files_and_cdpath_take_no_part(tmp_path: Path) -> None:
    other = tmp_path / "other/m"
    other.mkdir(parents=True)
    (tmp_path / "start").write_text("echo started >>../started; set -o noglob; shopt -s extdebug\n")
    folder = make(tmp_path / "m", ["touch", "here"])
    environ = {"CDPATH": str(other.parent), "BASH_ENV": str(tmp_path / "start")}
    done = subprocess.run(
        ["bash", "-p", "m/run.sh"], cwd=tmp_path, env={**os.environ, **environ}, check=True
    )
    assert done.returncode == 0
    assert (folder / "here").exists()
    assert not (other / "here").exists()
    assert not (tmp_path / "started").exists()


def test_a_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NUL"):
        make(tmp_path, ["echo", "a\0b"])
    with pytest.raises(ValueError, match="NUL"):
        make(tmp_path, ["echo"], environment={"A": "\0"})


def test_a_command_that_is_suspended_has_not_ended(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo $$ >pid; until [ -e go ]; do sleep 0.02; done"])
    process = subprocess.Popen(["bash", str(folder / "run.sh")])
    wait_for(folder / "pid")
    time.sleep(0.05)
    pid = int((folder / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.3)
    assert process.poll() is None
    (folder / "go").touch()
    os.kill(pid, signal.SIGCONT)
    assert process.wait(10) == 0
    assert status(folder)["status"] == "completed"


def test_one_that_is_suspended_is_stopped_all_the_same(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "echo $$ >pid; sleep 100"])
    process = subprocess.Popen(["bash", str(folder / "run.sh")], stderr=subprocess.DEVNULL)
    wait_for(folder / "pid")
    time.sleep(0.05)
    os.kill(int((folder / "pid").read_text()), signal.SIGSTOP)
    process.terminate()
    assert process.wait(10) == 143
    assert status(folder)["reason"] == "stopped by SIGTERM"


def test_one_that_ignores_signals_is_killed_after_a_while(tmp_path: Path) -> None:
    folder = make(tmp_path, ["sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.05; done"])
    environ = {**os.environ, "ENSEMAKE_GRACE": "0.3"}
    process = subprocess.Popen(
        ["bash", str(folder / "run.sh")], env=environ, stderr=subprocess.DEVNULL
    )
    wait_for(folder / "ready")
    process.terminate()
    assert process.wait(10) == 137
    assert (status(folder)["status"], status(folder)["reason"]) == (
        "cancelled",
        "stopped by SIGTERM",
    )
    assert not is_locked(folder / ".lock")


def test_by_hand_it_has_the_preamble_of_its_batch(tmp_path: Path) -> None:
    """In the working directory, in a bash like any other; a batch has run it already."""
    (tmp_path / "modules").write_text("export LOADED=$(basename $PWD)\n")
    preamble = ["source ./modules"]
    folder = make(
        tmp_path / "r/m", ["env"], batch_preamble=preamble, top="../..", outputs=["run.out"]
    )
    assert bash(folder).returncode == 0
    assert f"LOADED={tmp_path.name}\n" in (folder / "run.out").read_text()
    (folder / "status.json").unlink()
    subprocess.run(["bash", "-p", str(folder / "run.sh")], check=True)
    assert "LOADED" not in (folder / "run.out").read_text()
    before = (folder / "status.json").read_text()
    (tmp_path / "modules").write_text("no-such-command load x\n")
    assert bash(folder).returncode == 127
    assert (folder / "status.json").read_text() == before


def test_attempts_are_counted(tmp_path: Path) -> None:
    folder = make(tmp_path, ["false"])
    assert [bash(folder) and status(folder)["attempt"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("make_link", [os.symlink, os.link])
@pytest.mark.parametrize("ends", [0, 3])
def test_links_that_a_program_leaves_are_not_written_through(
    tmp_path: Path, make_link: Any, ends: int
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "member"
    folder.mkdir()
    names = ("status.json", "run.out", "run.err")
    make(folder, ["bash", "-c", f"exit {ends}"])
    for name in names:
        make_link(precious, folder / name)
    assert bash(folder).returncode == ends
    assert status(folder)["exit_code"] == ends
    assert precious.read_text() == "mine"
    make(folder, ["ln", "-f", str(precious), "status.json"], digest="2-b")
    (folder / ".lock").unlink()
    assert bash(folder).returncode == 0
    assert status(folder)["digest"] == "2-b"
    assert precious.read_text() == "mine"
    assert not list(folder.glob(".*.tmp"))


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "member"
    folder.mkdir()
    make(folder, ["true"])
    (folder / ".lock").symlink_to(precious)
    assert bash(folder).returncode == 0
    assert precious.read_text() == "mine"
    assert (folder / ".lock").read_text()


def test_a_container_is_given_its_options_and_a_folder_to_start_in(tmp_path: Path) -> None:
    words = tmp_path / "apptainer"
    words.write_text("#!/bin/bash\nprintf '%s\\n' \"$@\"\n")
    words.chmod(0o755)
    container = Container(
        image="i m.sif", bind=["/a b"], args=["--nv", "--env", "A=$HOME"], working_directory="/w s"
    )
    member = make(tmp_path / "m", ["prog"], container=container)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", str(member / "run.sh")], env=environ, check=True)
    told = (member / "run.out").read_text().splitlines()
    folders = ["--pwd", "/w s", "--bind", str(member), "--bind", "/a b"]
    assert told == ["exec", *folders, "--nv", "--env", "A=$HOME", "i m.sif", "prog"]


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"image": "i.sif"}, "1-be74bd04f47e6e4d7fca"),
        ({"image": "docker://p", "bind": ["/d:/d"]}, "1-c56429fe54aa5c1818a3"),
        ({"image": "i.sif", "args": [], "working_directory": None}, "1-be74bd04f47e6e4d7fca"),
    ],
)
def test_keys_that_a_container_does_not_use_run_nothing_again(
    container: dict[str, Any], expected: str
) -> None:
    run = {"exe": "echo", "container": container}
    config = Config.model_validate({"experiment": "e", "models": {"m": {"run_settings": run}}})
    (member,) = expand_work(config, "m").planned
    assert member.digest == expected
    run["container"] = {**container, "args": ["--nv"]}
    config = Config.model_validate({"experiment": "e", "models": {"m": {"run_settings": run}}})
    assert expand_work(config, "m").planned[0].digest != expected


NEEDS: dict[str, dict[str, Any]] = {
    "several": {"commands": [Step(["true"], "1-b"), Step(["touch", "left"], "1-a")]},
    "restart": {"restart_from": "state", "restarts": [Step(["true"], "1-a")], "times": 1},
    "checks": {"checks": ["run.out", "^$|==>"]},
    "preamble": {"preamble": ["export SET=1"]},
    "environment": {"commands": [Step(["echo"], "1-a", passed={"HERE": "PATH"})]},
}
FUNCTION = re.compile(r"^(_ensemake_[a-z_]+)\(\)", re.MULTILINE)


@pytest.mark.parametrize("needs", [c for n in range(6) for c in combinations(NEEDS, n)])
def test_a_member_has_only_the_sections_that_it_needs(
    tmp_path: Path, needs: tuple[str, ...]
) -> None:
    fields: dict[str, Any] = {}
    for need in needs:
        fields |= NEEDS[need]
    folder = make(tmp_path, ["echo"], **fields)
    text = (folder / "run.sh").read_text()
    used = set(FUNCTION.findall(MACHINERY)) & set(re.findall(r"_ensemake_[a-z_]+", text))
    assert used <= set(FUNCTION.findall(text))
    assert ("_ensemake_has_left" in text) == ("restart" in needs)
    assert bash(folder).returncode == 0
    assert status(folder)["status"] == "completed"
