"""Stores of one member each: run.sh starts and ends them, whoever is killed; with real servers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ensemake.config.database import Colocated
from ensemake.member.colocated import keeper_words, voucher_words
from ensemake.member.runscript import RunScript, Step, run_script

from .test_smartredis import PYTHON, SCRIPT

HEAD = """\
import os, socket, sys, time
import psutil, redis
store = redis.Redis.from_url(os.environ["ENSEMAKE_STORE"])
server = psutil.Process(store.info()["process_id"])
keeper = server.parent()
watcher = keeper.parent()
script = watcher.parent()
"""
TELL = (
    HEAD
    + """\
print(os.environ["SSDB"].rpartition("/")[0])
print("pids", server.pid, keeper.pid, watcher.pid, flush=True)
"""
)


class Member:
    """A member's directory with a store of its own."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, programs = folder / "member", folder / "bin"
        self.folder.mkdir()
        programs.mkdir()
        (programs / "valkey-server").symlink_to(server)
        python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {**os.environ, "PATH": f"{programs}:{python}"}

    def write(self, *codes: str, goes_far: bool = False, **own: Any) -> None:
        """Write its run.sh, of a command for each code; `own` are keys of its store."""
        steps = [
            Step(["python", "-c", code], digest=f"{number}-a", is_vouched=goes_far)
            for number, code in enumerate(codes)
        ]
        words = keeper_words(Colocated(**own))
        script = run_script(
            RunScript(
                title="m",
                commands=steps,
                keeper=words,
                threads=["2", "1", "OMP_NUM_THREADS"],
                voucher=voucher_words() if goes_far else (),
            )
        )
        (self.folder / "run.sh").write_text(script)

    def start(self, **environ: str) -> subprocess.Popen[bytes]:
        words = ["bash", "-p", str(self.folder / "run.sh")]
        return subprocess.Popen(words, env={**self.environ, **environ}, process_group=0)

    def run(self, **environ: str) -> dict[str, Any]:
        """Run it, and return its status; nothing is left."""
        self.start(**environ).wait(60)
        assert self.running() == []
        return self.status()

    def status(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "status.json").read_text()))

    @property
    def out(self) -> list[str]:
        lines = (self.folder / "run.out").read_text().splitlines()
        return [line for line in lines if not line.startswith("==>")]

    def running(self) -> list[psutil.Process]:
        """Servers, keepers and watchers of the member, as it told them."""
        found = []
        for line in (line for line in self.out if line.startswith("pids")):
            for word in filter(str.isdigit, line.split()):
                try:
                    process = psutil.Process(int(word))
                    found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
                except psutil.NoSuchProcess:
                    continue
        return found


@pytest.fixture
def member(tmp_path: Path, server: str) -> Member:
    return Member(tmp_path, server)


def until(true: Callable[[], Any]) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 30
        time.sleep(0.02)


@pytest.mark.parametrize("unix_socket", [True, False])
def test_its_commands_share_it_and_nothing_is_left(member: Member, unix_socket: bool) -> None:
    put = TELL + "store.set('x', 'y')"
    look = "print(store.get('x'), store.config_get('hz'), os.environ['OMP_NUM_THREADS'])"
    files = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    member.write(put, HEAD + look, files, unix_socket=unix_socket, settings={"hz": 20})
    assert member.run(OMP_NUM_THREADS="2")["status"] == "completed"
    where, _, *said = member.out
    # what ends the store is run.sh's alone; 9 is its lock, 3 the folder that is listed
    assert said == ["b'y' {'hz': '20'} 1", "['0', '1', '2', '3', '9']"]
    if unix_socket:
        assert not Path(where.removeprefix("unix://")).exists()
    assert sorted(path.name for path in member.folder.iterdir()) == [
        *(".lock", "run.err", "run.out", "run.sh", "status.json")
    ]
    assert (member.folder / "run.err").read_text().count("\n") == 3  # a line above each command


def test_a_command_that_failed_finds_no_store_without_the_others(member: Member) -> None:
    fails = HEAD + "print(store.get('x')); sys.exit(3)"
    member.write(HEAD + "store.set('x', 'y')", fails)
    for _ in range(2):
        assert member.run()["reason"] == "step 2 of 2 (python): exit code 3"
        assert member.out == ["b'y'"]


def test_it_listens_at_its_socket_alone(member: Member) -> None:
    member.write(TELL + "print(server.net_connections('tcp'), store.config_get('port'))")
    assert member.run()["status"] == "completed"
    assert member.out[-1] == "[] {'port': '0'}"


INTRUDER = """\
import os, socket, sys
"load it now".encode("idna")
os.setuid(int(sys.argv[2]))
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"SET intruded 1\\r\\n")
print(client.recv(100) if len(sys.argv) == 3 else "", flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_at_its_port_others_want_the_password(member: Member) -> None:
    (member.folder / "intruder.py").write_text(INTRUDER)
    code = """\
import subprocess
host, _, port = os.environ["SSDB"].partition(":")
print(host, {c.laddr.ip for c in server.net_connections("tcp")})
print(redis.Redis(host, int(port)).ping())
def intrude(*words):
    code = open("intruder.py").read()
    return subprocess.check_output([sys.executable, "-c", code, port, *words], text=True)
print(intrude("65534"), end="")
server.suspend()
intrude("65534", "gone before it is looked at")
time.sleep(0.5)  # then the kernel has forgotten whose it was
server.resume()
time.sleep(0.5)
print(store.get("intruded"))
print(intrude("0"), store.get("intruded"), end="")
"""
    member.write(HEAD + code, unix_socket=False)
    assert member.run()["status"] == "completed"
    assert member.out == [
        "127.0.0.1 {'127.0.0.1'}",
        "True",
        "b'-NOAUTH Authentication required.\\r\\n'",
        "None",
        "b'+OK\\r\\n'",
        " b'1'",
    ]


def test_the_password_is_in_no_file_and_in_no_list_of_processes(member: Member) -> None:
    code = """\
import pathlib
word = os.environ["ENSEMAKE_STORE"].partition(":")[2].split("@")[0].strip("/:")
told = [" ".join(p.cmdline()) for p in (server, keeper, watcher, script)]
told += [p.read_text() for p in pathlib.Path.cwd().iterdir()]
print(len(word), any(word in text for text in told))
"""
    member.write(HEAD + code, unix_socket=False)
    assert member.run()["status"] == "completed"
    assert member.out == ["64 False"]


@pytest.mark.parametrize("victim", ["server", "keeper"])
@pytest.mark.parametrize("then", ["time.sleep(60)", "time.sleep(1)", "sys.exit(0)", "sys.exit(3)"])
def test_a_store_that_dies_fails_its_member(member: Member, victim: str, then: str) -> None:
    """Also one that does not look at it any more, or that ends as it dies."""
    member.write(TELL + f"{victim}.kill(); {then}")
    status = member.run()
    reasons = {
        "server": "its store: the server was killed by SIGKILL",
        "keeper": "its store: its keeper was killed",
    }
    assert (status["status"], status["reason"]) == ("failed", reasons[victim])
    assert not Path(member.out[0].removeprefix("unix://")).exists()
    member.write(TELL)
    assert member.run()["status"] == "completed"


def test_a_store_that_dies_between_two_commands(member: Member) -> None:
    member.write(TELL + "server.kill()", "print('never')")
    assert member.run()["reason"] == "its store: the server was killed by SIGKILL"
    assert "never" not in member.out


def test_who_watches_the_keeper_is_killed(member: Member) -> None:
    member.write(TELL + "watcher.kill(); time.sleep(1); store.ping()")
    member.start().wait(60)
    assert member.status()["reason"] == "its store: its keeper was killed"
    until(lambda: member.running() == [])


@pytest.mark.parametrize("victim", ["script", "group"])
def test_nothing_outlives_run_sh(member: Member, victim: str) -> None:
    kill = {"script": "script.kill()", "group": "os.killpg(script.pid, 9)"}[victim]
    member.write(TELL + f"{kill}; time.sleep(30)")
    began = time.monotonic()
    member.start().wait()
    until(lambda: member.running() == [])
    assert time.monotonic() - began < 20  # the command itself is not waited for
    until(lambda: not Path(member.out[0].removeprefix("unix://")).exists())
    member.write("pass")
    for process in psutil.process_iter(["cwd"]):  # it holds the lock
        if process.info["cwd"] == str(member.folder):
            process.kill()
    assert member.run()["status"] == "completed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_member_that_is_stopped(member: Member, number: signal.Signals) -> None:
    member.write(TELL + "time.sleep(60)")
    main = member.start()
    until(lambda: (member.folder / "run.out").exists() and len(member.out) == 2)
    os.killpg(main.pid, number)
    main.wait()
    assert member.running() == []
    assert member.status()["reason"] == f"stopped by {number.name}"
    assert not Path(member.out[0].removeprefix("unix://")).exists()


def test_a_signal_that_is_not_about_it(member: Member) -> None:
    member.write(TELL + "script.send_signal(12); time.sleep(1); print(store.ping())")
    assert member.run()["status"] == "completed"
    assert member.out[-1] == "True"


def test_a_server_that_does_not_start(member: Member) -> None:
    member.write("print('never')", settings={"nonsense": 1})
    reason = member.run()["reason"]
    assert reason.startswith("its store: the server does not start: ")
    assert "nonsense" in reason
    assert member.out == []


@pytest.mark.parametrize(
    ("environ", "is_far"),
    [
        ({}, False),
        ({"SLURM_JOB_NUM_NODES": "2"}, True),
        ({"SLURM_JOB_NUM_NODES": "1", "ENSEMAKE_NODELIST": "a"}, False),
        ({"ENSEMAKE_NODELIST": "a,b"}, True),
        ({"PBS_NODEFILE": "nodes"}, True),
        ({"PBS_NODEFILE": "nodes", "ENSEMAKE_NODELIST": "a"}, False),
    ],
)
def test_tasks_on_several_nodes(member: Member, environ: dict[str, str], is_far: bool) -> None:
    (member.folder / "nodes").write_text("a\nb\na\n")
    member.write(TELL, goes_far=True, interface="lo")
    assert member.run(**environ)["status"] == "completed"
    assert bool(member.out[0]) is not is_far  # the folder of a Unix socket


def test_it_tells_that_its_node_has_no_address(member: Member) -> None:
    member.write(TELL, goes_far=True, interface="nothing0")
    assert "has no interface 'nothing0'; it has" in member.run(ENSEMAKE_NODELIST="a,b")["reason"]


def test_no_server(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    member.write("print('never')")
    text = (member.folder / "run.sh").read_text()
    hidden = "import ensemake.store.program as p; p.PROGRAMS = (); p._packaged = lambda: None; "
    text = text.replace("from ensemake.store.beside", f"{hidden}from ensemake.store.beside")
    (member.folder / "run.sh").write_text(text)
    assert member.run()["reason"].startswith("its store: no server is here: load or install")


def test_an_ensemake_that_is_there_no_more(member: Member) -> None:
    member.write("print('never')")
    text = (member.folder / "run.sh").read_text()
    (member.folder / "run.sh").write_text(text.replace(sys.executable, "/no/such/python"))
    assert member.run()["reason"] == "its store: its keeper ended with 127, see run.err"
    assert "/no/such/python" in (member.folder / "run.err").read_text()


def test_what_a_member_has_in_its_directory_does_not_matter(member: Member) -> None:
    (member.folder / "json.py").write_text("raise SystemExit(7)")
    member.write("import os; print(os.environ['SR_DB_TYPE'])", mem_mb=10)
    assert member.run(PYTHONPATH=str(member.folder))["reason"] in ("", "exit code 7")
    (member.folder / "json.py").unlink()
    assert member.run()["status"] == "completed"


@pytest.mark.skipif(not PYTHON, reason="SMARTREDIS_PYTHON names no Python with it")
@pytest.mark.parametrize("unix_socket", [True, False])
def test_smartredis(member: Member, unix_socket: bool) -> None:
    (member.folder / "script.py").write_text(SCRIPT)
    code = f"import subprocess; subprocess.run([{PYTHON!r}, 'script.py'], check=True)"
    member.write(code, unix_socket=unix_socket)
    assert member.run(SR_LOG_LEVEL="QUIET")["status"] == "completed"
