"""Members of several commands: what runs again, what stays; in real bash, as generated."""

import os
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config
from ensemake.member import steps
from ensemake.member.expansion import expand_work

from .by_hand import Member, shell

SIMULATE = "echo simulated; echo s >>count; mkdir -p out/empty; echo 1 >out/traj"
ANALYSE = "echo analysed; cat out/traj; echo 2 >out/mean; touch out/empty/x"


def test_commands_run_one_after_another_and_the_first_that_fails_is_named(member: Member) -> None:
    first, last = shell("echo one; echo bad >&2; touch a"), shell("echo three")
    member.made(first, {"exe": "ls", "exe_args": ["a", "b"]}, last)
    assert member.run() == "failed step 2 of 3 (ls a): exit code 2"
    assert member.text("run.out") == ("==> step 1 of 3: bash\none\n==> step 2 of 3: ls a\na\n")
    assert member.text("run.err").startswith("==> step 1 of 3: bash\nbad\n==> step 2 of 3: ls a\n")
    (member.directory / "b").touch()
    assert member.run() == "completed"
    assert member.text("run.out") == (
        "==> step 1 of 3: bash\none\n==> step 2 of 3: ls a\na\nb\n==> step 3 of 3: bash\nthree\n"
    )


def test_each_has_its_own_environment_and_standard_input(member: Member) -> None:
    member.made(
        shell("cat; echo $A", stdin="yes\n1", env_vars={"A": "first"}),
        shell("cat; echo ${A-none}", stdin={"raw": "{{ it's"}),
        shell("cat; echo end"),
    )
    assert member.run() == "completed"
    printed = [line for line in member.text("run.out").splitlines() if line[:3] != "==>"]
    assert printed == ["yes", "1", "first", "{{ it's", "none", "end"]


def test_mending_the_last_command_does_not_run_the_others_again(member: Member) -> None:
    member.made(shell(SIMULATE), shell("exit 3"))
    assert member.run() == "failed step 2 of 2 (bash): exit code 3"
    member.made(shell(SIMULATE), shell(ANALYSE), outputs=["out/mean"])
    assert member.run() == "completed"
    assert member.text("count") == "s\n"
    member.made(shell(SIMULATE), shell("cat out/traj"))
    assert not (member.directory / "out/mean").exists()
    assert not (member.directory / "out/empty/x").exists()
    assert member.run() == "completed"
    assert member.text("run.out").split("\n") == [
        *("==> step 1 of 2: bash", "simulated", "==> step 2 of 2: bash", "1", "")
    ]
    assert member.text("count") == "s\n"
    # edited back: what was set aside is there again, and nothing runs
    member.made(shell(SIMULATE), shell(ANALYSE), outputs=["out/mean"])
    assert member.text("out/mean") == "2\n"
    assert "analysed" in member.text("run.out")
    assert member.status.status == "completed"
    assert member.run() == "completed"
    # another first command: all is set aside; and back
    member.made(shell("echo other >count"), shell(ANALYSE))
    assert sorted(os.listdir(member.directory)) == [*(".lock", "params.json", "previous", "run.sh")]
    member.made(shell(SIMULATE), shell("cat out/traj out/traj"))
    assert member.run() == "completed"
    assert member.text("count") == "s\n"
    assert member.text("run.out").endswith("1\n1\n")


def test_a_command_that_is_appended_goes_on_from_where_the_run_ended(member: Member) -> None:
    member.made(shell(SIMULATE))
    assert member.run() == "completed"
    member.made(shell(SIMULATE), shell("echo s >>more"))
    assert member.run() == "completed"
    assert (member.text("count"), member.text("more")) == ("s\n", "s\n")
    assert member.text("run.out").startswith("simulated\n==> step 2 of 2")
    member.made(shell(SIMULATE))
    assert not (member.directory / "more").exists()
    assert member.status.status == "completed"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "out/traj").write_text("9\n"),
        lambda folder: (folder / "out/traj").unlink(),
        lambda folder: os.utime(folder / "out/traj"),
        lambda folder: (folder / "run.out").write_text(""),
        lambda folder: (folder / ".step-1").write_text("1-0 0 0\0"),
    ],
)
@pytest.mark.parametrize("again", [True, False])
def test_what_is_not_as_a_command_left_it_runs_all_again(
    member: Member, change: Any, again: bool
) -> None:
    commands = shell(SIMULATE), shell("test -e ok")
    member.made(*commands)
    assert member.run().startswith("failed step 2")
    chain = [member.text(".step-1").split()[0], member.digest]
    assert steps.kept(member.directory, chain) == 1
    change(member.directory)
    assert steps.kept(member.directory, chain) == 0
    if again:
        member.made(*commands)
    member.run()
    assert member.text("count") == "s\ns\n"


def test_files_that_a_command_changes_stay_changed_while_it_is_kept(member: Member) -> None:
    (member.base / "topol.top").write_text("protein\n")
    files = {"to_copy": ["topol.top"]}
    commands = shell("echo water >>topol.top"), shell("cat topol.top; test -e ok")
    member.made(*commands, files=files)
    assert member.run().startswith("failed step 2")
    member.made(*commands, files=files)
    member.run()
    assert member.text("topol.top") == "protein\nwater\n"
    # changed by the second command: both begin anew, from what the config says
    commands = shell("echo water >>topol.top"), shell("echo ion >>topol.top; test -e ok")
    member.made(*commands, files=files)
    member.run()
    member.made(*commands, files=files)
    member.run()
    assert member.text("topol.top") == "protein\nwater\nion\n"
    (member.base / "topol.top").write_text("lipid\n")
    member.made(*commands, files=files)
    member.run()
    assert member.text("topol.top") == "lipid\nwater\nion\n"


def test_what_is_forced_or_lacks_an_output_runs_all_again(member: Member) -> None:
    commands = shell(SIMULATE), shell(ANALYSE)
    member.made(*commands, outputs=["out/mean", "never"])
    assert member.run() == "failed left no output never"
    member.run()
    assert member.text("count") == "s\ns\n"
    member.made(*commands)
    assert member.run() == "completed"
    member.made(*commands, forced=1)
    assert member.run() == "completed"
    assert member.text("count") == "s\n" * 4


def test_a_move_that_was_cut_short_is_finished(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after any of the steps of setting aside, and of bringing back."""
    first, second = [shell(SIMULATE), shell(ANALYSE)], [shell(SIMULATE), shell("cat out/traj")]
    member.made(*first)
    assert member.run() == "completed"
    calls = 1000

    def cut_short(method: Any) -> Any:
        def counted(*arguments: Any, **keys: Any) -> Any:
            nonlocal calls
            calls -= 1
            if calls < 0:
                raise KeyboardInterrupt
            return method(*arguments, **keys)

        return counted

    for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(Path, name, cut_short(getattr(Path, name)))
    for allowed in range(25):
        for commands in (second, first):
            calls = allowed
            try:
                member.made(*commands)
            except KeyboardInterrupt:
                calls = 1000
                member.made(*commands)
            calls = 1000
            assert member.run() == "completed"
            assert member.text("count") == "s\n", (allowed, commands)
            assert member.text("run.out").count("simulated") == 1
            assert (member.directory / "out/mean").exists() == (commands == first)


def test_the_digest_of_one_command_is_what_it_always_was(member: Member) -> None:
    one = member.made(shell("true")).digest
    assert member.made(shell("true"), shell("false")).digest != one
    data = {"experiment": "e", "models": {"m": {"run_settings": [shell("true")]}}}
    assert expand_work(Config.model_validate(data), "m", member.base).planned[0].digest == one


# ---- preamble ----


def test_a_preamble_brings_programs_functions_and_variables(member: Member) -> None:
    (member.base / "modules").write_text(
        'module() { export PATH="$PWD/bin:$PATH" LOADED="$2"; }\nmodule load gromacs\n'
    )
    (member.base / "bin").mkdir()
    (member.base / "bin/gmx").write_text("#!/bin/bash\necho $LOADED $UID $OMP $PWD\n")
    (member.base / "bin/gmx").chmod(0o755)
    preamble = ["source ./modules  # ours", "declare -x OMP=1; cd /"]
    gmx = {"exe": "gmx", "env_vars": {"OMP": 4, "UID": 7}}
    member.made(gmx, preamble=preamble, resources={"runtime": 1})
    assert member.run() == "completed"
    assert member.text("run.out") == f"gromacs 7 4 {member.directory}\n"
    one = member.digest
    assert member.made(gmx, preamble=["echo other"]).digest == one, "it is a matter of the site"


@pytest.mark.parametrize("line", ["false", "no-such-module load x", "exit 3", "source ./nowhere"])
def test_a_line_that_fails_is_the_reason(member: Member, line: str) -> None:
    member.made({"exe": "touch", "exe_args": ["here"]}, preamble=["true", line, "true"])
    told = member.run()
    assert told.startswith(f"failed preamble: {line}: exit code ")
    assert not (member.directory / "here").exists()
    assert not (member.directory / ".preamble").exists()
    if "no-such" in line:
        assert "command not found" in member.text("run.err")
