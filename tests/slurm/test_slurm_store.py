"""Entities that share a store, on two nodes of a real Slurm: also those who know no password."""

from typing import Any

import pytest
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

CODE = """\
import os, sys, redis
for name in ("ENSEMAKE_STORE", "SSDB"):  # by the network, and by the socket that each node has
    store = redis.Redis.from_url(os.environ[name], socket_timeout=60)
    if sys.argv[1] == "put":
        store.execute_command("AI.TENSORSET", sys.argv[2] + name, "INT8", 3, "BLOB", b"123")
        store.rpush("there" + name, os.environ["SLURMD_NODENAME"])
        store.incr("running" + name)
        store.blpop("end" + name)
    else:
        nodes = {store.blpop("there" + name)[1].decode() for _ in range(6)}
        assert store.execute_command("AI.TENSORGET", "3" + name, "BLOB") == b"123"
        print(*sorted(nodes))
        store.rpush("end" + name, *range(6))
"""


def test_two_nodes(project: SlurmProject) -> None:
    project.write("code.py", CODE)
    batch = {"nodes": 2, "runtime": 5}
    project.config["experiment"] = "exp"
    # the nodes of the tests are this machine, under two names
    project.config["databases"] = {
        "store": {"interface": "lo", "batch_settings": batch, "cpus": 1, "mem_mb": 100}
    }
    shared: dict[str, Any] = {
        "database": "store",
        "files": {"to_copy": ["code.py"]},
        "resources": {"mem_mb": 50},
    }
    put = {"exe": "python", "exe_args": ["code.py", "put", "{{ x }}"]}
    look = {"exe": "python", "exe_args": ["code.py", "look"]}
    project.config["models"] = {"look": {**shared, "run_settings": look}}
    ensemble = {**shared, "params": {"x": [1, 2, 3, 4, 5, 6]}, "run_settings": put}
    project.config["ensembles"] = {"put": ensemble}
    project.finish()
    told = (project.results / "look" / "run.out").read_text().splitlines()
    assert len(told) == 2
    assert all(len(line.split()) == 2 for line in told), told
    assert (project.results / "store" / "dump.rdb").exists()
