"""Stores of several servers: who gets in and where, what is kept, what is left."""

import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from ensemake.store import seats as seating
from ensemake.store.cluster import Cluster
from ensemake.store.seats import BUS, slot_ranges

from .conftest import BeginCluster, another_user, needs_root
from .test_store import is_gone, until


def connected(store: Cluster) -> redis.RedisCluster:
    return redis.RedisCluster.from_url(store.environ()["ENSEMAKE_STORE"])


def addresses(store: Cluster) -> list[tuple[str, int]]:
    pairs = [text.split(":") for text in store.environ()["SSDB"].split(",")]
    return [(host, int(port)) for host, port in pairs]


def processes(store: Cluster) -> list[psutil.Process]:
    keepers = [psutil.Process(pid) for pid in store.pids]
    return [*keepers, *(child for keeper in keepers for child in keeper.children())]


def said(port: int) -> bytes:
    """What a server, or a door, answers to who sends no password."""
    with socket.socket() as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        with suppress(ConnectionError):
            client.sendall(b"PING\r\n")
            return client.recv(100)
    return b""


def test_its_servers_share_the_keys(begin_cluster: BeginCluster, server: str) -> None:
    store = begin_cluster(server=server)
    client = connected(store)
    for number in range(300):
        client.set(f"key{number}", number)
    kept = [redis.Redis(*address).dbsize() for address in addresses(store)]
    assert sum(kept) == 300
    assert min(kept) > 50
    tensor = ("AI.TENSORSET", "{name}.t", "INT8", 3, "BLOB", b"123")
    assert client.execute_command(*tensor) in (b"OK", True)
    assert client.execute_command("AI.TENSORGET", "{name}.t", "BLOB") == b"123"
    assert store.environ()["SR_DB_TYPE"] == "Clustered"


def test_who_gets_in(begin_cluster: BeginCluster, server: str) -> None:
    store = begin_cluster(server=server, mem_mb=10)
    ports = {port for _, port in addresses(store)}
    assert [said(port) for port in ports] == [b"+PONG\r\n"] * 3  # we, from here
    servers = [process for process in processes(store) if "python" not in process.name()]
    bound = {c.laddr for p in servers for c in p.net_connections("tcp") if not c.raddr}
    assert {(address.ip, address.port) for address in bound} == {("127.0.0.1", p) for p in ports}
    for port in ports:  # where servers talk among themselves nobody is asked for a password
        with pytest.raises(ConnectionRefusedError):
            said(port + BUS)
    words = [" ".join(process.cmdline()) for process in processes(store)]
    environs = [str(process.environ()) for process in processes(store)]
    kept = [path for path in store._folders.state.parents[1].rglob("*") if path.is_file()]
    texts = [path.read_text(errors="replace") for path in kept]
    password = store.servers[0].order.password
    assert not [text for text in (*words, *environs, *texts) if password in text]


@needs_root
def test_another_user_does_not_get_in(begin_cluster: BeginCluster, server: str) -> None:
    port = addresses(begin_cluster(server=server))[0][1]
    with another_user():
        assert said(port).startswith(b"-NOAUTH")


def test_its_data_are_kept_for_as_many_servers(begin_cluster: BeginCluster, server: str) -> None:
    store = begin_cluster(server=server)
    client = connected(store)
    for number in range(100):
        client.set(f"key{number}", number)
    assert store.stop(save=True) == ""
    data = store._folders.data
    assert sorted(path.name for path in data.iterdir()) == [f"dump-{n}.rdb" for n in range(3)]
    again = begin_cluster(server=server, is_loaded=True)
    assert connected(again).get("key7") == b"7"
    assert again.stop(save=True) == ""
    with pytest.raises(OSError, match="is of 3 servers, and nodes is 4; set nodes to 3, or run"):
        begin_cluster(server=server, is_loaded=True, nodes=4)
    fresh = begin_cluster(server=server, nodes=4)
    assert connected(fresh).get("key7") is None
    assert {path.name for path in data.iterdir()} == {f"previous-{n}.rdb" for n in range(3)}


def test_what_cannot_be_saved_is_told(begin_cluster: BeginCluster, server: str) -> None:
    store = begin_cluster(server=server)
    connected(store).set("x", "1")
    store._folders.data.rmdir()
    fault = store.stop(save=True)
    assert fault.startswith("server 0: ")
    assert "; server 2: " in fault


def test_a_server_that_dies_is_named(begin_cluster: BeginCluster, server: str) -> None:
    store = begin_cluster(server=server)
    keeper = psutil.Process(store.servers[1].process.pid)
    keeper.children()[0].kill()
    faults: list[str] = []
    until(lambda: faults.append(store.hear()) or bool(faults[-1]))  # type: ignore[func-returns-value]
    assert faults[-1] == "server 1 on n1: the server was killed by SIGKILL"
    assert not store.is_running


@pytest.mark.parametrize("victim", ["starter", "keeper", "server"])
def test_nothing_outlives_who_is_killed(server: str, tmp_path: Path, victim: str) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from ensemake.config.database import Database\n"
        "from ensemake.store.cluster import Cluster\n"
        "from ensemake.store.store import Folders, Home\n"
        f"place = Folders(Path({str(tmp_path)!r}) / 'data', Path({str(tmp_path)!r}) / 'state')\n"
        f"settings = Database(server={server!r}, nodes=3)\n"
        "store = Cluster('store', settings, place, False, False, [Home()] * 3)\n"
        "store.wait(); print(*(one.order.folder for one in store.servers), flush=True)\n"
        "store._selector.select(); print(store.hear(), store.stop(False), flush=True)\n"
        "time.sleep(60)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    folders = [Path(word) for word in starter.stdout.readline().split()]
    begun = psutil.Process(starter.pid).children(recursive=True)
    assert (len(folders), len(begun)) == (3, 6)
    keeper = next(process for process in begun if "python" in process.name())
    process = {"starter": starter, "keeper": keeper, "server": keeper.children()[0]}[victim]
    process.send_signal(signal.SIGKILL)
    told = starter.stdout.readline()
    until(lambda: all(map(is_gone, begun)) and not any(folder.exists() for folder in folders))
    assert {"starter": "", "keeper": "its keeper was killed"}.get(victim, "by SIGKILL") in told
    starter.kill()
    starter.communicate()


def test_ports_that_somebody_takes(
    begin_cluster: BeginCluster, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = seating._free_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free + 1))
        taken.listen()
        chosen = [free, seating._free_ports(3)]
        monkeypatch.setattr(seating, "_free_ports", lambda count: chosen.pop(0))
        store = begin_cluster(server=server)
        assert chosen == []
        connected(store).set("x", "1")
        store.stop(save=False)
        with pytest.raises(OSError, match=r"server 1 on n1: .* in use"):
            begin_cluster(server=server, port=free)


def test_without_a_compiler_there_is_none(
    begin_cluster: BeginCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", "false")
    with pytest.raises(OSError, match="several servers need a module of ours: false does not"):
        begin_cluster()


def test_slots() -> None:
    assert slot_ranges(3) == [(0, 5460), (5461, 10921), (10922, 16383)]
    assert slot_ranges(1) == [(0, 16383)]
