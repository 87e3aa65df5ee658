"""A store from its start to its end, with real servers: who gets in, what is kept, what is left."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from ensemake.store.address import listening_address
from ensemake.store.keeper import as_word
from ensemake.store.news import news_lines
from ensemake.store.program import find_server
from ensemake.store.resp import Client, ServerError, info
from ensemake.store.saved import forget_saved, read_saved, write_saved
from ensemake.store.store import Store

from .conftest import Begin, another_user, needs_root


def connected(store: Store) -> redis.Redis:
    return redis.Redis.from_url(store.url)


def until(true: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 30
        time.sleep(0.02)


def family(store: Store) -> list[psutil.Process]:
    """The keeper and its server."""
    keeper = psutil.Process(store.process.pid)
    return [keeper, *keeper.children(recursive=True)]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_those_who_have_its_password_get_in_and_nobody_else(begin: Begin, server: str) -> None:
    store = begin(server=server)
    connected(store).set("x", "1")
    assert redis.Redis.from_url(store.environ()["SSDB"]).get("x") == b"1"
    assert redis.Redis(port=store.port).get("x") == b"1"  # we, from here
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=store.port, password="wrong").get("x")
    folder = Path(store.order.socket).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    listening = {c.laddr.ip for p in family(store) for c in p.net_connections("tcp")}
    assert listening == {"127.0.0.1"}
    words = [" ".join(process.cmdline()) for process in family(store)]
    kept = [path for path in Path(store.order.data).parent.rglob("*") if path.is_file()]
    assert kept
    texts = [path.read_text(errors="replace") for path in kept]
    assert not [text for text in (*words, *texts) if store.order.password in text]


@needs_root
def test_another_user_does_not_get_in(begin: Begin, server: str) -> None:
    store = begin(server=server)
    with another_user(), pytest.raises(redis.AuthenticationError):
        redis.Redis(port=store.port).get("x")


def test_its_data_are_kept_and_read_again(begin: Begin, server: str) -> None:
    store = begin(server=server)
    client = connected(store)
    client.execute_command("AI.TENSORSET", "t", "DOUBLE", 1, "BLOB", b"12345678")
    client.rpush("list", *range(1000))
    assert store.stop(save=True) == ""
    again = connected(begin(server=server, is_loaded=True))
    assert again.llen("list") == 1000
    assert again.execute_command("AI.TENSORGET", "t", "BLOB") == b"12345678"


def test_what_is_not_read_steps_aside(begin: Begin, server: str) -> None:
    store = begin(server=server)
    connected(store).set("x", "1")
    store.stop(save=True)
    fresh = begin(server=server)
    assert connected(fresh).get("x") is None
    assert (Path(fresh.order.data) / "previous.rdb").exists()


def test_without_save_nothing_is_left(begin: Begin, server: str) -> None:
    store = begin(server=server, save=False)
    connected(store).set("x", "1")
    assert store.stop(save=False) == ""
    results = Path(store.order.log).parents[2]
    assert [path.name for path in results.rglob("*") if path.is_file()] == ["server.log"]
    assert not Path(store.order.socket).parent.exists()


@pytest.mark.parametrize("victim", ["starter", "keeper", "server"])
def test_nothing_outlives_who_is_killed(server: str, tmp_path: Path, victim: str) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from ensemake.config.database import Database\n"
        "from ensemake.store.store import Folders, Store\n"
        f"place = Folders(Path({str(tmp_path)!r}) / 'data', Path({str(tmp_path)!r}) / 'state')\n"
        f"store = Store('store', Database(server={server!r}), place, False)\n"
        "store.wait(); print(store.order.folder, flush=True)\n"
        "print(store.hear(), store.stop(False), flush=True); time.sleep(60)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    folder = Path(starter.stdout.readline().strip())
    keeper, program = psutil.Process(starter.pid).children(recursive=True)
    {"starter": starter, "keeper": keeper, "server": program}[victim].send_signal(signal.SIGKILL)
    told = starter.stdout.readline().strip()
    until(lambda: is_gone(keeper) and is_gone(program) and not folder.exists())
    expected = {"starter": "", "keeper": "its keeper was killed"}
    assert told == expected.get(victim, "the server was killed by SIGKILL")
    starter.kill()
    starter.communicate()


def test_signals_that_its_members_get_do_not_end_it(begin: Begin, server: str) -> None:
    store = begin(server=server)
    for process in family(store):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
    connected(store).set("x", "1")
    assert store.stop(save=True) == ""


def test_a_limit_of_memory_is_told_in_the_servers_words(begin: Begin, server: str) -> None:
    client = connected(begin(server=server, mem_mb=8))
    words = ["INT8", 10**6, "BLOB", bytes(10**6)]
    client.execute_command("AI.TENSORSET", "t", *words)

    def fill() -> None:
        for number in range(20):
            client.execute_command("AI.TENSORSET", f"t{number}", *words)

    with pytest.raises(redis.OutOfMemoryError, match="maxmemory"):
        fill()


def test_what_cannot_be_saved_is_told(begin: Begin, server: str) -> None:
    store = begin(server=server)
    connected(store).set("x", "1")
    Path(store.order.data).rmdir()
    fault = store.stop(save=True)
    assert "RDB" in fault or "rdb" in fault, fault


def test_a_server_that_does_not_start_says_why(begin: Begin, server: str) -> None:
    with pytest.raises(OSError, match=r"store: the server does not start: .*nonsense"):
        begin(server=server, settings={"nonsense": 1})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            begin(server=server, port=taken.getsockname()[1])


def test_its_news(begin: Begin, server: str) -> None:
    store = begin(server=server, mem_mb=100)
    news = Path(store.order.news)
    until(news.exists)
    told = json.loads(news.read_text())
    assert told["address"] == f"127.0.0.1:{store.port}"
    assert (told["limit"], told["keys"], told["clients"]) == (100 << 20, 0, 0)
    (line,) = news_lines(news.parents[2])
    assert line.startswith(f"store: a store at 127.0.0.1:{store.port}: 0 keys, ")
    assert line.endswith(" of 100.0 MB, 0 clients")
    news.write_text(json.dumps({**told, "time": time.time() - 600}))
    (line,) = news_lines(news.parents[2])
    assert line.endswith("not heard of for 10 min")
    more = {**told, "address": "n2:7", "keys": 5, "clients": 2, "memory": 1 << 20}
    news.with_name("running-1.json").write_text(json.dumps(more))
    news.write_text(json.dumps({**told, "memory": 2 << 20}))
    lines = list(news_lines(news.parents[2]))
    assert lines[0] == "store: a store of 2 servers: 5 keys, 3.0 MB of 200.0 MB, 2 clients"
    assert lines[2] == "store:   at n2:7: 5 keys, 1.0 MB of 100.0 MB, 2 clients"
    news.with_name("running-1.json").unlink()
    news.write_text("half")
    assert list(news_lines(news.parents[2])) == []
    store.stop(save=False)
    assert not news.exists()


def test_its_own_client(begin: Begin, server: str) -> None:
    store = begin(server=server)
    with Client(store.order.socket, store.order.password) as client:
        assert client.ask("SET", "x", "é") == "OK"
        assert (client.ask("GET", "x"), client.ask("GET", "y")) == ("é", None)
        assert client.ask("INCR", "n") == 1
        assert client.ask("KEYS", "n") == ["n"]
        assert int(info(client)["connected_clients"]) >= 1
        with pytest.raises(ServerError, match="WRONGTYPE"):
            client.ask("LPUSH", "x", "1")


def test_without_a_compiler_all_but_tensors_works(
    begin: Begin, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", "false")
    store = begin(server=server)
    assert "without tensors" in store.lacks
    assert "false does not compile it" in store.lacks
    assert connected(store).set("x", "1")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        connected(store).execute_command("AI.TENSORGET", "x")


def test_which_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str) -> None:
    assert find_server(server) == server
    with pytest.raises(FileNotFoundError, match="/no/such is no program"):
        find_server("/no/such")
    (tmp_path / "valkey-server").symlink_to(server)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == str(tmp_path / "valkey-server")


def test_where_it_listens() -> None:
    assert listening_address(None, has_others=False) == "127.0.0.1"
    assert listening_address("lo", has_others=False) == "127.0.0.1"
    assert listening_address("127.0.0.1", has_others=True) == "127.0.0.1"
    for nowhere in ("0.0.0.0", "ib77"):
        with pytest.raises(ValueError, match=r"has no interface .*it has lo 127\.0\.0\.1"):
            listening_address(nowhere, has_others=False)


def test_words_of_its_configuration() -> None:
    assert as_word('/a b/é"\\x') == '"/a\\x20b/\\xc3\\xa9\\x22\\x5cx"'


def test_whose_data_are_kept(tmp_path: Path) -> None:
    state, data = tmp_path / "state", tmp_path / "data"
    assert read_saved(state, data) == {}
    write_saved(state, {"a/b": "1-x"})
    assert read_saved(state, data) == {}  # there is no file
    data.mkdir()
    (data / "dump.rdb").touch()
    assert read_saved(state, data) == {"a/b": "1-x"}
    forget_saved(state)
    assert read_saved(state, data) == {}
