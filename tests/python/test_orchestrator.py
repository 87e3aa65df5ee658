"""A store that a script starts: SmartSim's way, with real servers."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import redis

from ensemake import (
    Experiment,
    Orchestrator,
    RunFailedError,
    RunningError,
    UnsupportedError,
)

CODE = """\
import os, sys, redis
store = redis.Redis.from_url(os.environ["ENSEMAKE_STORE"], socket_timeout=None)
name, reads = os.environ.get("SSKEYOUT", ""), os.environ.get("SSKEYIN", "")
word, *rest = sys.argv[1:]
if word == "double":
    store.set(f"out:{rest[0]}", 2 * int(store.get("in")) * int(rest[0]))
elif word == "put":
    store.rpush("x", name)
elif word == "take":
    print(*sorted(store.blpop("x", 60)[1].decode() for _ in range(2)), reads)
elif word == "stay":
    store.rpush("up", 1)
    store.blpop("never")
"""
HOLDER = """\
import sys, time
from ensemake import Experiment
db = Experiment("first").create_database()
exp = Experiment("first")
exp.start(db)
print(db.checkpoint_file, flush=True)
time.sleep(600)
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "code.py").write_text(CODE)
    exp = Experiment("exp")
    yield exp
    for store in exp.databases.values():
        if store.is_active() and store._held:
            exp.stop(store)


def add(exp: Experiment, name: str, *words: str, **keys: Any) -> Any:
    run = exp.create_run_settings("python", ["code.py", *words])
    kind: Callable[..., Any] = exp.create_ensemble if "params" in keys else exp.create_model
    entity = kind(name, run_settings=run, **keys)
    entity.attach_generator_files(to_copy=["code.py"])
    return entity


def client_of(store: Orchestrator) -> "redis.Redis":
    return redis.Redis.from_url(store.url, decode_responses=True, socket_timeout=None)


def is_gone(address: str) -> bool:
    host, _, port = address.rpartition(":")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False


def files_with(text: str, folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.name for path in found if text.encode() in path.read_bytes())


@pytest.mark.workflow
def test_a_script_and_an_ensemble_share_a_store(experiment: Experiment, tmp_path: Path) -> None:
    db = experiment.create_database(interface="lo")
    assert experiment.get_status(db) == ["NeverStarted"]
    experiment.start(db)
    assert db.is_active()
    assert experiment.get_status(db) == ["Running"]
    store = client_of(db)
    store.set("in", 21)
    sims = add(experiment, "sims", "double", "{{ a }}", params={"a": [1, 2]})
    experiment.start(sims)
    assert [store.get(f"out:{a}") for a in (1, 2)] == ["42", "84"]

    checkpoint, (address,) = Path(db.checkpoint_file), db.get_address()
    assert stat.S_IMODE(checkpoint.stat().st_mode) == 0o600
    password = db.url.split("@")[0].rpartition(":")[2]
    assert files_with(password, tmp_path) == [checkpoint.name]
    assert set(files_with(address, tmp_path / "exp")) <= {checkpoint.name, "running.json"}

    experiment.stop(db)
    assert not db.is_active()
    assert not checkpoint.exists()
    assert is_gone(address)
    assert experiment.get_status(db, sims) == ["Completed", "Completed", "Cancelled"]
    with pytest.raises(RunFailedError, match="does not run"):
        db.get_address()

    experiment.start(db)  # with what it had; nothing has to run again
    experiment.start(sims)
    assert client_of(db).get("out:2") == "84"
    assert experiment.summary(sims).count(" 1 ") == 2  # attempts
    experiment.stop(db)
    experiment.start(db, force=True)
    assert not client_of(db).keys()


@pytest.mark.workflow
def test_runs_beside_each_other_talk(experiment: Experiment) -> None:
    db = experiment.create_database()
    experiment.start(db)
    sims = add(experiment, "sims", "put", params={"x": [1, 2]})
    look = add(experiment, "look", "take")
    sims.enable_key_prefixing()
    look.register_incoming_entity(sims)
    experiment.start(look, block=False)
    experiment.start(sims)
    experiment.poll(verbose=False)
    assert Path(look.path, "run.out").read_text() == "sims_0 sims_1 sims_0,sims_1\n"


@pytest.mark.workflow
def test_batches_and_stages_of_their_own(experiment: Experiment) -> None:
    """A store of a script has no job, so each entity may have its own, and wait for others."""
    db = experiment.create_database()
    experiment.start(db)
    client_of(db).set("in", 1)
    batch = experiment.create_batch_settings(size=1)
    first = add(
        experiment, "first", "double", "{{ a }}", params={"a": [1, 2]}, batch_settings=batch
    )
    second = add(experiment, "second", "double", "3", inputs={first: {"members": "all"}})
    experiment.start(first, second)
    assert {client_of(db).get(f"out:{a}") for a in (1, 2, 3)} == {"2", "4", "6"}
    assert first.database == second.database == "orchestrator"


@pytest.mark.workflow
def test_members_end_with_the_store_and_run_again(experiment: Experiment) -> None:
    db = experiment.create_database()
    experiment.start(db)
    (address,) = db.get_address()
    stay = add(experiment, "stay", "stay")
    experiment.start(stay, block=False)
    client_of(db).blpop(["up"], 60)
    assert db._held
    psutil.Process(db._held.store._pid).kill()
    assert is_gone(address)
    experiment.poll(verbose=False)
    ended, lost = experiment.get_status(stay, db)
    assert ended in ("Failed", "Cancelled")  # by itself, or by the job that heard of it first
    assert lost == "Failed"
    assert "the server has ended" in Path(stay.path, "status.json").read_text()
    experiment.start(db)
    assert db.is_active()


@pytest.mark.workflow
def test_members_whose_data_are_lost_run_again_with_others(experiment: Experiment) -> None:
    db = experiment.create_database(save=False)
    experiment.start(db)
    client_of(db).set("in", 1)
    sims = add(experiment, "sims", "double", "{{ a }}", params={"a": [1, 2]})
    experiment.start(sims)
    experiment.stop(db)
    experiment.start(db)
    client_of(db).set("in", 1)
    sims.params = {"a": [1, 2, 3]}
    experiment.start(sims)
    assert {client_of(db).get(f"out:{a}") for a in (1, 2, 3)} == {"2", "4", "6"}


@pytest.fixture
def holder(experiment: Experiment) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Another script that holds a store, and its checkpoint."""
    words = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.mark.workflow
def test_another_script(
    experiment: Experiment, holder: tuple["subprocess.Popen[str]", str]
) -> None:
    process, checkpoint = holder
    db = experiment.reconnect_orchestrator(checkpoint)
    assert db.is_active()
    assert experiment.get_status(db) == ["Running"]
    client_of(db).set("in", 4)
    model = add(experiment, "model", "double", "1")
    experiment.start(model)
    assert client_of(db).get("out:1") == "8"
    with pytest.raises(UnsupportedError, match=f"process {process.pid}"):
        experiment.stop(db)
    other = Experiment("first")
    same = other.create_database()
    with pytest.raises(RunningError, match="has it now"):
        other.start(same)

    (address,) = db.get_address()
    os.kill(process.pid, signal.SIGKILL)
    assert is_gone(address)
    until = time.monotonic() + 20
    while os.path.exists(checkpoint) and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(checkpoint)
    assert not db.is_active()
    with pytest.raises(FileNotFoundError, match="no store any more"):
        experiment.reconnect_orchestrator(checkpoint)


def test_a_script_that_ends_saves(experiment: Experiment, tmp_path: Path) -> None:
    script = HOLDER.replace(
        "time.sleep(600)", "import redis; redis.Redis.from_url(db.url).set('a', 1)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert (tmp_path / "first" / "orchestrator" / "dump.rdb").exists()
    again = Experiment("first")
    db = again.create_database()
    again.start(db)
    assert client_of(db).get("a") == "1"
    again.stop(db)


@pytest.mark.workflow
def test_several_servers(experiment: Experiment) -> None:
    db = experiment.create_database(db_nodes=3)
    experiment.start(db)
    assert len(db.get_address()) == db.num_shards == 3
    assert db.environ()["SR_DB_TYPE"] == "Clustered"
    store = redis.RedisCluster.from_url(db.url, decode_responses=True)
    store.set("in", 5)
    (Path.cwd() / "code.py").write_text(CODE.replace("redis.Redis.", "redis.RedisCluster."))
    sims = add(experiment, "sims", "double", "{{ a }}", params={"a": [1, 2, 3]})
    experiment.start(sims)
    assert [store.get(f"out:{a}") for a in (1, 2, 3)] == ["10", "20", "30"]
    store.close()
    addresses = db.get_address()
    assert db._held
    psutil.Process(db._held.store.servers[1]._pid).kill()  # type: ignore[union-attr]
    assert all(map(is_gone, addresses[1:2]))
    until = time.monotonic() + 20
    while db.is_active() and time.monotonic() < until:
        time.sleep(0.05)
    assert experiment.get_status(db) == ["Failed"]
    experiment.start(db)
    assert db.is_active()


def test_what_cannot_be_started_is_told(experiment: Experiment) -> None:
    db = experiment.create_database(interface="nowhere0")
    with pytest.raises(RunFailedError, match="no interface 'nowhere0'"):
        experiment.start(db)
    assert not db.is_active()
    with pytest.raises(ValueError, match="has not been started"):
        experiment.stop(db)
    db.interface = ["lo"]  # as SmartSim has it
    experiment.start(db)
    with pytest.raises(TypeError):
        experiment.finished(db)  # type: ignore[arg-type]


def test_smartsim_s_setters() -> None:
    from ensemake.smartsim.database import Orchestrator as OfSmartSim  # type: ignore[import]

    db = OfSmartSim(port=6780, interface="lo", launcher="slurm", db_nodes=1, single_cmd=False)
    assert isinstance(db, Orchestrator)
    assert db.db_identifier == "orchestrator"
    db.set_cpus(2)
    db.set_max_memory("3gb")
    db.set_max_clients(100)
    db.set_max_message_size(1024**2)
    db.set_eviction_strategy("allkeys-lru")
    db.set_db_conf("hash-max-listpack-entries", 64)
    assert db.as_config() == {
        "port": 6780,
        "cpus": 2,
        "mem_mb": 3072,
        "interface": "lo",
        "settings": {
            "maxclients": 100,
            "proto-max-bulk-len": 1024**2,
            "maxmemory-policy": "allkeys-lru",
            "hash-max-listpack-entries": 64,
        },
    }
    assert db.num_shards == db.db_nodes == 1
    assert not db.hosts
    assert not db.batch
    with pytest.raises(ValueError, match="a size is"):
        db.set_max_memory("much")
    for refused, words in {
        db.enable_checkpoints: [10],
        db.remove_stale_files: [],
        db.set_path: ["/tmp"],
        db.set_walltime: ["01:00:00"],
        db.set_hosts: [["a"]],
        db.reset_hosts: [],
        db.set_batch_arg: ["a", "b"],
        db.set_run_arg: ["a", "b"],
    }.items():
        with pytest.raises(UnsupportedError):
            refused(*words)
    with pytest.raises(UnsupportedError, match="in the job of those that share it"):
        Orchestrator(batch=True)


def test_models_and_scripts_are_refused(experiment: Experiment) -> None:
    model = add(experiment, "model", "put")
    for refused in (model.add_ml_model, model.add_script, model.add_function):
        with pytest.raises(UnsupportedError, match="in a program that takes tensors"):
            refused("net", "TORCH", model_path="net.pt")


SMARTREDIS = os.environ.get("SMARTREDIS_PYTHON", "")
CLIENT = """\
import numpy, sys
from smartredis import Client
first = Client(address=sys.argv[1], cluster=False) if len(sys.argv) > 1 else Client(None)
first.put_tensor("a", numpy.arange(3.0))
assert first.get_tensor("a").sum() == 3
"""


@pytest.mark.skipif(not SMARTREDIS, reason="SMARTREDIS_PYTHON names no Python with SmartRedis")
def test_smartredis_finds_it_as_in_smartsim(experiment: Experiment) -> None:
    db = experiment.create_database()
    experiment.start(db)
    quiet = {**os.environ, "SR_LOG_LEVEL": "QUIET"}
    own = {**quiet, **db.environ()}
    for words, environ in (([db.get_address()[0]], quiet), ([], own)):
        subprocess.run([SMARTREDIS, "-c", CLIENT, *words], env=environ, check=True, timeout=60)
    assert client_of(db).exists("a")
