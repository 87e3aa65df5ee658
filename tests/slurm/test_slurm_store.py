"""Entities that share a store, on two nodes of a real Slurm: also those who know no password."""

import subprocess
from typing import Any

import pytest
from slurm_cluster import Cluster, until
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


CLUSTERED = """\
import os, redis, sys
first = os.environ["SSDB"].split(",")[0].split(":")
one = redis.RedisCluster(first[0], int(first[1]), socket_timeout=60)  # as SmartRedis: no password
if sys.argv[1] == "put":
    one.execute_command("AI.TENSORSET", "tensor" + sys.argv[2], "INT8", 3, "BLOB", b"123")
    one.rpush("there", os.environ["SLURMD_NODENAME"])
    one.blpop("end")
else:
    other = redis.RedisCluster.from_url(os.environ["ENSEMAKE_STORE"], socket_timeout=60)
    nodes = {other.blpop("there")[1].decode() for _ in range(6)}
    for x in range(1, 7):
        assert other.execute_command("AI.TENSORGET", f"tensor{x}", "BLOB") == b"123"
    print(*sorted(nodes), os.environ["SR_DB_TYPE"], len(os.environ["SSDB"].split(",")))
    other.rpush("end", *range(6))
"""


def shared(project: SlurmProject, code: str, **store: Any) -> None:
    """One that looks at what six others put there, on two nodes."""
    project.write("code.py", code)
    batch = {"nodes": 2, "runtime": 5}
    project.config["experiment"] = "exp"
    # the nodes of the tests are this machine, under two names
    own = {"interface": "lo", "batch_settings": batch, "cpus": 1, "mem_mb": 100}
    project.config["databases"] = {"store": {**own, **store}}
    keys: dict[str, Any] = {
        "database": "store",
        "files": {"to_copy": ["code.py"]},
        "resources": {"mem_mb": 50},
    }
    put = {"exe": "python", "exe_args": ["code.py", "put", "{{ x }}"]}
    look = {"exe": "python", "exe_args": ["code.py", "look"]}
    project.config["models"] = {"look": {**keys, "run_settings": look}}
    ensemble = {**keys, "params": {"x": [1, 2, 3, 4, 5, 6]}, "run_settings": put}
    project.config["ensembles"] = {"put": ensemble}


def test_two_nodes(project: SlurmProject) -> None:
    shared(project, CODE)
    project.finish()
    told = (project.results / "look" / "run.out").read_text().splitlines()
    assert len(told) == 2
    assert all(len(line.split()) == 2 for line in told), told
    assert (project.results / "store" / "dump.rdb").exists()


def test_three_servers_on_two_nodes(project: SlurmProject) -> None:
    shared(project, CLUSTERED, nodes=3)
    project.write("code.py", CLUSTERED.replace("range(6)", "range(4)").replace("(1, 7)", "(1, 5)"))
    project.config["ensembles"]["put"]["params"]["x"] = [1, 2, 3, 4]
    done = project.finish()
    (told,) = (project.results / "look" / "run.out").read_text().splitlines()
    assert told == "n1 n2 Clustered 3", told
    kept = sorted(path.name for path in (project.results / "store").iterdir())
    assert kept == ["dump-0.rdb", "dump-1.rdb", "dump-2.rdb"]
    state = project.results / ".ensemake" / "store"
    assert len(list(state.glob("server-*.log"))) == 3
    (starts,) = (state.parent / "look").rglob("*.record.jsonl")
    assert '"slots": 5' in starts.read_text(), done.stdout  # eight CPUs without three servers


ENDED = """\
import os, pathlib, redis, sys, time
kind = redis.RedisCluster if "," in os.environ["SSDB"] else redis.Redis
store = kind.from_url(os.environ["ENSEMAKE_STORE"], socket_timeout=60)
top = pathlib.Path(os.environ["RAN_LOG"]).parent
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(sys.argv[1] + "\\n")
if sys.argv[1] == "quick":
    for key in range(20):
        store.set(f"key{key}", "told")
else:
    store.blpop("never") if not (top / "again").exists() else None
    print(sum(store.get(f"key{key}") == b"told" for key in range(20)))
"""


@pytest.mark.parametrize(("servers", "end"), [(1, "limit"), (3, "scancel")])
def test_data_are_saved_when_the_job_is_told_to_end(
    slurm: Cluster,
    project: SlurmProject,
    reap: list[subprocess.Popen[str]],
    servers: int,
    end: str,
) -> None:
    project.write("code.py", ENDED)
    batch = {"nodes": 2, "runtime": 10, "batch_args": {"no-requeue": None}}
    own = {"interface": "lo", "batch_settings": batch, "mem_mb": 100, "nodes": servers}
    project.config |= {"experiment": "exp", "databases": {"store": own}}
    keys = {"database": "store", "files": {"to_copy": ["code.py"]}, "resources": {"mem_mb": 50}}
    project.config["models"] = {
        name: {**keys, "run_settings": {"exe": "python", "exe_args": ["code.py", name]}}
        for name in ("quick", "slow")
    }
    process = project.start()
    reap.append(process)
    status = project.results / "quick" / "status.json"
    until(lambda: status.exists() and project.ran()["slow"] == 1, "one to end, one to wait")
    job = slurm.run("squeue", "--noheader", "--format=%A").strip()
    if end == "scancel":
        slurm.run("scancel", job)
    else:
        slurm.run("scontrol", "update", f"jobid={job}", "EndTime=now+5")
    process.communicate(timeout=200)
    assert process.returncode == 1
    assert project.status(project.results / "slow")["status"] == "cancelled"
    slurm.settle()
    (project.folder / "again").touch()
    project.finish()
    assert project.ran() == {"quick": 1, "slow": 2}
    assert (project.results / "slow" / "run.out").read_text() == "20\n"
