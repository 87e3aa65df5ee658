"""What SmartSim's scripts call things and where they import them from."""

import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ensemake
from ensemake import (
    AllocationError,
    AprunSettings,
    Experiment,
    GenerateError,
    MpirunSettings,
    PalsMpiexecSettings,
    QsubBatchSettings,
    RunFailedError,
    SbatchSettings,
    SrunSettings,
    StrategyError,
    UnsupportedError,
    WrongValueError,
    get_allocation,
    release_allocation,
)
from ensemake.config.faults import ConfigError

SCRIPT = """
from ensemake.smartsim import Experiment
from ensemake.smartsim.entity import Ensemble, Model
from ensemake.smartsim.error import (
    AllocationError, EntityExistsError, LauncherError, LauncherUnsupportedFeature,
    ParameterWriterError, ShellError, SmartSimError, SSConfigError, SSInternalError,
    SSReservedKeywordError, SSUnsupportedError, UserStrategyError,
)
from ensemake.smartsim.error.errors import PreviewFormatError
from ensemake.smartsim.log import get_logger
from ensemake.smartsim.settings import MpirunSettings, RunSettings, SbatchSettings, Singularity
from ensemake.smartsim.status import SmartSimStatus
from ensemake.smartsim.wlm import slurm
from ensemake import smartsim
import ensemake.smartsim.settings as settings

exp = Experiment("e")
model = exp.create_model("m", settings.RunSettings("echo", "hello"))
assert isinstance(model, Model) and issubclass(SSUnsupportedError, SmartSimError)
assert issubclass(AllocationError, LauncherError) and slurm.get_allocation
assert smartsim.settings is settings
assert exp.get_status(model) == [SmartSimStatus.STATUS_NEVER_STARTED]
get_logger("mine").info("told")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_script_imports_from_smartsims_places() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("mine INFO told\n")


def test_what_there_is_not_cannot_be_imported() -> None:
    with pytest.raises(ImportError):
        exec("from ensemake.smartsim.settings import BsubBatchSettings")
    with pytest.raises(ImportError):
        importlib.import_module("ensemake.smartsim.ml")


def test_other_names_are_the_same_things() -> None:
    names: Any = ensemake
    assert names.SmartSimStatus is ensemake.Status
    assert names.SSUnsupportedError is ensemake.UnsupportedError
    assert {"SmartSimStatus", "SmartSimError", "Experiment"} <= set(dir(ensemake))


@pytest.mark.parametrize("kind", [SrunSettings, MpirunSettings, PalsMpiexecSettings, AprunSettings])
def test_options_are_the_third_argument_of_launchers(kind: Any) -> None:
    settings = kind("echo", "a b", {"--some": 1}, {"A": 2})
    assert settings.exe_args == ["a", "b"]
    assert settings.run_args == {"some": 1}
    assert settings.env_vars == {"A": "2"}
    assert settings.run_command == kind.default_command


def test_batches_of_each_workload_manager() -> None:
    slurm = SbatchSettings(2, "01:00:00", "acc", {"exclusive": None}, size=3)
    assert slurm.as_config() == {
        "size": 3,
        "nodes": 2,
        "runtime": 60,
        "account": "acc",
        "batch_args": {"exclusive": None},
    }
    pbs = QsubBatchSettings(2, 36, "00:10:00", "q", "acc", {"ngpus": 4})
    made = Experiment("e", launcher="pbs").create_batch_settings(
        nodes=2, time="00:10:00", queue="q", account="acc", ncpus=36, resources={"ngpus": 4}
    )
    assert isinstance(made, QsubBatchSettings)
    assert pbs.as_config() == made.as_config()
    assert pbs.batch_args == {"ncpus": 36, "ngpus": 4}
    with pytest.raises(TypeError):
        Experiment("e").create_batch_settings(resources={})


def test_resources_of_pbs_are_read_and_set() -> None:
    batch = QsubBatchSettings(ncpus=8, resources={"select": 3, "walltime": "01:30:00", "ngpus": 4})
    assert batch.resources == {"select": 3, "walltime": "01:30:00", "ngpus": 4}
    assert (batch.nodes, batch.runtime) == (3, 90)
    batch.resources["ngpus"] = 5  # a copy, as there
    batch.resources = {"nodes": 2, "ngpus": 1}
    assert batch.as_config() == {
        "nodes": 2,
        "runtime": 90,
        "batch_args": {"ncpus": 8, "ngpus": 1},
    }
    whole = QsubBatchSettings(resources={"select": "2:ncpus=4+1:ncpus=8"})
    assert whole.format_batch_args() == ["-l", "select=2:ncpus=4+1:ncpus=8"]
    assert whole.resources == {"select": "2:ncpus=4+1:ncpus=8"}


@pytest.mark.parametrize(
    "action",
    [
        lambda: QsubBatchSettings(nodes=2, resources={"nodes": 3}),
        lambda: QsubBatchSettings(nodes=2, resources={"select": 3}),
        lambda: QsubBatchSettings(resources={"select": 3}).set_nodes(2),
        lambda: QsubBatchSettings(resources={"select": 3}).set_resource("nodes", 2),
    ],
)
def test_nodes_beside_select_are_noticed(action: Any) -> None:
    with pytest.raises(ConfigError, match="one of nodes and select"):
        action()


def test_another_submit_command_says_how_it_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (folder / name).mkdir()
        (folder / name / "qsub").write_text("#!/bin/sh\n")
        (folder / name / "qsub").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/first", prepend=os.pathsep)
    batch = QsubBatchSettings(nodes=1)
    batch.set_batch_command("qsub")
    batch.set_batch_command(f"{folder}/first/qsub")
    with pytest.warns(UserWarning, match="the first on PATH") as told:
        batch.set_batch_command(f"{folder}/second/qsub")
    exec(str(told[0].message).partition("write ")[2], {"os": os})
    assert os.environ["PATH"].startswith(f"{folder}/second{os.pathsep}")
    batch.set_batch_command(f"{folder}/second/qsub")
    with pytest.raises(FileNotFoundError):
        batch.set_batch_command("no-such-qsub")


def test_pals(folder: Path) -> None:
    (folder / "gpu.sh").write_text('#!/bin/sh\nexec "$@"\n')
    (folder / "gpu.sh").chmod(0o755)
    exp = Experiment("e", launcher="pals")
    run = exp.create_run_settings("echo", "a b")
    assert isinstance(run, PalsMpiexecSettings)
    assert isinstance(exp.create_batch_settings(ncpus=4), QsubBatchSettings)
    run.set_tasks(4)
    run.set_tasks_per_node(2)
    run.set_cpu_binding_type("depth")
    run.set_gpu_affinity_script("gpu.sh", "--verbose")
    assert run.format_run_args()[-2:] == [str(folder / "gpu.sh"), "--verbose"]
    entry = exp.create_model("m", run).as_config()
    assert entry == {
        "run_settings": {
            "exe": "gpu.sh",
            "exe_args": ["--verbose", "echo", "a", "b"],
            "run_command": "mpiexec",
            "run_args": {"ppn": 2, "cpu-bind": "depth"},
        },
        "resources": {"tasks": 4},
    }
    assert exp._profile(None).endswith("/pbs")
    assert isinstance(exp.create_run_settings("echo", run_command="none").launcher.options, dict)


def test_binding_of_open_mpi() -> None:
    run = MpirunSettings("echo")
    run.set_cpu_binding_type("core")
    assert run.run_args == {"bind-to": "core"}


@pytest.mark.workflow
def test_a_variable_without_a_value_is_passed_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSED", "from the shell")
    exp = Experiment("e")
    run = exp.create_run_settings("printenv", "PASSED", env_vars={"PASSED": None})
    assert run.format_env_vars() == ["PASSED"]
    exp.start(exp.create_model("m", run))
    assert Path("e/m/run.out").read_text() == "from the shell\n"
    run.update_env({"PASSED": 5})
    assert run.format_env_vars() == ["PASSED=5"]


def test_errors_are_those_that_scripts_catch(folder: Path) -> None:
    exp = Experiment("e")
    run = exp.create_run_settings("echo")

    def ensemble(strategy: Any) -> None:
        exp.create_ensemble("s", {"x": [1]}, run_settings=run, perm_strategy=strategy)

    for strategy in (lambda names, values: {"x": 1}, lambda names, values: [5], lambda: []):
        with pytest.raises(StrategyError):
            ensemble(strategy)
    with pytest.raises(UnsupportedError):
        exp.preview(output_format="html")
    model = exp.create_model("m", run, {"x": 1})
    (folder / "in.cfg").write_text("x = ;x;")
    model.attach_generator_files(to_configure="in.cfg")
    (folder / "e/m/.lock").mkdir(parents=True)
    with pytest.raises(GenerateError):
        exp.generate(model)


def test_allocations_need_a_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AllocationError, match="no salloc on PATH"):
        get_allocation()
    with pytest.raises(AllocationError, match="no scancel on PATH"):
        release_allocation("1")
    with pytest.raises(WrongValueError, match="is the argument time"):
        get_allocation(options={"t": "1"})


def test_settings_know_their_allocation() -> None:
    exp = Experiment("e", launcher="slurm")
    run = exp.create_run_settings("echo", alloc=12)
    assert isinstance(run, SrunSettings)
    assert run.alloc == "12"
    assert "alloc" not in run.as_config()
    other = exp.create_model("b", SrunSettings("echo"))
    with pytest.raises(UnsupportedError, match="one by one"):
        exp.start(exp.create_model("a", run), other)


@pytest.mark.workflow
def test_a_member_is_started_alone(folder: Path) -> None:
    exp = Experiment("e")
    run = exp.create_run_settings("python3", ["-c", "import sys; sys.exit({{ x }})"])
    ensemble = exp.create_ensemble("s", {"x": [0, 1, 2]}, run_settings=run)
    other = exp.create_model("m", exp.create_run_settings("echo"))
    exp.start(ensemble.models[0], other)
    assert exp.get_status(other, ensemble) == ["Completed", "Completed", *["NeverStarted"] * 2]
    assert exp.finished(ensemble.models[0])
    with pytest.raises(RunFailedError, match="exit code 2") as told:
        exp.start(ensemble["s_2"])
    assert told.value.failed == ["s_2"]
    assert exp.get_status(ensemble) == ["Completed", "NeverStarted", "Failed"]
    rows = [[cell.strip() for cell in line.split("|")] for line in exp.summary().splitlines()]
    head, _, *rest = rows
    told_of = {row[1]: dict(zip(head, row, strict=True)) for row in rest}
    assert told_of["s_0"]["RunID"] == "1"
    assert int(told_of["s_0"]["JobID"]) > 1
    assert told_of["s_2"]["Returncode"] == "2"
    assert told_of["s_1"]["JobID"] == ""
    assert head[1:5] == ["Name", "Entity-Type", "JobID", "RunID"]


def test_a_preview_of_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exp = Experiment("e")
    for name in ("first", "second"):
        exp.create_model(name, exp.create_run_settings("echo"))
    exp.preview()
    told = capsys.readouterr().out
    assert "first" in told
    assert "second" in told


def test_entities_and_types() -> None:
    exp = Experiment("e")
    run = exp.create_run_settings("echo")
    ensemble = exp.create_ensemble("s", replicas=2, run_settings=run)
    assert [model.name for model in ensemble.entities] == ["s_0", "s_1"]
    assert (ensemble.type, ensemble.entities[0].type) == ("Ensemble", "Model")


def test_a_path_elsewhere_says_what_to_write_instead(folder: Path) -> None:
    exp = Experiment("e")
    run = exp.create_run_settings("echo")
    model = exp.create_model("m", run, path=folder / "e" / "m")
    model.set_path("e/m")
    with pytest.raises(UnsupportedError, match=f"exp_path='{folder}/else'"):
        model.set_path("else/m")
    with pytest.raises(UnsupportedError) as told:
        exp.create_ensemble("s", replicas=2, run_settings=run, path="out")
    line = str(told.value).partition("a link there: ")[2]
    exec(line, {"os": os})
    assert os.readlink("out") == str(folder / "e/s")


def test_a_file_that_is_copied_and_configured_is_configured(folder: Path) -> None:
    Path("in.cfg").write_text("x = ;x;")
    Path("other").touch()
    exp = Experiment("e")
    model = exp.create_model("m", exp.create_run_settings("echo"), {"x": 7})
    model.attach_generator_files(to_copy=["in.cfg", "other"], to_configure="in.cfg")
    exp.generate(model)
    assert Path("e/m/in.cfg").read_text() == "x = 7"
    assert Path("e/m/other").exists()


def test_telemetry_says_that_there_is_none() -> None:
    exp = Experiment("e")
    with pytest.warns(UserWarning, match="no telemetry"):
        exp.telemetry.enable()
    exp.telemetry.disable()
    assert not exp.telemetry.is_enabled


def test_a_logger_is_set_up_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        logger = ensemake.get_logger("once", "debug")
    assert len(logger.handlers) == 1
    assert logger.level == logging.DEBUG
