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
    AprunSettings,
    Experiment,
    MpirunSettings,
    PalsMpiexecSettings,
    QsubBatchSettings,
    SbatchSettings,
    SrunSettings,
    UnsupportedError,
)

SCRIPT = """
from ensemake.smartsim import Experiment
from ensemake.smartsim.entity import Ensemble, Model
from ensemake.smartsim.error import EntityExistsError, SmartSimError, SSUnsupportedError
from ensemake.smartsim.log import get_logger
from ensemake.smartsim.settings import MpirunSettings, RunSettings, SbatchSettings, Singularity
from ensemake.smartsim.status import SmartSimStatus
import ensemake.smartsim.settings as settings

exp = Experiment("e")
model = exp.create_model("m", settings.RunSettings("echo", "hello"))
assert isinstance(model, Model) and issubclass(SSUnsupportedError, SmartSimError)
assert exp.get_status(model) == [SmartSimStatus.STATUS_NEVER_STARTED]
get_logger("mine").info("told")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_script_imports_from_smartsims_places() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("mine INFO told\n")


def test_what_there_is_not_cannot_be_imported() -> None:
    with pytest.raises(ImportError):
        exec("from ensemake.smartsim.settings import BsubBatchSettings")
    with pytest.raises(ImportError):
        importlib.import_module("ensemake.smartsim.database")


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
