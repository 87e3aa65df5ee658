"""The launcher's words: each in its own form, chosen where the member runs."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config, RunSettings
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.launchers import launch_lines
from ensemake.member.plan import Plan, Planned

FAKE = '#!/bin/bash\nprintf "%s\\n" "$(basename "$0")" "$@" "A=${A-}"\n'
LAUNCHERS = ("srun", "mpirun", "mpiexec", "aprun", "jsrun")


@pytest.fixture
def launchers(tmp_path: Path) -> Path:
    """A folder of launchers that only tell their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in LAUNCHERS:
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    return folder


def launched(folder: Path, run: dict[str, Any], needs: dict[str, int], **environ: str) -> list[str]:
    """The words that the launcher of a member was started with."""
    settings = RunSettings.model_validate({"exe": "echo", **run})
    lines = launch_lines(settings, needs, [[other.exe] for other in settings.mpmd])
    text = "\n".join(
        [*lines, '"${_ensemake_launch[@]}" echo ${_ensemake_further[@]+"${_ensemake_further[@]}"}']
    )
    path = f"{folder}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euc", text], env={"PATH": path, **environ}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[:-1]


OPTIONS: dict[str, Any] = {"bind-to": "core", "x": 1, "quiet": None}


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        (
            "srun",
            "srun --exact --mem=0 --ntasks=4 --cpus-per-task=2 --nodes=2 --ntasks-per-node=2 "
            "--bind-to=core -x 1 --quiet echo",
        ),
        ("mpirun", "mpirun -n 4 --bind-to core -x 1 --quiet echo"),
        ("mpiexec", "mpiexec -n 4 --bind-to core -x 1 --quiet echo"),
        ("aprun", "aprun -n 4 --bind-to core -x 1 --quiet echo"),
        ("jsrun", "jsrun --np 4 --cpu_per_rs 2 --bind-to core -x 1 --quiet echo"),
    ],
)
def test_options_in_each_launchers_form(launchers: Path, launcher: str, expected: str) -> None:
    run = {"run_command": launcher, "run_args": OPTIONS}
    needs = {"nodes": 2, "tasks": 4, "cpus_per_task": 2}
    assert launched(launchers, run, needs) == expected.split()


def test_auto_is_decided_where_the_member_runs(launchers: Path) -> None:
    needs = {"tasks": 2}
    assert launched(launchers, {}, needs, SLURM_JOB_ID="1")[0] == "srun"
    assert launched(launchers, {}, needs)[0] == "mpirun"
    (launchers / "mpirun").unlink()
    assert launched(launchers, {}, {"tasks": 1, "cpus_per_task": 4}, A="echo") == []


def test_a_batch_places_srun_and_a_step_in_a_step_shares(launchers: Path) -> None:
    run = {"run_command": "srun"}
    words = launched(launchers, run, {}, ENSEMAKE_NODELIST="n1,n2")
    assert "--nodelist=n1,n2" in words
    assert "--overlap" not in words
    assert "--overlap" in launched(launchers, run, {}, SLURM_STEP_ID="0")


def test_mpi_is_told_the_hosts_of_a_pbs_job(launchers: Path) -> None:
    """Those of the slot in a batch; a user who names hosts knows better."""
    run: dict[str, Any] = {"run_command": "mpirun"}
    hosts = {"PBS_NODEFILE": "/all"}
    words = "mpirun -n 2 -machinefile {} echo"
    assert launched(launchers, run, {"tasks": 2}, **hosts) == words.format("/all").split()
    hosts["ENSEMAKE_NODEFILE"] = "/slot"
    assert launched(launchers, run, {"tasks": 2}, **hosts) == words.format("/slot").split()
    run["run_args"] = {"host": "a,b"}
    assert launched(launchers, run, {"tasks": 2}, **hosts) == [
        "mpirun",
        "-n",
        "2",
        "--host",
        "a,b",
        "echo",
    ]
    assert "-machinefile" not in launched(launchers, {"run_command": "aprun"}, {}, **hosts)


def test_pals_has_another_word_for_the_hosts(launchers: Path) -> None:
    pals = launchers.parent / "pals" / "bin"
    pals.mkdir(parents=True)
    (launchers / "mpiexec").rename(pals / "mpiexec")
    words = launched(pals, {"run_command": "mpiexec"}, {"tasks": 2}, PBS_NODEFILE="/all")
    assert words == ["mpiexec", "-n", "2", "--hostfile", "/all", "echo"]


@pytest.mark.parametrize(
    ("launcher", "expected"),
    [
        ("mpirun", "mpirun -n 3 --quiet echo : -n 2 --x 1 air"),
        ("aprun", "aprun -n 3 --quiet echo : -n 2 --x 1 air"),
        ("auto", "mpirun -n 3 --quiet echo : -n 2 --x 1 air"),
    ],
)
def test_several_programs_in_one_launch(launchers: Path, launcher: str, expected: str) -> None:
    other = {"exe": "air", "tasks": 2, "run_args": {"xx": 1}}
    run = {"run_command": launcher, "run_args": {"quiet": None}, "mpmd": [other]}
    assert launched(launchers, run, {"tasks": 5}) == expected.replace("--x", "--xx").split()


def test_several_programs_are_one_step_of_srun() -> None:
    hard = ["%t", "a b", "'q'", '"$HOME"', "\\\\n"]
    programs = {"one": (["printf", "%s|", *hard], 2), "two": (["echo", *hard], 1)}
    mpmd = [{"exe": words[0], "tasks": tasks} for words, tasks in programs.values()]
    settings = RunSettings.model_validate({"exe": "echo", "run_command": "srun", "mpmd": mpmd})
    (line,) = launch_lines(settings, {"tasks": 5}, [words for words, _ in programs.values()])
    assert line.startswith("_ensemake_launch=(srun --exact --mem=0 --ntasks=5 --cpus-per-task=1 ")
    # what srun would do with the rest, for each rank
    run = '_ensemake_launch=("${_ensemake_launch[@]:5}"); '
    run += '"${_ensemake_launch[@]}" echo first "${_ensemake_further[@]}"'
    told = [
        subprocess.run(
            ["bash", "-euc", f"{line}\n{run}"],
            env={"SLURM_PROCID": str(rank), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for rank in range(5)
    ]
    assert told == [
        *["first\n"] * 2,
        *["|".join(hard) + "|"] * 2,
        " ".join(hard) + "\n",
    ]


def test_several_programs_have_their_arguments_and_variables(
    launchers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run: dict[str, Any] = {
        "exe": "echo",
        "run_command": "mpirun",
        "env_vars": {"A": "of {{ x }}"},
        "mpmd": [{"exe": "cat", "exe_args": ["a b", "{{ x }}"]}],
    }
    model = {"params": {"x": 7}, "resources": {"tasks": 2}, "run_settings": run}
    config = Config.model_validate_json(json.dumps({"experiment": "e", "models": {"m": model}}))
    (member,) = expand_work(config, "m").planned
    assert generate(Plan("m", config.models["m"], [member]), tmp_path) == []
    environ = {**os.environ, "PATH": f"{launchers}:{os.environ['PATH']}"}
    subprocess.run(["bash", f"{member.directory}/run.sh"], env=environ, check=True)
    told = Path(member.directory, "run.out").read_text().splitlines()
    assert told == ["mpirun", "-n", "1", "echo", ":", "-n", "1", "cat", "a b", "7", "A=of 7"]

    run["mpmd"] = [{"exe": "cat", "exe_args": ["c"]}]
    changed = Config.model_validate_json(json.dumps({"experiment": "e", "models": {"m": model}}))
    assert _digest(expand_work(changed, "m").planned) != member.digest


VERSIONS = {
    "Open MPI": "mpirun (Open MPI) 4.1.4",
    "OpenRTE": "mpirun.openmpi (OpenRTE) 4.1.4",
    "PRRTE": "mpirun (PRRTE) 3.0.0",
    "PALS": "PALS mpiexec 1.2.12",
    "Hydra": "HYDRA build details:",
    "Intel": "Intel(R) MPI Library for Linux* OS, Version 2021.9",
}
BY_NAME = "-x A -x UID -x S -x SSDB"  # what a member has of its store is never told by value
BY_VALUE = "{0} A=a;b {0} UID=7 {0} S=of-the-shell"


@pytest.mark.parametrize(
    ("launcher", "version", "expected"),
    [
        *(("mpirun", name, BY_NAME) for name in ("Open MPI", "OpenRTE", "PRRTE")),
        ("mpiexec", "PALS", BY_VALUE.format("--env")),
        *(("mpirun", name, "") for name in ("Hydra", "Intel")),
        ("aprun", "", BY_VALUE.format("-e")),
        ("auto", "Open MPI", BY_NAME),
    ],
)
@pytest.mark.parametrize("mpmd", [[], [{"exe": "air", "tasks": 1}]])
def test_each_launcher_gives_every_rank_the_variables(
    launchers: Path, launcher: str, version: str, expected: str, mpmd: list[Any]
) -> None:
    for name in ("mpirun", "mpiexec"):
        told = f'[ "$1" != --version ] || {{ echo "{VERSIONS.get(version)}"; exit; }}\n'
        (launchers / name).write_text(FAKE.replace("\n", f"\n{told}", 1))
    env_vars = {"A": "a;b", "UID": "7", "S": "of the shell, not these words"}
    run = {"run_command": launcher, "env_vars": env_vars, "mpmd": mpmd}
    settings = RunSettings.model_validate({"exe": "echo", **run})
    others = [[other.exe] for other in settings.mpmd]
    lines = launch_lines(settings, {"tasks": 3}, others, ["SSDB", "SSKEYIN"])
    text = "\n".join(["export SSDB=here A='a;b' S=of-the-shell; _ensemake_given=(UID=7)", *lines])
    text += '\n"${_ensemake_launch[@]}" echo ${_ensemake_further[@]+"${_ensemake_further[@]}"}'
    done = subprocess.run(
        ["bash", "-euc", text], env={"PATH": f"{launchers}:/usr/bin:/bin"}, capture_output=True
    )
    assert done.stderr == b""
    words = done.stdout.decode().split()[1:-1]
    sizes = "-n 2 echo : {} -n 1 air" if mpmd else "-n 3 echo"
    again = "" if launcher == "aprun" else expected
    assert words == f"{expected} {sizes.format(again)}".split()


def test_no_value_of_a_store_is_told_without_variables_of_the_config(launchers: Path) -> None:
    (launchers / "mpiexec").write_text(
        FAKE.replace("\n", "\n[ $1 != --version ] || echo PALS\n", 1)
    )
    lines = launch_lines(RunSettings(exe="echo", run_command="mpiexec"), {"tasks": 2}, (), ["SSDB"])
    text = "\n".join(["export SSDB=here", *lines, '"${_ensemake_launch[@]}"'])
    words = ["bash", "-euc", text]
    told = subprocess.check_output(words, env={"PATH": f"{launchers}:/usr/bin:/bin"}, text=True)
    assert "here" not in told


def test_programs_are_let_into_a_store_on_other_nodes(launchers: Path) -> None:
    for launcher, expected in {
        "mpirun": "mpirun -n 1 in echo : -n 1 in air",
        "srun": "srun --exact --mem=0 --ntasks=2 --cpus-per-task=1 in bash -pc",
    }.items():
        run = {"exe": "echo", "run_command": launcher, "mpmd": [{"exe": "air"}]}
        lines = launch_lines(RunSettings.model_validate(run), {"tasks": 2}, [["air"]])
        text = '"${_ensemake_launch[@]}" ${_ensemake_vouched[@]} echo "${_ensemake_further[@]}"'
        words = ["bash", "-euc", "\n".join(["_ensemake_vouched=(in)", *lines, text])]
        told = subprocess.check_output(words, env={"PATH": f"{launchers}:/usr/bin:/bin"}, text=True)
        assert " ".join(told.split()).startswith(expected)


@pytest.mark.parametrize(("run_args", "expected"), [({}, True), ({"export": "NONE"}, False)])
def test_srun_gives_the_environment_whatever_a_sites_default_is(
    launchers: Path, run_args: dict[str, str], expected: bool
) -> None:
    run = {"run_command": "auto", "env_vars": {"A": 1}, "run_args": run_args}
    words = launched(launchers, run, {"tasks": 2}, SLURM_JOB_ID="1")
    assert ("--export=ALL" in words) == expected
    assert launched(launchers, run, {}) == []


AGENT = """\
#!/bin/bash
# Instead of ssh: a host, which is this one, and a command that gets nothing of our environment.
while [[ $1 == -* ]]; do shift; done
shift
exec env -i PATH=/usr/bin:/bin sh -c "$*"
"""
REAL = {
    # without what can crash Open MPI 4.1: shared memory of hwloc, daemons that route for others
    "mpirun.openmpi": "-mca plm_rsh_agent {agent} -mca rtc ^hwloc -mca routed direct -host one,two",
    "mpirun.mpich": "-launcher ssh -launcher-exec {agent} -hosts one,two",
}


@pytest.mark.parametrize("real", REAL)
@pytest.mark.parametrize("is_several", [False, True])
def test_variables_reach_the_ranks_of_other_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: str, is_several: bool
) -> None:
    found = shutil.which(real)
    if not found:
        pytest.skip(f"no {real}")
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "agent": AGENT,
        "tell": '#!/bin/sh\necho "<$FOO>" "<$UID>" $PMI_RANK$OMPI_COMM_WORLD_RANK\n',
        "mpirun": f'#!/bin/bash\nexec {found} {" ".join(options(real, tmp_path))} "$@"\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    run: dict[str, Any] = {
        "exe": "tell",
        "run_command": str(tmp_path / "mpirun"),
        "env_vars": {"FOO": "a;b 'c' {{ x }}", "UID": "u"},
        "mpmd": [{"exe": "tell"}] if is_several else [],
    }
    model = {"params": {"x": 7}, "resources": {"tasks": 2}, "run_settings": run}
    config = Config.model_validate_json(json.dumps({"experiment": "e", "models": {"m": model}}))
    (member,) = expand_work(config, "m").planned
    assert generate(Plan("m", config.models["m"], [member]), tmp_path) == []
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    folder = Path(member.directory)
    subprocess.run(["bash", f"{folder}/run.sh"], env={**os.environ, **root}, check=False)
    told = (folder / "run.out").read_text().splitlines()
    assert sorted(told) == [f"<a;b 'c' 7> <u> {rank}" for rank in range(2)], (
        folder / "run.err"
    ).read_text()


def options(real: str, folder: Path) -> list[str]:
    """The options that have this MPI start its ranks on two hosts, by the agent."""
    return REAL[real].format(agent=folder / "agent").split()


def _digest(planned: list[Planned]) -> str:
    return planned[0].digest
