"""A store that members share under a real PBS: on one node, and on two whose loopbacks differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import PbsProject
from real import free_nodes, server_answers, shared_folder

CPUS = 4

pytestmark = [
    pytest.mark.pbs,
    pytest.mark.xdist_group("pbs-nodes"),
    pytest.mark.skipif(
        not server_answers() or free_nodes(CPUS) < 2, reason="no PBS with two free nodes"
    ),
]

# Clients of both kinds: who has the password, and who has none, as SmartRedis.
CODE = """\
import os, socket, sys, redis
quick = {"socket_timeout": 60}
places = os.environ["SSDB"].split(",")
if len(places) > 1:
    host, port = places[0].split(":")
    stores = [redis.RedisCluster.from_url(os.environ["ENSEMAKE_STORE"], **quick)]
    stores += [redis.RedisCluster(host, int(port), **quick)]
else:
    urls = [place if "://" in place else f"redis://{place}" for place in places]
    stores = [redis.Redis.from_url(url, **quick) for url in (os.environ["ENSEMAKE_STORE"], *urls)]
for number, store in enumerate(stores):
    if sys.argv[1] == "put":
        for key in range(20):  # of every server
            words = ("AI.TENSORSET", f"{key}-{sys.argv[2]}-{number}", "INT8", 3, "BLOB", b"123")
            store.execute_command(*words)
        store.rpush(f"there{number}", socket.gethostname())
        store.blpop(f"end{number}")
    else:
        nodes = {store.blpop(f"there{number}")[1].decode() for _ in range(int(sys.argv[2]))}
        for key in range(20):
            assert store.execute_command("AI.TENSORGET", f"{key}-1-{number}", "BLOB") == b"123"
        print(len(nodes))
        store.rpush(f"end{number}", *range(int(sys.argv[2])))
"""


@pytest.fixture
def project() -> Iterator[PbsProject]:
    """A project in a folder that the nodes see."""
    with shared_folder() as folder:
        yield PbsProject(folder / "a project")


@pytest.mark.parametrize(("nodes", "servers"), [(1, 1), (2, 1), (2, 3)])
def test_members_share_a_store(project: PbsProject, nodes: int, servers: int) -> None:
    project.write("code.py", CODE)
    batch = {"nodes": nodes, "runtime": 5, "batch_args": {"ncpus": CPUS}}
    own = {"nodes": servers, "batch_settings": batch}
    project.config |= {"experiment": "exp", "databases": {"store": own}}
    count = 2 * nodes  # they run at once, beside the servers
    keys: dict[str, Any] = {"database": "store", "files": {"to_copy": ["code.py"]}}
    put = {"exe": "python", "exe_args": ["code.py", "put", "{{ x }}"]}
    look = {"exe": "python", "exe_args": ["code.py", "look", str(count)]}
    project.config["models"] = {"look": {**keys, "run_settings": look}}
    project.config["ensembles"] = {
        "put": {**keys, "params": {"x": list(range(count))}, "run_settings": put}
    }
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.results / "look" / "run.out").read_text() == f"{nodes}\n{nodes}\n"
    kept = sorted(path.name for path in (project.results / "store").iterdir())
    names = ["dump.rdb"] if servers == 1 else [f"dump-{n}.rdb" for n in range(servers)]
    assert kept == names
