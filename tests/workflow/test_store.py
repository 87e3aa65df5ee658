"""Entities that share a store: what runs with what, what is kept, what is left."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from ..conftest import Project

pytestmark = pytest.mark.workflow

HEAD = """\
import os, pathlib, sys, time, redis
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(pathlib.Path.cwd().relative_to(os.environ["ROOT"]).parts[0] + "\\n")
store = redis.Redis.from_url(os.environ["ENSEMAKE_STORE"], socket_timeout=None)
"""
SIM = """\
for step in range(5):
    store.rpush("values", float(sys.argv[1]) + step)
store.incr("sims")
while os.path.exists(os.environ["ROOT"] + "/wait"):
    time.sleep(0.02)
"""
LOOK = """\
values = [float(store.blpop("values", 50)[1]) for _ in range(10)]
store.rpush("values", *values)
while int(store.get("sims") or 0) < 2:
    time.sleep(0.02)
pathlib.Path("mean.txt").write_text(str(sum(values) / 10))
print(os.environ.get("SSKEYIN"))
"""


@pytest.fixture
def shared(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.config["databases"] = {"store": {}}
    monkeypatch.setenv("ROOT", str(project.folder / "results" / "exp"))
    project.write("sim.py", HEAD + SIM)
    project.write("look.py", HEAD + LOOK)
    project.ensemble("sim", **entity("sim.py", "{{ x }}"), params={"x": [1, 2]}, outputs=[])
    project.config["ensembles"]["sim"]["key_prefixing"] = True
    look = {**entity("look.py"), "outputs": ["mean.txt"], "reads_from": ["sim"]}
    project.config["models"] = {"look": look}
    return project


def entity(code: str, *words: str) -> dict[str, Any]:
    run = {"exe": "python", "exe_args": [code, *words]}
    return {"database": "store", "run_settings": run, "files": {"to_copy": [code]}}


def newly(project: Project, *arguments: str, code: int = 0) -> dict[str, int]:
    """Run, and return how many members of each entity ran."""
    before = project.ran()
    done = project.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert servers(project) == []
    return dict(project.ran() - before)


def servers(project: Project) -> list[psutil.Process]:
    """The servers whose log is among the project's results."""
    found = []
    for process in psutil.process_iter(["exe"]):
        name = os.path.basename(process.info["exe"] or "")
        if name.startswith(("redis", "valkey")):
            log = os.readlink(f"/proc/{process.pid}/fd/1")
            found += [process] if log.startswith(str(project.folder)) else []
    return found


def until(true: Any) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 60
        time.sleep(0.05)


def test_members_talk_while_they_run_and_what_they_said_is_kept(shared: Project) -> None:
    shared.save()
    assert "batch_look" in shared.run("-n").stdout
    assert not (shared.folder / "results").exists()
    assert newly(shared) == {"look": 1, "sim": 2}
    told = (shared.results / "look" / "run.out").read_text()
    names = [f"sim_{row['member']}" for row in shared.table("sim")]
    assert told == f"{','.join(names)}\n"
    assert (shared.results / "look" / "mean.txt").read_text() == "3.5"
    assert newly(shared) == {}
    texts = [p.read_bytes() for p in shared.folder.rglob("*") if p.is_file() and p.suffix != ".py"]
    assert not [text for text in texts if b"redis://" in text or b"requirepass" in text]

    shared.write("look.py", HEAD + LOOK + "print('edited')\n")
    assert newly(shared) == {"look": 1}  # with what the simulations have left
    assert (shared.results / "look" / "run.out").read_text().endswith("edited\n")
    assert newly(shared, "-R", "batch_sim") == {"sim": 2}

    state = shared.results / ".ensemake" / "store" / "saved.json"
    kept = json.loads(state.read_text())
    sims = [name for name in kept if name.startswith("sim/")]
    state.write_text(json.dumps({k: v for k, v in kept.items() if k != sims[0]}))
    shared.write("look.py", HEAD + LOOK + "print('once more')\n")
    assert newly(shared) == {"look": 1, "sim": 1}  # whose data are not known to be there

    shared.config["databases"]["store"] = {"save": False}
    shared.write("look.py", HEAD + LOOK + "print('again')\n")
    assert newly(shared) == {"look": 1, "sim": 2}


def test_a_member_that_fails_leaves_the_others_and_their_data(shared: Project) -> None:
    shared.write("look.py", HEAD + LOOK + "sys.exit(3)\n")
    assert newly(shared, code=1) == {"look": 1, "sim": 2}
    assert [row["status"] for row in shared.table("sim")] == ["completed"] * 2
    assert shared.status(shared.results / "look")["reason"] == "exit code 3"
    shared.write("look.py", HEAD + LOOK)
    assert newly(shared) == {"look": 1}


def test_who_waits_for_the_end_of_those_that_share_it(shared: Project) -> None:
    inputs = {"look": {"files": ["mean.txt"]}}
    run = {"exe": "cat", "exe_args": ["mean.txt"]}
    shared.config["models"]["after"] = {"inputs": inputs, "run_settings": run}
    shared.write("sim.py", HEAD + SIM + "sys.exit(3)\n")
    assert newly(shared, code=1) == {"look": 1, "sim": 2}
    assert (shared.results / "after" / "run.out").read_text() == "3.5"  # goes on with what there is
    assert shared.table("after")[0]["status"] == "completed"
    shared.write("sim.py", HEAD + SIM)
    assert newly(shared) == {"sim": 2}


def test_a_server_that_dies_ends_its_members_with_that_reason(shared: Project) -> None:
    shared.write("look.py", HEAD + "os.kill(store.info()['process_id'], 9)\ntime.sleep(60)\n")
    shared.write("sim.py", HEAD + "time.sleep(60)\n")
    done = shared.run()
    assert done.returncode == 1
    assert servers(shared) == []
    members = [shared.results / "look", *(shared.results / "sim").glob("*/")]
    ended = [path for path in members if (path / "status.json").exists()]
    reasons = [shared.status(path)["reason"] for path in ended]
    assert len(reasons) >= 2
    assert all(reason.endswith("(store: the server has ended)") for reason in reasons), reasons
    (log,) = (shared.results / ".ensemake" / "look" / "logs").glob("batch-*.log")
    assert "store: the server was killed by SIGKILL; all that share it" in log.read_text()
    shared.write("look.py", HEAD + LOOK)
    shared.write("sim.py", HEAD + SIM)
    assert newly(shared) == {"look": 1, "sim": 2}


@pytest.mark.parametrize("victim", ["main", "runner", "keeper", "member"])
def test_nothing_is_left_whoever_is_killed(shared: Project, reap: list[Any], victim: str) -> None:
    shared.results.mkdir(parents=True)
    (shared.results / "wait").touch()
    main = shared.start("--cores", "3")
    reap.append(main)
    look = shared.results / "look" / "mean.txt"
    until(look.exists)
    (server,) = servers(shared)
    until(lambda: "store: a store at 127.0.0.1:" in shared.run("status").stdout)
    keeper = server.parent()
    assert keeper is not None
    runner = keeper.parent()
    assert runner is not None
    member = next(p for p in runner.children(recursive=True) if "sim.py" in p.cmdline())
    process = {"main": psutil.Process(main.pid), "runner": runner, "keeper": keeper}
    process.get(victim, member).send_signal(signal.SIGKILL)
    if victim == "main":  # its job goes on by itself
        (shared.results / "wait").unlink()
    until(lambda: not server.is_running() or victim == "member")
    (shared.results / "wait").unlink(missing_ok=True)
    main.communicate()
    until(lambda: not servers(shared) and not keeper.is_running())
    ran = newly(shared)
    assert ran == {"main": {}, "member": {"sim": 1}}.get(victim, {"look": 1, "sim": 2}) or (
        victim == "main" and ran == {"look": 1, "sim": 2}
    )
    values = redis_of(shared)
    assert values == (15 if victim == "member" else 10)  # who runs again writes again


def redis_of(project: Project) -> int:
    """How many values the saved store holds."""
    from ensemake.config.database import Database
    from ensemake.store.store import Folders, Store

    state = project.results / ".ensemake" / "store"
    store = Store("store", Database(), Folders(project.results / "store", state), True)
    store.wait()
    try:
        return int(redis.Redis.from_url(store.url).llen("values"))
    finally:
        store.stop(save=False)


def test_those_that_do_not_fit_together_are_told(shared: Project) -> None:
    shared.config["models"]["look"]["resources"] = {"cpus_per_task": 2}
    done = shared.run("--cores", "2")
    assert done.returncode == 1
    (log,) = (shared.results / ".ensemake" / "look" / "logs").glob("batch-*.log")
    told = log.read_text()
    assert "store: of each that shares it a member has to run at the same time" in told
    assert "look: nodes 1, tasks 1, cpus_per_task 2" in told
    assert shared.ran() == {}


def test_as_many_of_each_entity_run_as_of_the_others(project: Project) -> None:
    url = "redis.Redis.from_url(os.environ['ENSEMAKE_STORE'], socket_timeout=None)"
    code = f"import os, redis; r = {url}; "
    one = {"exe": "python", "exe_args": ["-c", code + "r.rpush('{{ x }}', 1)"]}
    two = {"exe": "python", "exe_args": ["-c", code + "assert r.blpop('{{ x }}', 50)"]}
    project.config["databases"] = {"store": {"save": False}}
    for name, run in {"put": one, "take": two}.items():
        params = {"x": [1, 2, 3, 4, 5]}
        project.ensemble(name, params=params, run_settings=run, outputs=[], database="store")
    done = project.run("--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (Path(project.results) / "store").exists()


def test_data_are_saved_after_ctrl_c(shared: Project, reap: list[Any]) -> None:
    shared.results.mkdir(parents=True)
    (shared.results / "wait").touch()
    main = shared.start("--cores", "3")
    reap.append(main)
    until((shared.results / "look" / "status.json").exists)
    os.killpg(main.pid, signal.SIGINT)
    main.communicate()
    assert main.returncode == 1
    assert servers(shared) == []
    assert redis_of(shared) == 10
    (shared.results / "wait").unlink()
    assert newly(shared) == {"sim": 2}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_alone_is_told_to_end_waits_for_its_members(
    shared: Project, reap: list[Any], number: int
) -> None:
    shared.results.mkdir(parents=True)
    (shared.results / "wait").touch()
    main = shared.start("--cores", "3")
    reap.append(main)
    until((shared.results / "look" / "status.json").exists)
    main.send_signal(number)
    (shared.results / "wait").unlink()
    main.communicate()
    assert servers(shared) == []
    assert redis_of(shared) == 10
    assert newly(shared) == {}


def test_its_password_is_in_the_environment_of_members_and_nowhere_else(
    shared: Project, reap: list[Any]
) -> None:
    shared.config["databases"]["store"]["nodes"] = 3
    for name in ("sim.py", "look.py"):
        text = (shared.folder / name).read_text().replace("redis.Redis.", "redis.RedisCluster.")
        shared.write(name, text)
    shared.results.mkdir(parents=True)
    (shared.results / "wait").touch()
    main = shared.start("--cores", "3")
    reap.append(main)
    until((shared.results / "look" / "status.json").exists)
    every = [psutil.Process(main.pid), *psutil.Process(main.pid).children(recursive=True)]
    members = [p for p in every if "sim.py" in p.cmdline()]
    others = [p for p in every if p not in members and "run.sh" not in str(p.cmdline())]
    assert (len(members), len(servers(shared))) == (2, 3)
    url = members[0].environ()["ENSEMAKE_STORE"]
    password = url.removeprefix("redis://:").partition("@")[0]
    assert len(password) == 64
    assert not [p for p in every if password in " ".join(p.cmdline())]
    assert not [p for p in others if password in str(p.environ())]
    private = [Path(f"/proc/{server.pid}/cwd").resolve() for server in servers(shared)]
    private += [path for path in Path("/dev/shm").glob("ensemake-*") if path.is_dir()]
    files = [p for top in (shared.folder, *private) for p in top.rglob("*") if p.is_file()]
    assert [path.name for path in files].count("nodes.conf") >= 3
    assert not [path for path in files if password.encode() in path.read_bytes()]
    (shared.results / "wait").unlink()
    told, _ = main.communicate()
    assert main.returncode == 0, told
    assert password not in told
    texts = [p.read_bytes() for p in shared.folder.rglob("*") if p.is_file()]
    assert not [text for text in texts if password.encode() in text]


def test_a_full_disk_at_the_end_is_told_and_members_keep_their_results(project: Project) -> None:
    code = HEAD + "store.set('x', os.urandom(6 << 20))\npathlib.Path('out').write_text('1')\n"
    project.write("put.py", code)
    project.config |= {"experiment": "exp", "results": "small", "databases": {"store": {}}}
    project.ensemble("put", **{**entity("put.py"), "params": {"x": [1, 2]}, "outputs": ["out"]})
    project.save()
    (project.folder / "small").mkdir()
    run = " ".join(project.command())
    script = (
        "mount -t tmpfs -o size=4m none small || exit 77\n"
        f"export ROOT=$PWD/small/exp; {run} >told 2>&1; echo $? >>told\n"
        "cp small/exp/put/results.csv first.csv; cat small/exp/.ensemake/put/logs/batch* >>told\n"
        "mount -o remount,size=40m small\n"
        f"{run} && {run} -R batch_put && ls small/exp/store >kept\n"
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode == 77:
        pytest.skip("nothing can be mounted here")
    told = (project.folder / "told").read_text()
    assert "\n1\n" in told, told
    assert "store: its data are not saved: " in told
    assert "No space left on device" in told
    assert (project.folder / "first.csv").read_text().count("completed") == 2
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.folder / "kept").read_text() == "dump.rdb\n"
    assert project.ran() == {"put": 4}  # nobody needed what could not be kept, until -R
