"""Run and batch settings: what a script sets, and what of it the config gets."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ensemake
from ensemake import (
    AprunSettings,
    BatchSettings,
    JsrunSettings,
    MpiexecSettings,
    MpirunSettings,
    OrterunSettings,
    PalsMpiexecSettings,
    RunSettings,
    Singularity,
    SrunSettings,
    UnsupportedError,
)
from ensemake.python.launcher_settings import FOUND_ON, run_settings

# setter, its arguments, the words for the launcher, the config's resources
SETTERS: list[tuple[type[RunSettings], str, tuple[Any, ...], list[str], dict[str, Any]]] = [
    (SrunSettings, "set_nodes", (2,), ["--nodes=2"], {"nodes": 2}),
    (SrunSettings, "set_tasks", (8,), ["--ntasks=8"], {"tasks": 8}),
    (SrunSettings, "set_tasks_per_node", (4,), ["--ntasks-per-node=4"], {"tasks": 4}),
    (SrunSettings, "set_cpus_per_task", (2,), ["--cpus-per-task=2"], {"cpus_per_task": 2}),
    (SrunSettings, "set_memory_per_node", (500,), ["--mem=500"], {"mem_mb": 500}),
    (SrunSettings, "set_time", (25,), ["--time=25:00:00"], {"runtime": 1500}),
    (SrunSettings, "set_walltime", ("00:30:30",), ["--time=00:30:30"], {"runtime": 31}),
    (SrunSettings, "set_hostlist", (["n1", "n2"],), ["--nodelist=n1,n2"], {}),
    (SrunSettings, "set_hostlist_from_file", ("f",), ["--nodefile=f"], {}),
    (SrunSettings, "set_excluded_hosts", ("n3",), ["--exclude=n3"], {}),
    (SrunSettings, "set_cpu_bindings", ([0, 2],), ["--cpu-bind=map_cpu:0,2"], {}),
    (SrunSettings, "set_node_feature", ("P100",), ["--constraint=P100"], {}),
    (SrunSettings, "set_broadcast", ("/tmp/x",), ["--bcast=/tmp/x"], {}),
    (SrunSettings, "set_verbose_launch", (True,), ["--verbose"], {}),
    (SrunSettings, "set_quiet_launch", (True,), ["--quiet"], {}),
    (SrunSettings, "set_quiet_launch", (False,), [], {}),
    (SrunSettings, "set_het_group", ([0, 1],), ["--het-group=0,1"], {}),
    (SrunSettings, "set", ("--exclusive",), ["--exclusive"], {}),
    (SrunSettings, "set", ("mpi", "pmix"), ["--mpi=pmix"], {}),
    (SrunSettings, "set", ("mpi", "pmix", False), [], {}),
    (MpirunSettings, "set_tasks", (4,), ["-n", "4"], {"tasks": 4}),
    (MpirunSettings, "set_tasks_per_node", (2,), ["--npernode", "2"], {"tasks": 2}),
    (MpirunSettings, "set_task_map", ("node",), ["--map-by", "node"], {}),
    (MpirunSettings, "set_hostlist", ("a",), ["--host", "a"], {}),
    (MpirunSettings, "set_binding", ("core",), ["--bind-to", "core"], {}),
    (MpirunSettings, "set_walltime", ("01:00:00",), [], {"runtime": 60}),
    (MpiexecSettings, "set_tasks", (4,), ["-n", "4"], {"tasks": 4}),
    (OrterunSettings, "set_tasks", (4,), ["-n", "4"], {"tasks": 4}),
    (PalsMpiexecSettings, "set_tasks", (4,), ["--np", "4"], {"tasks": 4}),
    (PalsMpiexecSettings, "set_tasks_per_node", (2,), ["--ppn", "2"], {"tasks": 2}),
    (AprunSettings, "set_tasks", (4,), ["--pes", "4"], {"tasks": 4}),
    (AprunSettings, "set_cpus_per_task", (2,), ["--cpus-per-pe", "2"], {"cpus_per_task": 2}),
    (MpirunSettings, "set_hostlist_from_file", ("f",), ["--hostfile", "f"], {}),
    (MpirunSettings, "set_broadcast", (), ["--preload-binary"], {}),
    (MpirunSettings, "set_verbose_launch", (True,), ["--verbose"], {}),
    (MpirunSettings, "set_quiet_launch", (True,), ["--quiet"], {}),
    (PalsMpiexecSettings, "set_hostlist_from_file", ("f",), ["--hostfile", "f"], {}),
    (PalsMpiexecSettings, "set_broadcast", (), ["--transfer"], {}),
    (PalsMpiexecSettings, "set_binding", ("depth",), ["--cpu-bind", "depth"], {}),
    (AprunSettings, "set_memory_per_node", (800,), ["--memory-per-pe", "800"], {"mem_mb": 800}),
    (AprunSettings, "set_verbose_launch", (True,), ["--debug", "7"], {}),
    (AprunSettings, "set_verbose_launch", (False,), [], {}),
    (AprunSettings, "set_quiet_launch", (True,), ["--quiet"], {}),
    (AprunSettings, "set_excluded_hosts", ("n3",), ["--exclude-node-list", "n3"], {}),
    (AprunSettings, "set_cpu_bindings", ([0, 2],), ["--cpu-binding", "0,2"], {}),
    (JsrunSettings, "set_tasks", (4,), ["--np", "4"], {"tasks": 4}),
    (RunSettings, "set_tasks", (4,), ["--tasks", "4"], {"tasks": 4}),
    (RunSettings, "set_walltime", ("02:00:00",), ["--runtime", "02:00:00"], {"runtime": 120}),
]


@pytest.mark.parametrize(("kind", "setter", "arguments", "words", "needs"), SETTERS)
def test_setters(
    kind: type[RunSettings],
    setter: str,
    arguments: tuple[Any, ...],
    words: list[str],
    needs: dict[str, Any],
) -> None:
    settings = kind("echo")
    getattr(settings, setter)(*arguments)
    assert settings.format_run_args() == words
    assert settings.needs == needs
    # a size is said once, as a resource
    sizes = any(settings.launcher.size(name) for name in settings.run_args)
    assert settings.as_config().get("run_args", {}).keys() <= settings.run_args.keys()
    assert not (sizes and settings.as_config().get("run_args"))


@pytest.mark.parametrize("kind", [MpirunSettings, MpiexecSettings, PalsMpiexecSettings])
def test_no_path_becomes_the_program(kind: type[RunSettings]) -> None:
    """An option without a value leaves the next word to be run."""
    settings, bare = kind("echo"), kind("echo")
    bare.set_broadcast()
    with pytest.warns(UserWarning, match="takes no value"):
        settings.set_broadcast("/tmp/there")
    assert settings.format_run_args() == bare.format_run_args()


def test_aprun_is_told_the_memory_of_each_task() -> None:
    settings = AprunSettings("echo")
    settings.set_memory_per_node(8000)
    settings.set_tasks_per_node(4)
    assert settings.as_config()["run_args"] == {"memory-per-pe": 2000, "pes-per-node": 4}
    assert settings.needs["mem_mb"] == 8000


REAL_SETTERS = [
    (setter, arguments)
    for kind, setter, arguments, words, _ in SETTERS
    if kind is MpirunSettings and words and setter != "set_broadcast"  # not for one machine alone
]


@pytest.mark.skipif(not shutil.which("mpirun.openmpi"), reason="no Open MPI")
@pytest.mark.parametrize(("setter", "arguments"), REAL_SETTERS)
def test_open_mpi_knows_what_is_set(
    setter: str, arguments: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    Path("f").write_text("localhost slots=4\n")
    settings = MpirunSettings("echo")
    getattr(settings, setter)(*("localhost:4" if word == "a" else word for word in arguments))
    command = ["mpirun.openmpi", "--oversubscribe", *settings.format_run_args(), "/bin/echo", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == {"run"}, done.stderr


def test_every_public_setter_works_or_warns() -> None:
    """A launcher without an option for something says so, and goes on."""
    settings = RunSettings("echo")
    with pytest.warns(UserWarning, match="no option for hostlist"):
        settings.set_hostlist("n1")
    assert "run_args" not in settings.as_config()


def test_options_with_dashes_and_reserved_ones() -> None:
    settings = SrunSettings("echo", run_args={"--ntasks": 24, "-N": 1, "exclusive": None})
    assert settings.needs == {"tasks": 24, "nodes": 1}
    assert settings.as_config()["run_args"] == {"exclusive": None}
    with pytest.warns(UserWarning, match="chdir"):
        settings.set("chdir", "/tmp")
    assert "chdir" not in settings.run_args


def test_tasks_follow_from_nodes_and_tasks_per_node() -> None:
    settings = SrunSettings("echo")
    settings.set_nodes(2)
    settings.set_tasks_per_node(12)
    assert settings.needs == {"nodes": 2, "tasks": 24}


BAD: list[tuple[type[Exception], dict[str, Any]]] = [
    (FileNotFoundError, {"exe": "no-such-program-here"}),
    (FileNotFoundError, {"exe": "./no-such-file"}),
    (TypeError, {"exe": "plain.txt"}),
    (TypeError, {"exe": 5}),
    (TypeError, {"exe": "echo", "exe_args": 5}),
    (TypeError, {"exe": "echo", "exe_args": [None]}),
    (TypeError, {"exe": "echo", "exe_args": [["nested"]]}),
    (TypeError, {"exe": "echo", "env_vars": {"A": [1]}}),
]


@pytest.mark.parametrize(("error", "arguments"), BAD)
def test_errors(
    error: type[Exception],
    arguments: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").touch()
    with pytest.raises(error):
        RunSettings(**arguments)


@pytest.mark.parametrize(("name", "value"), [("a", 5), (5, None)])
def test_set_takes_text_only(name: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        RunSettings("echo").set(name, value)


def test_arguments_and_environment() -> None:
    settings = RunSettings("echo", "Hello World", env_vars={"A": 1, "B": True})
    settings.add_exe_args(["two words", "--x=1"])
    settings.update_env({"C": 0.5})
    assert settings.exe_args == ["Hello", "World", "two words", "--x=1"]
    assert settings.format_env_vars() == ["A=1", "B=True", "C=0.5"]
    assert settings.as_config() == {
        "exe": "echo",
        "exe_args": ["Hello", "World", "two words", "--x=1"],
        "env_vars": {"A": "1", "B": "True", "C": "0.5"},
    }


ASSIGNED: list[tuple[str, Any, Any]] = [
    ("exe_args", "hello world", ["hello", "world"]),
    ("exe_args", (1, 2.5, "a b"), ["1", "2.5", "a b"]),
    ("exe_args", None, []),
    ("env_vars", {"A": True, "B": 1}, {"A": "True", "B": "1"}),
    ("run_args", {"--ntasks": 4, "mpi": " pmix "}, {"ntasks": 4, "mpi": "pmix"}),
    ("exe", "cat", "cat"),
]


@pytest.mark.parametrize(("name", "value", "expected"), ASSIGNED)
def test_what_is_assigned_becomes_what_is_passed(name: str, value: Any, expected: Any) -> None:
    settings = SrunSettings("echo")
    setattr(settings, name, value)
    assert getattr(settings, name) == expected
    assert getattr(SrunSettings(**{"exe": "echo", name: value}), name) == expected


WRONG: list[tuple[Any, str, Any, str]] = [
    (RunSettings("echo"), "exe_args", 5, "arguments are text or a list of texts, not 5"),
    (RunSettings("echo"), "exe_args", ["a", None], r"exe_args\[1\]: expected text or a number"),
    (RunSettings("echo"), "env_vars", ["A"], "env_vars: expected a dict"),
    (RunSettings("echo"), "env_vars", {"A-B": 1}, "write 'A_B'"),
    (RunSettings("echo"), "run_args", {"--x": [1]}, "run_args.x: expected text"),
    (RunSettings("echo"), "run_command", 5, "run_command: expected text"),
    (RunSettings("echo"), "container", "i.sif", "image: image.sif"),
    (RunSettings("echo"), "exe", None, "exe is the name or the path of a program"),
    (BatchSettings(), "nodes", 0, "nodes: must be 1 or more"),
    (BatchSettings(), "preamble", [5], r"preamble\[0\]: expected text"),
    (BatchSettings(), "batch_args", ["x"], "expected a dict"),
    (Singularity("i.sif"), "mount", 5, "bind: expected a list"),
]


@pytest.mark.parametrize(("settings", "name", "value", "message"), WRONG)
def test_what_is_assigned_is_checked(settings: Any, name: str, value: Any, message: str) -> None:
    before = settings.as_config()
    with pytest.raises(TypeError, match=message):
        setattr(settings, name, value)
    assert settings.as_config() == before


def test_nothing_of_the_caller_is_shared() -> None:
    words, options, lines = ["a"], {"x": "1"}, ["module load foo"]
    settings = SrunSettings("echo", words, run_args=options, env_vars={"A": "1"})
    batch = BatchSettings(batch_args=options, preamble=lines)
    other = SrunSettings("echo")
    other.exe_args, other.run_args = settings.exe_args, options
    words.append("b")
    options["y"] = "2"
    lines.append("module load bar")
    settings.exe_args.append("c")
    assert (settings.exe_args, other.exe_args) == (["a", "c"], ["a"])
    assert settings.run_args == other.run_args == batch.batch_args == {"x": "1"}
    assert batch.preamble == ["module load foo"]


@pytest.mark.parametrize(
    "action",
    [
        lambda: setattr(SrunSettings("echo"), "run_args", {"chdir": "/tmp"}),
        lambda: SrunSettings("echo").set("chdir", "/tmp"),
        lambda: SrunSettings("echo", run_args={"chdir": "/tmp"}),
    ],
)
def test_a_warning_points_at_the_script(action: Callable[[], object]) -> None:
    with pytest.warns(UserWarning, match="chdir") as told:
        action()
    assert [warning.filename for warning in told] == [__file__]


def test_a_program_without_a_slash_is_found_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code.sh").write_text("#!/bin/sh\n")
    (tmp_path / "code.sh").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert RunSettings("code.sh").exe == str(tmp_path / "code.sh")
    assert RunSettings(sys.executable).exe == sys.executable


def test_mpmd_is_the_config_s() -> None:
    ocean = MpirunSettings("echo", "ocean", run_args={"n": 2}, env_vars={"A": 1})
    air = MpirunSettings("cat", ["air"], run_args={"n": 3})
    ocean.make_mpmd(air)
    assert ocean.needs == {"tasks": 5}
    assert ocean.as_config() == {
        "exe": "echo",
        "exe_args": ["ocean"],
        "run_command": "mpirun",
        "env_vars": {"A": "1"},
        "mpmd": [{"exe": "cat", "exe_args": ["air"], "tasks": 3}],
    }
    with pytest.raises(UnsupportedError):
        RunSettings("echo").make_mpmd(air)
    with pytest.raises(UnsupportedError):
        ocean.make_mpmd(MpirunSettings("echo", container=Singularity("i.sif")))


def test_container() -> None:
    settings = RunSettings(
        "anything", container=Singularity("i.sif", mount={"/data": "/in", "/x": ""})
    )
    container = settings.as_config()["container"]
    assert container == {"image": "i.sif", "bind": ["/data:/in", "/x"]}
    assert Singularity("i.sif", mount="/a,/b:/c").as_config()["bind"] == ["/a", "/b:/c"]
    gpu = Singularity("i.sif", "--nv --env A=1", ["/a"], "/workspace")
    assert gpu.as_config() == {
        "image": "i.sif",
        "bind": ["/a"],
        "args": ["--nv", "--env", "A=1"],
        "working_directory": "/workspace",
    }
    for wrong in ({"/data": "/in"}, "/data:/in", 5):  # a mount in the place of options
        with pytest.raises(TypeError):
            Singularity("i.sif", wrong)  # type: ignore[arg-type]


def test_launcher_of_an_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(run_settings("slurm", "auto", exe="echo")) is SrunSettings
    assert type(run_settings("local", "auto", exe="echo")) is RunSettings
    assert run_settings("local", None, exe="echo").as_config()["run_command"] == "none"
    assert type(run_settings("local", "mpirun", exe="echo")) is MpirunSettings
    assert run_settings("pbs", "dplace", exe="echo").run_command == "dplace"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    pbs = run_settings("pbs", "auto", exe="echo")
    assert type(pbs).__name__ == "AprunSettings"
    assert pbs.run_command == "auto"
    assert FOUND_ON["local"] == ()


BATCH: list[tuple[str, str, tuple[Any, ...], list[str]]] = [
    ("slurm", "set_cpus_per_task", (4,), ["--cpus-per-task=4"]),
    ("slurm", "set_hostlist", (["a", "b"],), ["--nodelist=a,b"]),
    ("pbs", "set_ncpus", (4,), ["-l", "ncpus=4"]),
    ("pbs", "set_hostlist", (["a", "b"],), ["-l", "host=a+b"]),
    ("pbs", "set_resource", ("place", "scatter"), ["-l", "place=scatter"]),
    ("local", "set_hostlist", ("a",), []),
]


@pytest.mark.parametrize(("launcher", "setter", "arguments", "words"), BATCH)
def test_batch_setters(
    launcher: str, setter: str, arguments: tuple[Any, ...], words: list[str]
) -> None:
    settings = BatchSettings(launcher=launcher)
    getattr(settings, setter)(*arguments)
    assert settings.format_batch_args() == words


def test_batch_settings() -> None:
    settings = BatchSettings(4, "01:00:00", "gpu", "12345-Cray", {"--exclusive": None})
    settings.add_preamble("module load foo")
    assert settings.as_config() == {
        "nodes": 4,
        "runtime": 60,
        "queue": "gpu",
        "account": "12345-Cray",
        "batch_args": {"exclusive": None},
        "preamble": ["module load foo"],
    }
    settings.set_nodes(2)
    settings.set_walltime("10:00:00")
    settings.set_partition("long")
    settings.set_account("other")
    assert settings.as_config()["runtime"] == 600
    assert (settings.nodes, settings.queue, settings.account) == (2, "long", "other")


def test_pbs_resources() -> None:
    settings = BatchSettings(launcher="pbs")
    settings.set_resource("ncpus", 4)
    settings.set_resource("mem", "2gb")
    settings.set_resource("ncpus", 8)
    assert settings.format_batch_args() == ["-l", "ncpus=8", "-l", "mem=2gb"]
    with pytest.raises(TypeError):
        settings.set_resource("x", [1])  # type: ignore[arg-type]


def test_public_names() -> None:
    assert all(getattr(ensemake, name) for name in ensemake.__all__)
    assert set(ensemake.__all__) <= set(dir(ensemake))
    with pytest.raises(AttributeError):
        ensemake.Nothing  # type: ignore[attr-defined] # noqa: B018
