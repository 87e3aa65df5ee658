"""Stores on nodes that are machines of their own: programs without a password, on both."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster
from slurm_project import SlurmProject

from ..machines import machines
from ..store.test_smartredis import PYTHON

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

# As SmartRedis does, which knows no password, and with it; from both nodes.
BOTH = """\
import os, redis, socket
address, *others = os.environ["SSDB"].split(",")
host, _, port = address.partition(":")
kind = redis.RedisCluster if others else redis.Redis
for store in (kind(host=host, port=int(port)), kind.from_url(os.environ["ENSEMAKE_STORE"])):
    store.execute_command("AI.TENSORSET", "tensor", "INT8", 3, "BLOB", b"123")
    store.rpush("there", socket.gethostname())
    assert store.execute_command("AI.TENSORGET", "tensor", "BLOB") == b"123"
print(os.environ.get("ENSEMAKE_GATE"), *sorted({*store.lrange("there", 0, -1)}), host)
"""
TENSOR = """\
import numpy, smartredis, socket, time
client = smartredis.Client(None)
client.put_tensor("x", numpy.ones((100, 100)))
print(socket.gethostname())
time.sleep(2)  # so that all run at once, on both nodes
"""
TENSORS = """\
import numpy, os, smartredis
client, sum = smartredis.Client(None), 0
for name in os.environ["SSKEYIN"].split(","):
    client.set_data_source(name)
    assert client.poll_tensor("x", 100, 600)
    sum += client.get_tensor("x").sum()
print(sum)
"""
ANOTHER_USER = """\
import os, socket
"load it now".encode("idna")
os.setuid(65534)
host, _, port = os.environ["SSDB"].partition(":")
client = socket.create_connection((host, int(port)))
client.sendall(b"PING\\r\\n")
print(socket.gethostname(), client.recv(100))
"""


@pytest.fixture(scope="module")
def apart(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm whose two nodes have networks and names of their own."""
    with (
        machines(tmp_path_factory.mktemp("machines"), "n1", "n2") as (address, nodes),
        Cluster(address, nodes) as cluster,
    ):
        yield cluster


@pytest.fixture
def project(apart: Cluster, tmp_path: Path) -> SlurmProject:
    """A project that is run on it."""
    made = SlurmProject(tmp_path / "project", environ=apart.environ)
    made.config["experiment"] = "exp"
    return made


def shared(project: SlurmProject, put: str, look: str, python: str = "python", **store: Any) -> str:
    """What one says that looks at what four others put there, who do not fit on one node."""
    batch = {"nodes": 2, "runtime": 5}
    store = {"batch_settings": batch, "cpus": 1, **store}
    project.config["databases"] = {"store": store}
    keys = {"database": "store", "key_prefixing": True, "resources": {"mem_mb": 50}}
    first, then = ({"exe": python, "exe_args": ["-c", code]} for code in (put, look))
    project.config["ensembles"] = {"put": {**keys, "params": {"x": [1, 2, 3, 4]}}}
    project.config["ensembles"]["put"]["run_settings"] = first
    project.config["models"] = {"look": {**keys, "run_settings": then, "reads_from": ["put"]}}
    project.finish()
    return (project.results / "look" / "run.out").read_text()


def test_who_knows_no_password_is_let_in_on_both_nodes(project: SlurmProject) -> None:
    waits = "import time\nwhile len({*store.lrange('there', 0, -1)}) < 2: time.sleep(0.1)\n"
    told = shared(project, BOTH + waits, BOTH + waits + BOTH).splitlines()[-1]
    assert told.startswith("None b'n1' b'n2' 10.213."), told
    runs = sorted((project.results / "put").rglob("run.out"))
    assert len({line.split()[-1] for line in map(Path.read_text, runs)}) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_not(project: SlurmProject) -> None:
    run = {"exe": "python", "exe_args": ["-c", ANOTHER_USER], "run_command": "srun"}
    size = {"nodes": 2, "tasks": 2, "mem_mb": 200}
    project.config["ensembles"] = {"put": {"resources": size, "run_settings": run}}
    project.config["ensembles"]["put"] |= {"database": "store", "params": {"x": [1]}}
    project.config["databases"] = {"store": {"batch_settings": {"nodes": 2, "runtime": 5}}}
    project.finish()
    (told,) = project.results.rglob("run.out")
    answer = "b'-NOAUTH Authentication required.\\r\\n'"
    assert sorted(told.read_text().splitlines()) == [f"n1 {answer}", f"n2 {answer}"]


@pytest.mark.skipif(not PYTHON, reason="SMARTREDIS_PYTHON is not set")
def test_smartredis_and_three_servers_on_both_nodes(project: SlurmProject) -> None:
    told = shared(project, TENSOR, TENSORS, PYTHON, nodes=3)
    assert told.splitlines()[-1] == "40000.0"
    runs = (project.results / "put").rglob("run.out")
    assert {path.read_text().split()[-1] for path in runs} == {"n1", "n2"}


def test_a_member_of_two_nodes_has_a_store_on_its_first(project: SlurmProject) -> None:
    both = {"exe": "python", "exe_args": ["-c", BOTH]}
    alone = ["-n4", "-N2", "--overlap", "bash", "-c", "echo $SSDB"]  # as a script of the code's own
    runs: list[dict[str, Any]] = [both, {**both, "exe_args": ["-c", BOTH, "again"]}]
    runs.append({"exe": "srun", "exe_args": alone, "run_command": "none"})
    size = {"nodes": 2, "tasks": 4, "mem_mb": 400}
    own = {"resources": size, "run_settings": runs, "colocated_db": {}}
    project.config["ensembles"] = {"wide": {**own, "params": {"x": [1]}}}
    project.finish()
    (out,) = project.results.rglob("run.out")
    told = out.read_text().splitlines()
    places = {line.rpartition(" ")[2].partition(":")[0] for line in told if "==>" not in line}
    assert len(places) == 1
    assert sum(line.startswith("None b'n1' b'n2' 10.213.") for line in told) >= 4
