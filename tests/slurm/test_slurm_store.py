"""Entities that share a store, on two nodes of a real Slurm: also those who know no password."""

import subprocess
from typing import Any

import pytest
from slurm_cluster import Cluster, until
from slurm_project import SlurmProject

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

CODE = """\
import os, sys, redis
places = {"ENSEMAKE_STORE": os.environ["ENSEMAKE_STORE"], "SSDB": "redis://" + os.environ["SSDB"]}
for name, url in places.items():  # with the password, and without it
    store = redis.Redis.from_url(url, socket_timeout=60)
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


OWN = """\
import os, redis, subprocess
store = redis.Redis.from_url(os.environ["ENSEMAKE_STORE"])
print(store.incr("n"), os.environ["SLURMD_NODENAME"], os.environ.get("OMP_NUM_THREADS"))
job = ["scontrol", "-o", "show", "job", os.environ["SLURM_JOB_ID"]]
open("job.txt", "w").write(subprocess.check_output(job, text=True))
"""


def with_own(project: SlurmProject, **keys: Any) -> None:
    project.write("own.py", OWN)
    run = {"exe": "python", "exe_args": ["own.py"]}
    own: dict[str, Any] = {"colocated_db": {"mem_mb": 50}, "files": {"to_copy": ["own.py"]}}
    resources = {"mem_mb": 100, "runtime": 5}
    project.ensemble("own", run_settings=run, outputs=[], resources=resources, **own, **keys)


def test_each_member_with_its_own(project: SlurmProject) -> None:
    with_own(project)
    project.finish()
    for x in (1, 2, 3):
        member = project.member("own", x=x)
        count, _, threads = (member / "run.out").read_text().split()
        assert (count, threads) == ("1", "1")  # the store's CPU is not the member's
        job = project.job_of(member)
        assert (job["NumCPUs"], job["MinMemoryNode"]) == ("2", "150M")


def test_each_member_with_its_own_in_a_batch_on_two_nodes(project: SlurmProject) -> None:
    with_own(project, params={"x": [*range(6)]}, batch_settings={"nodes": 2, "runtime": 5})
    project.finish()
    told = [project.member("own", x=x) / "run.out" for x in range(6)]
    words = [path.read_text().split() for path in told]
    assert {count for count, _, _ in words} == {"1"}
    assert {threads for _, _, threads in words} == {"1"}
    assert len({node for _, node, _ in words}) == 2


def test_tasks_share_that_of_their_member(project: SlurmProject) -> None:
    code = "import os, redis; redis.Redis.from_url(os.environ['ENSEMAKE_STORE']).incr('n')"
    look = "import os, redis; print(redis.Redis.from_url(os.environ['ENSEMAKE_STORE']).get('n'))"
    put = {"exe": "python", "exe_args": ["-c", code], "run_command": "srun"}
    run = [put, {"exe": "python", "exe_args": ["-c", look]}]
    resources = {"tasks": 2, "runtime": 5}
    project.ensemble(
        "own", params={"x": [1]}, run_settings=run, outputs=[], resources=resources, colocated_db={}
    )
    project.finish()
    assert "b'2'" in (project.member("own", x=1) / "run.out").read_text()


def test_several_stores_on_two_nodes(project: SlurmProject) -> None:
    code = """\
import os, redis, sys
def store(name):
    assert redis.Redis.from_url("redis://" + os.environ["SSDB_" + name]).ping()
    return redis.Redis.from_url(os.environ["ENSEMAKE_STORE_" + name], socket_timeout=60)
if len(sys.argv) > 1:
    store("one").rpush("x", os.environ["SLURMD_NODENAME"])
    store("two").blpop("end")
else:
    print(*sorted({store("one").blpop("x")[1].decode() for _ in range(4)}))
    store("two").rpush("end", *range(4))
"""
    project.write("code.py", code)
    project.config["experiment"] = "exp"
    batch = {"nodes": 2, "runtime": 5}
    project.config["databases"] = {
        "one": {"interface": "lo"},
        "two": {"interface": "lo", "batch_settings": batch},
    }
    shared: dict[str, Any] = {"database": ["one", "two"], "files": {"to_copy": ["code.py"]}}
    put = {"exe": "python", "exe_args": ["code.py", "put"]}
    look = {"exe": "python", "exe_args": ["code.py"]}
    project.config["models"] = {"look": {**shared, "run_settings": look}}
    project.config["ensembles"] = {
        "put": {**shared, "params": {"x": [*range(4)]}, "run_settings": put}
    }
    project.finish()
    assert len((project.results / "look" / "run.out").read_text().split()) == 2
    assert {p.parent.name for p in project.results.glob("*/dump.rdb")} == {"one", "two"}
