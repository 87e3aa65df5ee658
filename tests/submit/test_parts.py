"""The parts of the executors that turn data into data, and the script that runs on a node."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.io import flag

from ensemake.submit import environment, interval, jobscript, leftovers, names
from ensemake.submit.executor import SubmitExecutor
from ensemake.submit.manager import Marker, Queued

# Names


@given(st.text(), st.lists(st.text()))
def test_every_name_is_legal_and_recognised(readable, identity):
    name = names.job_name(readable, identity)
    assert len(name) <= 230
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.")
    assert name[0] not in "-.+"
    assert names.is_ours(name)


def test_name_is_the_same_in_every_run_and_on_every_machine():
    assert names.job_name("a b/c", ["/w", "out"]) == "a_b_c-954cb3e03efe7e37"


def test_rule_and_wildcards_are_whole_in_the_name():
    readable = "Training_Ensemble_with_a_rather_long_name_of_an_ensemble-0123456789ab"
    assert names.job_name(readable, []).startswith(readable + "-")


def test_names_differ_where_identities_do():
    assert names.digest(["ab", "c"]) != names.digest(["a", "bc"])


@pytest.mark.parametrize("name", ["STDIN", "job-123", "x-0123456789abcdeg"])
def test_foreign_names_are_not_taken_for_ours(name):
    assert not names.is_ours(name)


# Job scripts


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{2,8}X", fullmatch=True),
        st.text(st.characters(exclude_characters="\0", codec="utf-8")),
        min_size=1,
        max_size=5,
    )
)
def test_environment_arrives_whatever_it_holds(variables):
    wanted = {name: value for name, value in variables.items() if environment.travels(name)}
    script = environment.shell_text(variables) + "env -0"
    out = subprocess.run(["bash", "-c", script], capture_output=True, env={}, check=True).stdout
    arrived = dict(item.split("=", 1) for item in out.decode().split("\0") if item)
    assert {name: arrived[name] for name in wanted} == wanted


def test_facts_about_this_host_stay_here():
    text = environment.shell_text(
        {"HOME": "/h", "TMPDIR": "/t", "PBS_JOBID": "1", "SNAKEMAKE_PROFILE": "pbs", "OK": "1",
         "not a name": "x", "PBS_CONF_FILE": "/etc/my pbs.conf", "SLURM_MEM_PER_CPU": "9",
         "SLURMD_NODENAME": "n1", "SRUN_CPUS_PER_TASK": "2", "SLURM_CONF": "/s"}
    )  # fmt: skip
    assert text.splitlines() == [
        "export OK=1", "export PBS_CONF_FILE='/etc/my pbs.conf'", "export SLURM_CONF=/s"
    ]  # fmt: skip


def test_shell_functions_travel():
    text = environment.shell_text({"BASH_FUNC_module%%": "() {  echo loaded $1\n}"})
    out = subprocess.run(
        ["bash", "-c", f"{text}bash -c 'module a'"], capture_output=True, text=True
    )
    assert out.stdout == "loaded a\n"


def make_script(folder: Path, command: str) -> jobscript.Paths:
    paths = jobscript.Paths.of(folder, "it's-a job")
    (folder / "env").write_text("export A=1\n")
    text = jobscript.job_script(command, "abc123", paths, folder / "env", folder, 0o022, "$ID")
    paths.script.write_text(text)
    return paths


@pytest.mark.parametrize(
    "command", ["(exit 5)", "return 5", "bash -c 'exit 5'", "(kill -5 $BASHPID)"]
)
def test_script_exits_like_its_command_and_writes_it_down(tmp_path, command):
    paths = make_script(tmp_path, command)
    done = subprocess.run(["bash", paths.script], env={"ID": "9.h"}, capture_output=True)
    assert jobscript.marker_in(paths.marker.read_text()) == Marker("9.h", done.returncode)
    assert done.returncode in (5, 128 + 5)


@pytest.mark.parametrize("text", ["", "\n", "9.h", "9.h x"])
def test_what_is_no_marker_is_no_answer(text):
    assert jobscript.marker_in(text) is None


def test_marker_of_a_first_run_does_not_survive_into_the_second(tmp_path):
    paths = make_script(tmp_path, "kill -9 $$")
    paths.marker.write_text("9.h 0\n")
    subprocess.run(["bash", paths.script], env={"ID": "9.h"}, capture_output=True)
    assert not paths.marker.exists()


def test_sigterm_leaves_the_command_time_to_end_in_its_own_way(tmp_path):
    command = (
        """bash -c 'trap "sleep 0.3; echo end > ended; exit 7" TERM; touch up; sleep 60 & wait'"""
    )
    paths = make_script(tmp_path, command)
    job = subprocess.Popen(
        ["bash", paths.script],
        start_new_session=True,
        env={"ID": "9.h", "PATH": "/usr/bin:/bin"},
    )
    while not (tmp_path / "up").exists():
        assert job.poll() is None
    subprocess.run(["kill", "--", f"-{job.pid}"], check=True)
    assert job.wait() == 7
    assert (tmp_path / "ended").read_text() == "end\n"
    assert jobscript.marker_in(paths.marker.read_text()) == Marker("9.h", 7, "TERM")


def test_near_the_time_limit_the_command_is_told_to_end(tmp_path):
    command = """bash -c 'trap "exit 0" TERM; touch up; while :; do sleep 0.05; done'"""
    paths = make_script(tmp_path, command)
    job = subprocess.Popen(
        ["bash", paths.script],
        start_new_session=True,
        env={"ID": "9.h", "PATH": "/usr/bin:/bin"},
    )
    while not (tmp_path / "up").exists():
        assert job.poll() is None
    job.send_signal(signal.SIGUSR1)
    assert job.wait() == 0
    assert jobscript.marker_in(paths.marker.read_text()) == Marker("9.h", 0, "LIMIT")


def test_a_command_hears_ctrl_c_as_it_would_alone(tmp_path):
    """A shell has what it starts in the background ignore it."""
    paths = make_script(tmp_path, "grep SigIgn /proc/self/status")
    alone, inside = (
        subprocess.check_output(
            words, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        )
        for words in (["grep", "SigIgn", "/proc/self/status"], ["bash", paths.script])
    )
    assert inside == alone


def test_fingerprint_is_found_again(tmp_path):
    paths = make_script(tmp_path, "true")
    assert jobscript.fingerprint_in(paths.script.read_text()) == "abc123"
    assert jobscript.fingerprint_in("echo") is None


def test_preparation_removes_old_files_and_makes_folders(tmp_path):
    old, new = tmp_path / "old file", tmp_path / "a" / "b" / "new"
    folder = tmp_path / "folder"
    old.write_text("x")
    (folder / "sub").mkdir(parents=True)
    text = jobscript.preparation([], [str(old), str(new)], [str(folder)], 1)
    subprocess.run(["bash", "-c", f"f() {{ {text} }}; f"], check=True)
    assert not old.exists()
    assert not folder.exists()
    assert new.parent.is_dir()


def test_the_null_device_is_no_old_output():
    assert "/dev/null" not in jobscript.preparation([], ["/dev/null", "out"], [], 1)


def test_a_missing_input_ends_the_job_with_its_name(tmp_path):
    text = jobscript.preparation(["not there"], [], [], 1)
    done = subprocess.run(["bash", "-c", f"f() {{ {text} }}; f"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "missing input: not there" in done.stderr


def test_launcher_chooses_the_script_of_its_index(tmp_path):
    for name in ("x", "x.3"):
        (tmp_path / f"{name}.sh").write_text(f"echo {name}")
    text = jobscript.launcher(tmp_path / "x", "INDEX")
    for env, expected in (({}, "x\n"), ({"INDEX": "3"}, "x.3\n")):
        out = subprocess.run(["bash"], input=text, env=env, capture_output=True, text=True).stdout
        assert out == expected


# Looking


def test_interval_grows_while_nothing_changes_and_has_a_ceiling():
    wait = interval.Interval(10)
    seen = []
    for _ in range(20):
        wait.after(changed=False)
        seen.append(wait.seconds)
    assert seen[:2] == [12.5, 15.625]
    assert seen[-1] == 60
    wait.after(changed=True)
    assert wait.seconds == 10


def test_a_look_is_due_once_in_an_interval(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(interval.time, "monotonic", lambda: now[0])
    wait = interval.Interval(2)
    assert [wait.is_due(), wait.is_due()] == [True, False]
    now[0] += 2
    assert wait.is_due()


# Jobs of earlier runs


@pytest.mark.parametrize(
    ("marker", "began", "is_taken"),
    [("7 0", 0, True), ("7 0", 4e9, False), ("7 1", 0, False), ("", 0, False)],
)
def test_a_job_that_ended_while_this_run_began_is_not_run_again(tmp_path, marker, began, is_taken):
    """Its touched output is made by the run; what had ended before is wanted anew."""
    paths = jobscript.Paths.of(tmp_path, "a")
    paths.marker.write_text(marker)
    outputs = [flag(str(tmp_path / "done"), "touch")]
    assert (leftovers.finished(paths, outputs, began) is not None) == is_taken
    (tmp_path / "done").touch()
    assert (leftovers.finished(paths, outputs, began) is not None) == (marker == "7 0")


# Jobs that a manager starts again


def test_only_what_it_started_again_is_removed():
    deleted = []
    waiting = [
        Queued("1", "done-1", ""),
        Queued("2", "another-2", ""),
        Queued("3", "new-3", ""),
    ]
    manager = SimpleNamespace(queued=lambda: waiting, delete=deleted.extend)
    executor = object.__new__(SubmitExecutor)
    executor._manager, executor._is_silent = manager, True
    executor._unseen = {"1": Path("done-1.log"), "2": Path("done-2.log")}
    executor._remove_restarted()
    assert deleted == []  # there is nobody to tell
    executor._is_silent = False
    executor._remove_restarted()
    executor._remove_restarted()
    assert deleted == ["1"]  # the id of the second is another job's by now
