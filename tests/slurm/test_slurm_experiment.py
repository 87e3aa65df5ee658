"""The Slurm programs of SmartSim's documentation on a real Slurm, with the import changed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slurm_cluster import Cluster

from ensemake import AllocationError, Experiment, SrunSettings
from ensemake.config.faults import ConfigError

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]


@pytest.fixture(autouse=True)
def folder(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, on the cluster of the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SLURM", "SBATCH"))]:
        monkeypatch.delenv(name)
    for name, value in slurm.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{slurm.environ['PATH']}")
    (tmp_path / "train-model.py").write_text(
        "import os, sys; print(sys.argv[1], os.environ['SLURM_JOB_ID'])\n"
    )
    return tmp_path


def test_hello_world(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exp = Experiment("hello_world_exp", launcher="slurm")
    srun = exp.create_run_settings(exe="echo", exe_args="Hello World!")
    assert isinstance(srun, SrunSettings)
    model = exp.create_model("hello_world", srun)
    exp.start(model, block=True, summary=True)
    assert "Launcher: slurm" in capsys.readouterr().out
    assert (folder / "hello_world_exp/hello_world/run.out").read_text() == "Hello World!\n"
    assert "srun" in (folder / "hello_world_exp/hello_world/run.sh").read_text()
    assert exp.get_status(model) == ["Completed"]


def test_training_ensemble_as_a_batch(folder: Path) -> None:
    exp = Experiment("Training-Run", launcher="slurm")
    learning_rate = list(np.linspace(0.01, 0.5))
    train_params = {"LR": learning_rate}
    # the page asks for four nodes, a queue and an account; the cluster of the tests has two nodes
    sbatch = exp.create_batch_settings(nodes=2, time="00:10:00", batch_args={"exclusive": None})
    sbatch.set_partition("main")
    srun = exp.create_run_settings(
        exe="python", exe_args="./train-model.py", run_args={"nodes": 1, "ntasks": 1}
    )
    ensemble = exp.create_ensemble(
        "Training-Ensemble",
        params=train_params,
        params_as_args=["LR"],
        batch_settings=sbatch,
        run_settings=srun,
        perm_strategy="random",
        n_models=4,
    )
    ensemble.attach_generator_files(to_symlink="train-model.py")
    exp.start(ensemble, summary=True)
    told = [Path(model.path, "run.out").read_text().split() for model in ensemble]
    assert [words[0] for words in told] == [f"--LR={m.params['LR']}" for m in ensemble]
    assert len({words[1] for words in told}) == 1  # one job for all of them
    exp.start(ensemble)
    assert {status.attempt for status in map(_status, ensemble)} == {1}


def test_an_allocation_that_a_script_asks_for(folder: Path, slurm: Cluster) -> None:
    from ensemake.smartsim.wlm.slurm import get_allocation, release_allocation

    alloc = get_allocation(nodes=1, time="00:05:00", options={"partition": "main", "mem": "500"})
    try:
        exp = Experiment("within", launcher="slurm")
        run = exp.create_run_settings("python", ["./train-model.py", "{{ x }}"], alloc=alloc)
        ensemble = exp.create_ensemble("s", {"x": [1, 2]}, run_settings=run)
        ensemble.attach_generator_files(to_copy="train-model.py")
        exp.start(ensemble)
        told = [Path(model.path, "run.out").read_text().split() for model in ensemble]
        assert told == [["1", alloc], ["2", alloc]]
        assert alloc in exp.summary(ensemble)
    finally:
        release_allocation(alloc)
    with pytest.raises(AllocationError, match="Invalid job id"):
        release_allocation("999999")
    with pytest.raises(AllocationError, match="invalid partition"):
        get_allocation(options={"partition": "none-such"})


@pytest.mark.usefixtures("folder")
def test_a_launcher_that_cannot_run_here_is_told_before_anything_runs(tmp_path: Path) -> None:
    exp = Experiment("told", launcher="slurm")
    exp.create_model("m", exp.create_run_settings("echo", run_command="jsrun"))
    with pytest.raises(ConfigError, match="jsrun is a command of LSF, and this is SLURM; use srun"):
        exp.preview()


def _status(model: object) -> object:
    from ensemake.member.state import read_status

    return read_status(Path(model.path))  # type: ignore[attr-defined]


SHARES = """\
import os, redis, sys
places = {"ENSEMAKE_STORE": os.environ["ENSEMAKE_STORE"], "SSDB": "redis://" + os.environ["SSDB"]}
for name, url in places.items():  # with the password, and without it
    store = redis.Redis.from_url(url)
    store.rpush("found" + name, store.get("in").decode() + os.environ["SLURMD_NODENAME"])
"""
HOLDS = """\
from ensemake import Experiment
import redis
exp = Experiment("held", launcher="slurm")
db = exp.create_database(interface="lo")  # the nodes of the tests are this machine
exp.start(db)
store = redis.Redis.from_url(db.url, decode_responses=True)
store.set("in", "on ")
run = exp.create_run_settings("python", ["shares.py", "{{ x }}"], run_command="none")
run.set_cpus_per_task(3)
keys = {"batch_settings": exp.create_batch_settings(nodes=2, time="00:05:00")} if SUBMITS else {}
sims = exp.create_ensemble("sims", {"x": [1, 2, 3, 4]}, run_settings=run, **keys)
sims.attach_generator_files(to_copy="shares.py")
exp.start(sims)
print(*[sorted(set(store.lrange("found" + way, 0, -1))) for way in ("ENSEMAKE_STORE", "SSDB")])
exp.stop(db)
"""


@pytest.mark.parametrize("submits", [True, False], ids=["submitted", "in an allocation"])
def test_a_store_of_a_script(folder: Path, submits: bool) -> None:
    (folder / "shares.py").write_text(SHARES)
    (folder / "holds.py").write_text(HOLDS.replace("SUBMITS", str(submits)))
    words = [sys.executable, "holds.py"]
    if not submits:
        job = ["sbatch", "--wait", "--nodes=2", "--exclusive", "--time=5", "--output=out"]
        words = [*job, f"--wrap={sys.executable} holds.py"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    told = done.stdout if submits else (folder / "out").read_text()
    assert done.returncode == 0, f"{told}\n{done.stderr}"
    assert told.splitlines()[-1] == "['on n1', 'on n2'] ['on n1', 'on n2']"
