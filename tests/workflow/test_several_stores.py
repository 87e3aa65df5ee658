"""Members with several stores: what runs with what, and what each finds."""

import json
from typing import Any

import pytest

from ..conftest import Project
from ..store.test_smartredis import PYTHON
from .test_store import newly, servers

pytestmark = pytest.mark.workflow

HEAD = """\
import os, pathlib, sys, time, redis
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(pathlib.Path.cwd().name + "\\n")
def store(name=""):
    url = os.environ["ENSEMAKE_STORE" + name]
    assert redis.Redis.from_url(os.environ["SSDB" + name]).ping()
    return redis.Redis.from_url(url, socket_timeout=50)
names = sorted(name for name in os.environ if name.startswith(("SSDB", "SR_DB", "SSKEY")))
print(*names)
"""
LEFT = 'store().rpush("x", "from left")\n'
MIDDLE = """\
assert store("_one").blpop("x", 50)[1] == b"from left"
store("_two").rpush("x", "from middle")
"""
RIGHT = 'assert store().blpop("x", 50)[1] == b"from middle"\n'


def model(name: str, **keys: Any) -> dict[str, Any]:
    run = {"exe": "python", "exe_args": [f"{name}.py"]}
    return {"run_settings": run, "files": {"to_copy": [f"{name}.py"]}, **keys}


@pytest.fixture
def chain(project: Project) -> Project:
    """Three models, of which the one in the middle has two stores."""
    for name, code in {"left": LEFT, "middle": MIDDLE, "right": RIGHT}.items():
        project.write(f"{name}.py", HEAD + code)
    project.config |= {
        "experiment": "exp",
        "databases": {"one": {}, "two": {"mem_mb": 30, "batch_settings": {"runtime": 7}}},
        "models": {
            "left": model("left", database="one"),
            "middle": model("middle", database=["one", "two"], key_prefixing=True),
            "right": model("right", database=["two"]),
        },
    }
    return project


def test_those_that_are_linked_run_in_one_job(chain: Project) -> None:
    done = chain.run("--cores", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert servers(chain) == []
    (log,) = (chain.results / ".ensemake").glob("*/logs/batch-*.log")
    assert "left: 3 completed" in log.read_text()
    told = {name: (chain.results / name / "run.out").read_text() for name in chain.ran()}
    assert told == {
        "left": "SR_DB_TYPE SSDB\n",
        "middle": "SR_DB_TYPE_one SR_DB_TYPE_two SSDB_one SSDB_two SSKEYOUT_one SSKEYOUT_two\n",
        "right": "SR_DB_TYPE SSDB\n",
    }
    assert {p.parent.name for p in chain.results.glob("*/dump.rdb")} == {"one", "two"}
    plan = json.loads(next((chain.results / ".ensemake" / "left").glob("*.plan.json")).read_text())
    assert plan["settings"]["batch_settings"]["runtime"] == 7
    assert newly(chain) == {}


def test_what_is_not_saved_in_one_of_them_runs_again(chain: Project) -> None:
    chain.config["databases"]["two"]["save"] = False
    assert newly(chain, "--cores", "3") == {"left": 1, "middle": 1, "right": 1}
    chain.write("right.py", HEAD + RIGHT + "# edited\n")
    chain.write("middle.py", HEAD + MIDDLE.splitlines()[1] + "\n")
    assert newly(chain, "--cores", "3") == {"middle": 1, "right": 1}
    chain.write("left.py", HEAD + LEFT + "# edited\n")
    assert newly(chain, "--cores", "3") == {"left": 1, "middle": 1, "right": 1}


def test_one_that_dies_ends_all_and_the_other_is_saved(chain: Project) -> None:
    kill = "while not os.path.exists('../left/status.json'):\n    time.sleep(0.1)\n"
    kill += 'os.kill(store("_two").info()["process_id"], 9)\ntime.sleep(60)\n'
    chain.write("middle.py", HEAD + MIDDLE.splitlines()[0] + "\n" + kill)
    done = chain.run("--cores", "3")
    assert done.returncode == 1
    assert servers(chain) == []
    reasons = {name: chain.status(chain.results / name)["reason"] for name in ("middle", "right")}
    assert reasons["middle"].endswith("(two: the server has ended)"), reasons
    assert chain.status(chain.results / "left")["status"] == "completed"
    assert (chain.results / "one" / "dump.rdb").exists()
    assert not (chain.results / "two" / "dump.rdb").exists()


def test_beside_a_store_of_its_own(chain: Project) -> None:
    chain.config["models"]["middle"]["colocated_db"] = {}
    chain.write("middle.py", HEAD + MIDDLE + 'store().set("x", 1); print(store().dbsize())\n')
    assert newly(chain, "--cores", "4") == {"left": 1, "middle": 1, "right": 1}
    told = (chain.results / "middle" / "run.out").read_text().split()
    assert {"SSDB", "SSDB_one", "SSDB_two", "SSKEYOUT", "SSKEYOUT_one"} < {*told}
    assert told[-1] == "1"


@pytest.mark.skipif(not PYTHON, reason="SMARTREDIS_PYTHON names no Python with it")
def test_smartredis_finds_them_by_their_names(chain: Project) -> None:
    code = """\
import numpy
from smartredis import Client, ConfigOptions
one, two, own = [
    Client(ConfigOptions.create_from_environment(name), name) for name in ("one", "two", "")
]
two.put_tensor("x", numpy.ones(3))
assert two.tensor_exists("x") and not one.tensor_exists("x") and not own.tensor_exists("x")
two.set_data_source("middle")
print(two.get_tensor("x").sum())
"""
    chain.write("middle.py", code)
    middle = chain.config["models"]["middle"]
    middle |= {"colocated_db": {"unix_socket": False}, "reads_from": ["middle"]}
    middle["run_settings"] = {
        "exe": PYTHON,
        "exe_args": ["middle.py"],
        "env_vars": {"SR_LOG_LEVEL": "QUIET"},
    }
    for name in ("left", "right"):
        chain.write(f"{name}.py", "")
    done = chain.run("--cores", "4")
    assert done.returncode == 0, (chain.results / "middle" / "run.err").read_text()
    assert (chain.results / "middle" / "run.out").read_text() == "3.0\n"
