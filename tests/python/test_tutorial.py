"""The steps of SmartSim's tutorial "getting started", as far as they need no database."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ensemake.smartsim import Experiment

pytestmark = pytest.mark.workflow
NAMED = 'print("I am {open}tutorial_name{close} and my number is {open}tutorial_parameter{close}")'
PARAMS = {"tutorial_name": ["Ellie", "John"], "tutorial_parameter": [2, 11]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    return tmp_path


def printed(model: Any) -> tuple[str, str]:
    files = (os.path.join(model.path, f"{model.name}.{kind}") for kind in ("out", "err"))
    out, err = (Path(file).read_text() for file in files)
    return out, err


def test_models() -> None:
    exp = Experiment(name="getting-started", launcher="local")
    settings = exp.create_run_settings(exe="echo", exe_args="hello!", run_command=None)
    first = exp.create_model(name="tutorial-model", run_settings=settings)
    exp.start(first, block=True, summary=True)
    assert printed(first) == ("hello!\n", "")
    sleep = exp.create_run_settings(exe="sleep", exe_args="1", run_command=None)
    both = [exp.create_model(f"tutorial-model-{i}", rs) for i, rs in enumerate((settings, sleep))]
    exp.start(*both)
    assert exp.get_status(*both) == ["Completed"] * 2


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no MPI is installed")
def test_a_model_with_mpirun() -> None:
    exp = Experiment(name="getting-started", launcher="local")
    settings = exp.create_run_settings("echo", exe_args="hello world!", run_command="mpirun")
    settings.set_tasks(2)
    model = exp.create_model("tutorial-model-mpirun", settings)
    exp.start(model, summary=True)
    assert printed(model)[0] == "hello world!\n" * 2


def test_ensembles(folder: Path) -> None:
    exp = Experiment(name="getting-started", launcher="local")
    sleep = exp.create_run_settings(exe="sleep", exe_args="0.1")
    replicas = exp.create_ensemble("ensemble-replica", replicas=4, run_settings=sleep)
    exp.start(replicas, summary=True)
    assert exp.get_status(replicas) == ["Completed"] * 4

    (folder / "output_my_parameter.py").write_text(NAMED.format(open=";", close=";"))
    rs = exp.create_run_settings(exe="python", exe_args="output_my_parameter.py")
    ensemble = exp.create_ensemble(
        "ensemble", params=PARAMS, run_settings=rs, perm_strategy="all_perm"
    )
    ensemble.attach_generator_files(to_configure="./output_my_parameter.py")
    exp.generate(ensemble, overwrite=True)
    exp.start(ensemble)
    assert [printed(ensemble.entities[i])[0] for i in range(4)] == [
        f"I am {name} and my number is {number}\n"
        for name in ("Ellie", "John")
        for number in (2, 11)
    ]

    drawn = exp.create_ensemble(
        "param_ensemble", params=PARAMS, run_settings=rs, perm_strategy="random", n_models=2
    )
    drawn.attach_generator_files(to_configure="./output_my_parameter.py")
    exp.generate(drawn, overwrite=True)
    exp.start(drawn)
    assert len({printed(model)[0] for model in drawn}) == 2

    (folder / "output_new_tag.py").write_text(NAMED.format(open="@", close="@"))
    rs = exp.create_run_settings(exe="python", exe_args="output_new_tag.py")
    tagged = exp.create_ensemble("ensemble_new_tag", params=PARAMS, run_settings=rs)
    tagged.attach_generator_files(to_configure="./output_new_tag.py")
    exp.generate(tagged, overwrite=True, tag="@")
    exp.start(tagged)
    assert printed(tagged.entities[3])[0] == "I am John and my number is 11\n"

    lines = exp.summary().splitlines()
    assert len(lines) == 2 + 4 + 4 + 2 + 4
    assert all("Completed" in line for line in lines[2:])
