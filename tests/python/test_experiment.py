"""Experiments from Python: the programs of SmartSim's documentation, and what they may rely on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ensemake import (
    BatchSettings,
    Ensemble,
    EntityExistsError,
    Experiment,
    Model,
    RunFailedError,
    RunningError,
    RunSettings,
    Status,
    UnsupportedError,
)
from ensemake.check.config import load_config
from ensemake.config.faults import ConfigError
from ensemake.config.yamltext import config_text
from ensemake.results import runs

from ..conftest import REPOSITORY

SNAKEFILE = REPOSITORY / "workflow" / "Snakefile"
COUNTING = """\
#!/bin/bash
echo "$(basename "$PWD")" "$@" >> "$RAN_LOG"
echo "args $*"
exec sleep "${SLEEP:-0}"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, and a program that notes its runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAN_LOG", str(tmp_path / "ran.log"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    program(tmp_path / "code.sh", COUNTING)
    return tmp_path


@pytest.fixture
def no_leftovers(folder: Path) -> Iterator[None]:
    """Runs in the background end with the test."""
    yield
    for experiment in folder.glob("*/.ensemake"):
        for run in runs.alive(experiment.parent):
            runs.stop(run)


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def ran(folder: Path) -> list[str]:
    log = folder / "ran.log"
    return sorted(log.read_text().splitlines()) if log.exists() else []


def until(condition: Callable[[], object]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it never happened")


def snakemake(*arguments: str, profile: str = "local") -> subprocess.CompletedProcess[str]:
    where = ["--snakefile", str(SNAKEFILE), "--profile", str(REPOSITORY / "profiles" / profile)]
    command = [sys.executable, "-m", "snakemake", *where, *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def sweep(experiment: Experiment, name: str = "sweep", **keys: Any) -> Ensemble:
    settings = keys.pop("run_settings", None) or experiment.create_run_settings("./code.sh")
    keys.setdefault("params", {"x": [1, 2, 3]})
    keys.setdefault("params_as_args", ["x"] if "x" in keys["params"] else [])
    return experiment.create_ensemble(name, run_settings=settings, **keys)


# ---- the programs of SmartSim's page on the Experiment; two on Slurm are in tests/slurm ----


@pytest.mark.workflow
def test_hello_world(folder: Path) -> None:
    exp = Experiment("simple", launcher="local")
    settings = exp.create_run_settings("echo", exe_args="Hello World")
    model = exp.create_model("hello_world", settings)
    exp.start(model, block=True)
    assert (folder / "simple/hello_world/run.out").read_text() == "Hello World\n"
    assert exp.get_status(model) == ["Completed"]
    assert exp.finished(model)


@pytest.mark.workflow
def test_training_ensemble_at_random(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemake.python.experiment.workload_manager", lambda environ: "none")
    (folder / "train-model.py").write_text("import sys; print(sys.argv[1])\n")
    exp = Experiment("Training-Run", launcher="auto")
    learning_rate = list(np.linspace(0.01, 0.5))
    train_params = {"LR": learning_rate}
    run = exp.create_run_settings(exe="python", exe_args="./train-model.py")
    ensemble = exp.create_ensemble(
        "Training-Ensemble",
        params=train_params,
        params_as_args=["LR"],
        run_settings=run,
        perm_strategy="random",
        n_models=4,
    )
    ensemble.attach_generator_files(to_copy="train-model.py")
    exp.generate(ensemble)
    exp.start(ensemble, summary=True)
    assert "=== Launch Summary ===" in capsys.readouterr().out
    drawn = [float(model.params["LR"]) for model in ensemble]
    assert len(set(drawn)) == 4
    assert set(drawn) <= {float(value) for value in learning_rate}
    for i, value in enumerate(drawn):
        told = folder / f"Training-Run/Training-Ensemble/Training-Ensemble_{i}/run.out"
        assert told.read_text() == f"--LR={value}\n"


def create_all_permutations(
    param_names: list[str], param_values: list[list[Any]]
) -> list[dict[str, Any]]:
    """The page's sample, with the line that it lacks."""
    perms = list(product(*param_values))
    all_permutations = []
    for p in perms:
        temp_model = dict(zip(param_names, p, strict=True))
        all_permutations.append(temp_model)
    return all_permutations


@pytest.mark.workflow
def test_custom_permutations_and_going_on_without_python(folder: Path) -> None:
    exp = Experiment("custom")
    ensemble = sweep(
        exp, params={"x": [1, 2], "y": ["a", "b"]}, perm_strategy=create_all_permutations
    )
    exp.start(ensemble)
    assert ran(folder) == ["sweep_0 -x 1", "sweep_1 -x 1", "sweep_2 -x 2", "sweep_3 -x 2"]
    config = str(exp.save().relative_to(folder))
    again = snakemake("--configfile", config)
    assert "Nothing to be done" in again.stderr, again.stderr
    elsewhere = snakemake("--configfile", config, "--dry-run", profile="slurm")
    assert "Nothing to be done" in elsewhere.stderr + elsewhere.stdout, elsewhere
    assert len(ran(folder)) == 4


# ---- what runs, and what does not run again ----


@pytest.mark.workflow
def test_growing_a_sweep_runs_what_is_new(folder: Path) -> None:
    exp = Experiment("grow")
    exp.start(sweep(exp))
    grown = sweep(exp, params={"x": [1, 2, 3, 4]})
    exp.start(grown)
    assert [line.split()[0] for line in ran(folder)] == [f"sweep_{i}" for i in range(4)]
    exp.start(grown, force=True)
    assert len(ran(folder)) == 8


@pytest.mark.workflow
def test_a_member_that_fails_is_named_after_all_have_run(folder: Path) -> None:
    program(folder / "fails.sh", '#!/bin/sh\n[ "$2" != 2 ] || { echo went wrong >&2; exit 3; }\n')
    exp = Experiment("fails")
    ensemble = sweep(exp, run_settings=exp.create_run_settings("./fails.sh"))
    with pytest.raises(RunFailedError, match="exit code 3") as caught:
        exp.start(ensemble)
    assert caught.value.failed == ["sweep_1"]
    assert "went wrong" in str(caught.value)
    assert exp.get_status(ensemble) == ["Completed", "Failed", "Completed"]
    assert exp.finished(ensemble)
    exp.start(ensemble, check=False)
    assert list(exp.results().exit_code) == [0, 3, 0]
    assert "| sweep_1 " in exp.summary(ensemble)


@pytest.mark.workflow
@pytest.mark.usefixtures("no_leftovers")
def test_in_the_background(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEP", "2")
    exp = Experiment("back")
    ensemble = sweep(exp)
    with pytest.raises(ValueError, match="has not been started"):
        exp.finished(ensemble)
    exp.start(ensemble, block=False)
    assert not exp.finished(ensemble)
    with pytest.raises(RunningError, match="being run already"):
        exp.start(ensemble, block=False)
    until(lambda: ran(folder))
    assert Status.STATUS_RUNNING in exp.get_status(ensemble)
    exp.poll(0.1, verbose=False)
    assert exp.get_status(ensemble) == ["Completed"] * 3
    assert len(ran(folder)) == 3


@pytest.mark.workflow
@pytest.mark.usefixtures("no_leftovers")
def test_stop_and_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEP", "600")
    exp = Experiment("stop")
    ensemble = sweep(exp)
    exp.start(ensemble, block=False)
    until(lambda: ran(folder))
    exp.stop(ensemble)
    assert not runs.alive(Path(exp.exp_path))
    assert Status.STATUS_CANCELLED in exp.get_status(ensemble)
    assert Status.STATUS_RUNNING not in exp.get_status(ensemble)
    exp.stop(ensemble)  # what is not run is left alone
    monkeypatch.setenv("SLEEP", "0")
    exp.start(ensemble)
    assert exp.get_status(ensemble) == ["Completed"] * 3


SCRIPT = """\
from ensemake import Experiment
exp = Experiment("two")
settings = exp.create_run_settings("./code.sh")
ensemble = exp.create_ensemble("sweep", {"x": [1, 2, 3]}, run_settings=settings)
exp.start(ensemble, block=BLOCK)
"""


@pytest.mark.workflow
def test_output_has_smartsims_names_too(folder: Path, no_leftovers: None) -> None:
    exp = Experiment("e")
    tell = exp.create_run_settings("sh", ["-c", 'echo "$0"; echo no >&2'])
    model = exp.create_model("m", tell)
    own = exp.create_model("own", exp.create_run_settings("sh", ["-c", "echo mine > own.out"]))
    pair = exp.create_ensemble("pair", run_settings=tell, replicas=2)
    exp.start(model, own)
    exp.start(pair, block=False)
    exp.poll(0.1, verbose=False)
    for path in ("m/m", "pair/pair_0/pair_0", "pair/pair_1/pair_1"):
        texts = [(folder / "e" / f"{path}.{kind}").read_text() for kind in ("out", "err")]
        assert texts == ["sh\n", "no\n"]
    assert os.readlink(folder / "e/m/m.out") == "run.out"
    assert (folder / "e/own/own.out").read_text() == "mine\n"

    model.run_settings = exp.create_run_settings("echo", "again")  # another recipe
    exp.start(model, block=False)
    until(lambda: exp.finished(model))
    assert (folder / "e/m/m.out").read_text() == "again\n"
    assert (folder / "e/m/previous/1/m.out").read_text() == "sh\n"
    assert os.readlink(folder / "e/m/previous/1/m.err") == "run.err"


@pytest.mark.workflow
def test_what_is_started_is_queued_and_can_be_stopped_at_once(
    folder: Path, no_leftovers: None
) -> None:
    exp = Experiment("at-once")
    wait = exp.create_run_settings("sleep", "600")
    model = exp.create_model("m", wait)
    pair = exp.create_ensemble("pair", run_settings=wait, replicas=2)
    with pytest.raises(ValueError, match="m has not been started"):
        exp.finished(model)
    exp.start(model, pair, block=False)
    assert exp.get_status(model, pair, pair.models[0]) == ["Queued"] * 4
    assert not any(map(exp.finished, (model, pair, pair.models[0])))
    exp.stop(model)
    assert exp.get_status(model, pair) == ["Cancelled"] * 3
    assert all(map(exp.finished, (model, pair, pair.models[1])))
    assert exp.results(model).status.to_list() == ["missing"]  # it has not run


@pytest.mark.workflow
def test_what_is_started_again_is_queued_again(folder: Path, no_leftovers: None) -> None:
    exp = Experiment("again")
    failing = exp.create_model("failing", exp.create_run_settings("false"))
    complete = exp.create_model("complete", exp.create_run_settings("true"))
    exp.start(failing, complete, check=False)
    assert exp.get_status(failing, complete) == ["Failed", "Completed"]
    exp.start(failing, complete, block=False)
    assert exp.get_status(failing, complete) == ["Queued", "Completed"]
    assert not exp.finished(failing)
    until(lambda: exp.get_status(failing) == ["Failed"])
    exp.poll(0.1, verbose=False)
    exp.start(complete, block=False, force=True)
    assert exp.get_status(failing, complete) == ["Failed", "Queued"]
    until(lambda: exp.get_status(complete) == ["Completed"])
    exp.poll(0.1, verbose=False)


def script(text: str, **options: Any) -> subprocess.Popen[str]:
    path = f"{REPOSITORY / 'workflow'}:{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


@pytest.mark.workflow
@pytest.mark.usefixtures("no_leftovers")
def test_two_processes_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEP", "1")
    both = [script(SCRIPT.replace("BLOCK", "True")) for _ in range(2)]
    told = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("waiting for its end" in text for text in told) == 1
    assert [line.split()[0] for line in ran(folder)] == ["sweep_0", "sweep_1", "sweep_2"]


@pytest.mark.workflow
def test_a_run_that_a_terminal_started_is_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reap: list[subprocess.Popen[str]]
) -> None:
    monkeypatch.setenv("SLEEP", "60")
    exp = Experiment("e")
    ensemble, other = sweep(exp), exp.create_model("m", exp.create_run_settings("true"))
    config = str(exp.save().relative_to(folder))
    words = ["--snakefile", str(SNAKEFILE), "--configfile", config, "--cores", "2"]
    command = [sys.executable, "-m", "snakemake", "collect_sweep", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    reap.append(process)
    until(lambda: len(ran(folder)) == 2)
    assert sorted(exp.get_status(ensemble)) == ["Queued", "Running", "Running"]
    assert exp.get_status(other) == ["NeverStarted"]
    with pytest.raises(RunningError, match=f"process {process.pid} on "):
        exp.start(ensemble, block=False)
    exp.stop(ensemble)
    output, _ = process.communicate()
    assert process.returncode != 0, output
    assert sorted(exp.get_status(ensemble)) == ["Cancelled", "Cancelled", "NeverStarted"]
    exp.poll(0.1)  # nothing runs


@pytest.mark.workflow
@pytest.mark.usefixtures("no_leftovers")
def test_background_survives_its_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEEP", "3")
    process = script(SCRIPT.replace("BLOCK", "False") + "input()", start_new_session=True)
    until(lambda: ran(folder))
    os.killpg(process.pid, signal.SIGHUP)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    exp = Experiment.load("two")  # another process sees the same
    assert not exp.finished(exp.entities["sweep"])
    exp.poll(0.1, verbose=False)
    assert exp.get_status() == ["Completed"] * 3


@pytest.mark.workflow
@pytest.mark.usefixtures("no_leftovers")
@pytest.mark.parametrize("kill", [True, False])
def test_interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch, kill: bool) -> None:
    monkeypatch.setenv("SLEEP", "600" if kill else "2")
    text = SCRIPT.replace("BLOCK", f"True, kill_on_interrupt={kill}")
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = script(heed + text)
    until(lambda: ran(folder))
    process.send_signal(signal.SIGINT)
    process.wait()
    assert process.returncode != 0
    exp = Experiment.load("two")
    assert bool(runs.alive(folder / "two")) is not kill
    exp.poll(0.1, verbose=False)
    assert (exp.get_status() == ["Completed"] * 3) is not kill


@pytest.mark.workflow
def test_models_of_one_ensemble_in_a_batch(folder: Path) -> None:
    exp = Experiment("models")
    batch = exp.create_batch_settings(nodes=1, time="00:10:00")
    ensemble = exp.create_ensemble("both", batch_settings=batch)
    with pytest.raises(ValueError, match=r"both is empty\. Nothing to launch"):
        exp.start(ensemble)
    for name in ("dry", "wet"):
        settings = exp.create_run_settings("./code.sh", ["--kind", name], env_vars={"K": name})
        ensemble.add_model(exp.create_model(name, settings, {"x": 1}))
    exp.start(ensemble)
    assert ran(folder) == ["dry --kind dry", "wet --kind wet"]
    assert (folder / "models/both/dry/run.out").read_text() == "args --kind dry\n"
    assert list(exp.results(ensemble).member) == ["dry", "wet"]
    exp.start(ensemble)
    assert len(ran(folder)) == 2
    exp.start(ensemble, force=True)
    assert len(ran(folder)) == 4


@pytest.mark.workflow
def test_a_member_changed_by_itself(folder: Path) -> None:
    exp = Experiment("one")
    ensemble = sweep(exp)
    ensemble.models[1].run_settings.add_exe_args(["--more"])  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="number of arguments"):
        exp.start(ensemble)
    for i, model in enumerate(ensemble):
        assert model.run_settings is not None
        model.run_settings.exe_args = [f"--seed={i * i}"]
    exp.start(ensemble)
    assert ran(folder) == [f"sweep_{i} --seed={i * i} -x {i + 1}" for i in range(3)]


# ---- the config ----


def saved(experiment: Experiment) -> dict[str, Any]:
    return dict(yaml.safe_load(experiment.save().read_text()))


def test_paths_are_those_of_smartsim(folder: Path) -> None:
    exp = Experiment("name")
    ensemble = sweep(exp)
    exp.generate(ensemble)
    assert exp.exp_path == str(folder / "name")
    assert ensemble.path == str(folder / "name/sweep")
    assert [model.path for model in ensemble] == [f"{ensemble.path}/sweep_{i}" for i in range(3)]
    assert all(Path(model.path, "run.sh").exists() for model in ensemble)


def test_a_model_does_not_lie_in_an_ensemble_of_its_first_letters(folder: Path) -> None:
    exp = Experiment("name")
    (folder / "name/he/heat").mkdir(parents=True)  # member heat of an ensemble he
    assert exp.create_model("heat", exp.create_run_settings("echo")).path == str(
        folder / "name/heat"
    )


def test_a_folder_elsewhere(folder: Path) -> None:
    (folder / "deep/er").mkdir(parents=True)
    exp = Experiment("name", exp_path="deep/er")
    ensemble = sweep(exp)
    config = saved(exp)
    assert (config["results"], config["experiment"]) == ("deep", "er")
    assert config["ensembles"]["sweep"]["run_settings"]["exe"] == "code.sh"
    exp.generate(ensemble)
    assert (folder / "deep/er/sweep/sweep_0/run.sh").exists()


def test_run_settings_may_be_a_list(folder: Path) -> None:
    exp = Experiment("several")
    first = exp.create_run_settings("bash", ["-c", "echo {{ x }} >a"])
    last = exp.create_run_settings("cat", ["a"], env_vars={"A": "1"})
    last.stdin = "yes"
    ensemble = exp.create_ensemble(
        "sweep", params={"x": [1, 2]}, run_settings=[first, last], preamble=["export B=2"]
    )
    ensemble.models[1].run_settings[1].exe_args = ["./a"]
    exp.start(ensemble, block=True)
    assert exp.get_status(ensemble) == ["Completed"] * 2
    printed = [Path(model.path, "run.out").read_text().splitlines() for model in ensemble.models]
    assert [lines[-1] for lines in printed] == ["1", "2"]
    config = saved(exp)["ensembles"]["sweep"]
    assert [run["exe"] for run in config["run_settings"]] == ["bash", "cat"]
    assert Experiment.load(exp.save()).as_config() == exp.as_config()
    with pytest.raises(TypeError, match="a list of RunSettings"):
        exp.create_model("m", [first, "cat"])


def test_load_gives_back_what_was_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "in.cfg").write_text("x = ;x;\n")
    exp = Experiment("back", launcher="slurm")
    batch = exp.create_batch_settings(2, "01:00:00", "gpu", "a", {"exclusive": None}, size=8)
    run = exp.create_run_settings("./code.sh", run_args={"ntasks": 4, "mpi": "pmix"})
    ensemble = sweep(
        exp,
        run_settings=run,
        batch_settings=batch,
        params={"x": [1, 2], "y": {"uniform": [0.0, 1.0]}},
        perm_strategy="random",
        n_models=3,
        replicas=2,
        outputs=["run.out"],
        metrics={"m": {"file": "run.out", "regex": "(.*)"}},
    )
    ensemble.attach_generator_files(to_configure="in.cfg")
    exp.create_model("one", exp.create_run_settings("echo"), {"a": 1.5})
    path = exp.save()
    monkeypatch.chdir("/")
    loaded = Experiment.load(path.parent)
    assert loaded.as_config() == exp.as_config()
    assert (loaded.name, loaded.launcher, loaded.exp_path) == ("back", "slurm", exp.exp_path)
    assert Experiment.load(path).save().read_text() == path.read_text()
    with pytest.raises(FileNotFoundError):
        Experiment.load(folder / "nowhere")


@pytest.mark.parametrize(
    "text", ["1e3", "yes", "no", "1:30", "", " x", "a: b", "# no", "ü", "tab\t", "-", "07", "~"]
)
def test_yaml_reads_back_every_text(folder: Path, text: str) -> None:
    run = {"exe": "echo", "exe_args": [text]}
    data = {"experiment": "e", "models": {"m": {"run_settings": run, "params": {"x": text}}}}
    (folder / "c.yaml").write_text(config_text(data, "a comment\nof two lines"))
    model = load_config(folder / "c.yaml").models["m"]
    assert (model.params["x"], model.run_settings[0].exe_args) == (text, [text])


VALUES: list[tuple[Any, Any]] = [
    ([1, 2], [1, 2]),
    ((1, 2), [1, 2]),
    (range(3), [0, 1, 2]),
    (np.array([0.5, 1.5]), [0.5, 1.5]),
    (np.linspace(0, 1, 3), [0.0, 0.5, 1.0]),
    (list(np.arange(2)), [0, 1]),
    ([np.float32(0.5), np.True_, np.str_("a")], [0.5, True, "a"]),
    (np.int64(3), 3),
    (0.5, 0.5),
    ("text", "text"),
    ({"linspace": (0, np.float64(1), 2)}, {"linspace": [0, 1.0, 2]}),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_values(value: Any, expected: Any) -> None:
    ensemble = sweep(Experiment("e"), params={"x": value})
    plain = ensemble.params["x"]
    assert plain == expected
    items = plain if isinstance(plain, list) else [plain]
    assert all(type(item).__module__ == "builtins" for item in items)


def test_zipped_names_and_spaces() -> None:
    ensemble = sweep(Experiment("e"), params={"a, b": [(1, 2), (3, 4)], "x": [5]})
    assert [model.params for model in ensemble] == [
        {"a": 1, "b": 2, "x": 5},
        {"a": 3, "b": 4, "x": 5},
    ]


# ---- errors, as SmartSim's, where a script could notice ----


def errors() -> dict[str, tuple[type[Exception], Callable[[Experiment], object]]]:
    def rs(exp: Experiment) -> RunSettings:
        return exp.create_run_settings("echo")

    def empty(exp: Experiment) -> Ensemble:
        return exp.create_ensemble("e", batch_settings=exp.create_batch_settings())

    def twice(exp: Experiment) -> object:
        one, other = exp.create_model("m", rs(exp)), exp.create_model("m", rs(exp))
        return exp.start(one, other)

    def same_model(exp: Experiment) -> object:
        ensemble, model = empty(exp), exp.create_model("m", rs(exp))
        ensemble.add_model(model)
        return ensemble.add_model(model)

    def params(value: Any, **keys: Any) -> Callable[[Experiment], object]:
        return lambda exp: exp.create_ensemble("e", value, run_settings=rs(exp), **keys)

    def attach(**files: Any) -> Callable[[Experiment], object]:
        return lambda exp: exp.create_model("m", rs(exp)).attach_generator_files(**files)

    def add(exp: Experiment, model: Any) -> None:
        empty(exp).add_model(model)

    any_exp: Any = Experiment
    return {
        "name": (TypeError, lambda exp: any_exp(5)),
        "exp_path is a number": (TypeError, lambda exp: any_exp("n", 5)),
        "exp_path is not there": (NotADirectoryError, lambda exp: Experiment("n", "nowhere")),
        "launcher": (UnsupportedError, lambda exp: Experiment("n", launcher="cobalt")),
        "model without name": (
            AttributeError,
            lambda exp: any_exp.create_model(exp, None, 5),
        ),
        "model without settings": (TypeError, lambda exp: any_exp.create_model(exp, "m", None)),
        "model's list": (TypeError, lambda exp: exp.create_model("m", rs(exp), {"a": [1]})),
        "model's None": (TypeError, lambda exp: exp.create_model("m", rs(exp), {"a": None})),
        "path": (UnsupportedError, lambda exp: exp.create_model("m", rs(exp), path="/else")),
        "a store of a job of its own": (
            UnsupportedError,
            lambda exp: exp.create_database(batch=True),
        ),
        "its address": (RuntimeError, lambda exp: exp.create_database().get_address()),
        "an argument of no store": (TypeError, lambda exp: exp.create_database(memory=1)),
        "two servers": (ValueError, lambda exp: exp.create_database(db_nodes=2)),
        "a store of long ago": (FileNotFoundError, lambda exp: exp.reconnect_orchestrator("c")),
        "colocation": (
            UnsupportedError,
            lambda exp: exp.create_model("m", rs(exp)).colocate_db_tcp(port=6780),
        ),
        "unknown argument": (TypeError, lambda exp: exp.create_model("m", rs(exp), output=["x"])),
        "params is a list": (TypeError, params(["a"])),
        "params with None": (TypeError, params({"a": [None]})),
        "params with a dict": (TypeError, params({"a": object()})),
        "name of a parameter": (TypeError, params({5: [1]})),
        "bad name of a parameter": (ValueError, params({"--lr": [1]})),
        "empty list": (ValueError, params({"a": []})),
        "strategy": (ValueError, params({"a": [1]}, perm_strategy="all")),
        "strategy is a number": (ValueError, params({"a": [1]}, perm_strategy=5)),
        "n_models is -1": (ValueError, params({"a": [1]}, perm_strategy="random", n_models=-1)),
        "unequal step": (
            ValueError,
            params({"a": [1, 2], "b": [1, 2, 3]}, perm_strategy="step"),
        ),
        "function that returns nothing": (
            ValueError,
            params({"a": [1]}, perm_strategy=lambda names, values: []),
        ),
        "function that returns a tuple": (
            ValueError,
            params({"a": [1]}, perm_strategy=lambda names, values: ({"a": 1},)),
        ),
        "replicas 0": (ValueError, params(None, replicas=0)),
        "replicas -1": (ValueError, params(None, replicas=-1)),
        "neither params nor replicas": (ValueError, params(None)),
        "params without settings": (ValueError, lambda exp: exp.create_ensemble("e", {"a": [1]})),
        "nothing at all": (ValueError, lambda exp: exp.create_ensemble("e")),
        "add no model": (
            TypeError,
            lambda exp: any_exp.create_ensemble and empty(exp).add_model(5),
        ),  # type: ignore[arg-type]
        "add a model twice": (EntityExistsError, same_model),
        "file is not there": (FileNotFoundError, attach(to_copy="nowhere")),
        "file is a number": (TypeError, attach(to_symlink=[5])),
        "files are a number": (TypeError, attach(to_configure=5)),
        "start no entity": (TypeError, lambda exp: any_exp.start(exp, "m")),
        "start nothing": (ValueError, lambda exp: (rs(exp), exp.start(*[]))),
        "start an empty list": (ValueError, lambda exp: exp.start([])),
        "generate nothing": (ValueError, lambda exp: exp.generate()),
        "stop nothing": (ValueError, lambda exp: exp.stop()),
        "nothing has finished": (ValueError, lambda exp: any_exp.finished(exp, [])),
        "stop no entity": (TypeError, lambda exp: any_exp.stop(exp, 5)),
        "finished no entity": (TypeError, lambda exp: any_exp.finished(exp, 5)),
        "status of no entity": (TypeError, lambda exp: any_exp.get_status(exp, 5)),
        "two of a name": (ValueError, twice),
        "empty ensemble": (ValueError, lambda exp: exp.generate(empty(exp))),
        "status of an empty one": (ValueError, lambda exp: exp.get_status(empty(exp))),
        "never started": (
            ValueError,
            lambda exp: exp.finished(exp.create_model("m", rs(exp))),
        ),
        "a member by force": (
            UnsupportedError,
            lambda exp: exp.start(sweep(exp).models[0], force=True),
        ),
        "a member of a batch": (
            UnsupportedError,
            lambda exp: exp.start(sweep(exp, batch_settings=BatchSettings()).models[0]),
        ),
        "verbosity": (ValueError, lambda exp: exp.preview(verbosity_level="all")),
        "format": (ValueError, lambda exp: exp.preview(output_format="html")),
        "unknown parameter as argument": (
            ConfigError,
            lambda exp: (sweep(exp, params_as_args=["z"]), exp.save()),
        ),
    }


@pytest.mark.parametrize("case", errors())
def test_errors(case: str) -> None:
    error, action = errors()[case]
    with pytest.raises(error):
        action(Experiment("n"))


@pytest.mark.parametrize(
    "action", ["start", "generate", "stop", "finished", "get_status", "summary"]
)
def test_entities_of_another_experiment(folder: Path, action: str) -> None:
    here, there = Experiment("here"), Experiment("there")
    for exp in (here, there):
        exp.create_model("m", exp.create_run_settings("echo"))
    stranger = there.create_ensemble(
        "s", {"x": [1]}, run_settings=there.create_run_settings("echo")
    )
    for item in (there.entities["m"], stranger):
        with pytest.raises(ValueError, match=r"of the experiment in .*/there"):
            getattr(here, action)(item)
    again = Experiment("there")
    with pytest.raises(ValueError, match="s is unknown to this experiment"):
        getattr(again, action)(stranger)
    assert not (folder / "here").exists()


def test_nothing_named_is_nothing_looked_at() -> None:
    exp = Experiment("e")
    exp.create_model("m", exp.create_run_settings("echo"))
    assert exp.get_status([]) == []
    assert "NeverStarted" not in exp.summary([])
    assert len(exp.results([])) == 0
    assert exp.get_status() == ["NeverStarted"]


def test_a_member_that_is_none_any_more() -> None:
    ensemble = sweep(exp := Experiment("e"))
    last = ensemble.models[-1]
    ensemble.params = {"r": [1]}
    with pytest.raises(ValueError, match="no member of sweep"):
        exp.get_status(last)


# ---- ensembles ----

EXPANSIONS: list[tuple[dict[str, Any], int]] = [
    ({"params": {"a": [1, 2], "b": [3, 4]}}, 4),
    ({"params": {"a": [1, 2], "b": [3, 4]}, "perm_strategy": "step"}, 2),
    ({"params": {"a": [1, 2], "b": 3}, "perm_strategy": "step"}, 2),
    ({"params": {"a": [1, 2], "b": [3, 4]}, "perm_strat": "step"}, 2),
    ({"params": {"a": range(5), "b": range(5)}, "perm_strategy": "random", "n_models": 7}, 7),
    ({"params": {"a": [1, 2]}, "perm_strategy": "random", "n_models": 7}, 2),
    ({"params": {"a": [1, 2]}, "perm_strategy": "random"}, 2),
    ({"params": {"a": [1, 2]}, "replicas": 3}, 6),
    ({"replicas": 3}, 3),
    ({"params": {"a": range(9)}, "perm_strategy": lambda n, v, k: [{"a": i} for i in range(k)],
      "n_models": 2}, 2),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "count"), EXPANSIONS)
def test_expansions(arguments: dict[str, Any], count: int) -> None:
    exp = Experiment("e")
    ensemble = exp.create_ensemble("e", run_settings=exp.create_run_settings("echo"), **arguments)
    assert len(ensemble) == count
    assert [model.name for model in ensemble.models] == [f"e_{i}" for i in range(count)]
    model = ensemble["e_0"]
    assert isinstance(model, Model)
    assert ensemble["nobody"] is None


def test_attached_files_reach_members_and_models(folder: Path) -> None:
    (folder / "a.txt").write_text("x is ;x; and ;unknown;\n")
    exp = Experiment("files")
    ensemble = sweep(exp)
    assert "no files" in ensemble.attached_files_table
    ensemble.attach_generator_files(to_configure="a.txt")
    assert "a.txt" in ensemble.attached_files_table
    assert ensemble.models[0].files == ensemble.files
    exp.generate(ensemble)
    text = (folder / "files/sweep/sweep_1/a.txt").read_text()
    assert text == "x is 2 and unknown\n"
    (folder / "a.txt").write_text("x is @x@ @\n")
    exp.generate(ensemble, tag="@", overwrite=True)
    assert (folder / "files/sweep/sweep_1/a.txt").read_text() == "x is 2 @\n"


def test_what_is_assigned_to_an_entity() -> None:
    exp, files = Experiment("assigned"), {"tag": "@"}
    ensemble = sweep(exp, params_as_args=[])
    ensemble.models[1].run_settings.env_vars = {"A": 1}  # type: ignore[union-attr]
    ensemble.params_as_args = "x"
    ensemble.files = files
    files["tag"] = ";"
    assert ensemble.models[0].params_as_args == ["x"]
    assert ensemble.models[0].files == ensemble.files == {"tag": "@"}
    assert ensemble.models[1].run_settings.env_vars == {"A": "1"}  # type: ignore[union-attr]
    ensemble.params = {"x": range(5)}
    assert [model.params["x"] for model in ensemble] == [0, 1, 2, 3, 4]
    assert ensemble.as_config()["params"] == {"x": [0, 1, 2, 3, 4]}
    ensemble.replicas = 2
    assert len(ensemble) == 10
    with pytest.raises(TypeError, match="replicas: must be 1 or more"):
        ensemble.replicas = 0
    with pytest.raises(TypeError, match="run_settings: expected RunSettings, not 'echo'"):
        ensemble.run_settings = "echo"  # type: ignore[assignment]
    ensemble.outputs, ensemble.seed, ensemble.resources = ["a"], 3, {"mem_mb": 5}
    assert ensemble.as_config().items() >= {"outputs": ["a"], "seed": 3}.items()
    assert ensemble.as_config()["resources"] == {"mem_mb": 5}
    model = exp.create_model("m", exp.create_run_settings("echo"), outputs=["a"])
    with pytest.raises(TypeError, match="a model's parameter is text or a number"):
        model.params = {"x": [1]}
    with pytest.raises(ValueError, match="expected a list, got 'a'; write outputs"):
        exp.create_model("m", exp.create_run_settings("echo"), outputs="a")


def test_every_key_of_the_config_is_an_attribute() -> None:
    """Else an assignment would go nowhere, without a word."""
    exp = Experiment("keys")
    run, batch = exp.create_run_settings("echo"), exp.create_batch_settings()
    for face in (run, batch, exp.create_model("m", run), sweep(exp)):
        for key in face.section.model_fields:
            assert hasattr(face, key), key


def test_a_changed_member_keeps_what_the_ensemble_needs() -> None:
    run = Experiment("e").create_run_settings("echo", run_command="mpirun")
    run.set_tasks(2)
    ensemble = sweep(Experiment("e"), run_settings=run, resources={"mem_mb": 100})
    for i, model in enumerate(ensemble):
        model.run_settings.update_env({"I": i})  # type: ignore[union-attr]
    assert ensemble.as_config()["resources"] == {"tasks": 2, "mem_mb": 100}


def test_params_to_args(folder: Path) -> None:
    exp = Experiment("args")
    model = exp.create_model("m", exp.create_run_settings("echo"), {"x": 1, "name": "a b"})
    model.params_to_args(["x", "name"])
    exp.generate(model)
    assert "exec " in (text := (folder / "args/m/run.sh").read_text())
    assert "echo -x 1 '--name=a b'" in text


def test_results_before_anything_ran() -> None:
    exp = Experiment("none")
    table = exp.results(sweep(exp))
    assert list(table.x) == [1, 2, 3]
    assert set(table.status) == {"missing"}
    sweep(exp, "other", params={"y": [0.5]})
    assert list(exp.results().entity) == ["sweep"] * 3 + ["other"]
    assert exp.get_status() == [Status.STATUS_NEVER_STARTED] * 4


def test_preview(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exp = Experiment("look")
    ensemble = sweep(exp)
    exp.preview(ensemble)
    assert "3 members" in capsys.readouterr().out
    exp.preview(ensemble, verbosity_level="debug", output_filename="out.txt")
    assert "run_settings:" in (folder / "out.txt").read_text()


def test_html() -> None:
    exp = Experiment("page")
    ensemble = sweep(exp, params={"x": range(30), "y": "<b>"})
    assert "30 members, the first 20" in (html := ensemble._repr_html_())
    assert "&lt;b&gt;" in html
    assert "<td>sweep</td>" in exp._repr_html_()
    assert repr(ensemble) == "Ensemble('sweep', 30 members)"


def test_config_of_another_process_s_run_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cluster jobs read the file again while they run."""
    first, second = Experiment("both"), Experiment("both")
    sweep(first, "one")
    sweep(second, "two")
    first.save()
    run = runs.Run(1, "host", "now", ["one"], folder / "f")
    monkeypatch.setattr(runs, "alive", lambda *arguments: [run])
    assert list(saved(second)["ensembles"]) == ["one", "two"]


def test_allocation_runs_in_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    exp = Experiment("alloc", launcher="slurm")
    sweep(exp)
    assert exp._profile(None).endswith("/slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert exp._profile(None).endswith("/local")
    sweep(exp, batch_settings=BatchSettings())
    assert exp._profile(None).endswith("/slurm")


def test_import_is_cheap() -> None:
    """Every cluster job imports the package."""
    code = "import sys, ensemake; print([m for m in sys.modules if m.split('.')[0] in BIG])"
    big = "BIG = {'numpy', 'pandas', 'pydantic', 'yaml', 'tabulate', 'IPython'}"
    command = [sys.executable, "-c", f"{big}\n{code}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow")}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_record_of_a_run_is_plain_json(folder: Path) -> None:
    process = runs.start(["sleep", "600"], folder, folder / "e", ["a"], lambda: None, True)
    try:
        (run,) = runs.alive(folder / "e", ["a"])
        assert run.pid == process.pid
        assert runs.alive(folder / "e", ["b"]) == []
        assert json.loads(run.file.read_text())["entities"] == ["a"]
    finally:
        runs.stop(run)
        process.wait()
    assert runs.alive(folder / "e") == []
