"""What programs get out of a store of ours, beside a bare server of the same program."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cluster
import project
import redis
import yaml
from cluster import Cluster

from ensemake.config.database import Database
from ensemake.store.address import free_port
from ensemake.store.program import find_server, tensor_module
from ensemake.store.store import Folders, Store

CLIENT = Path(__file__).with_name("store_client.py")
HOST, PASSWORD = "127.0.0.1", "bare"
WAYS = ("TCP", "Unix socket", "TCP, without a password, from another node of Slurm's")
WANTED = 0.95


@dataclass(frozen=True)
class Rates:
    """The best that a client got: puts of a few bytes a second, GB/s of tensors."""

    small: float
    large: float


@dataclass(frozen=True)
class Pair:
    """A way to a store, and the same to a bare server."""

    way: str
    own: Rates
    bare: Rates

    @property
    def small(self) -> float:
        """Ours over theirs, of small puts."""
        return self.own.small / self.bare.small

    @property
    def large(self) -> float:
        """Ours over theirs, of tensors."""
        return self.own.large / self.bare.large


def absent() -> str | None:
    """Tell what is missing, if anything."""
    try:
        find_server()
        tensor_module()
    except OSError as error:
        return str(error)
    return None


def pairs(fresh: Callable[[], Path], tell: Callable[[str], None]) -> Iterator[Pair]:
    """Yield what each way gives, all of one client at once."""
    yield from _here(fresh())
    missing = cluster.absent()
    if missing:
        tell(f"a store on Slurm: skipped, {missing}")
    else:
        yield _on_slurm(fresh())


def _here(folder: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        bare, path = stack.enter_context(_bare(folder))
        store = Store("s", Database(save=False), Folders(folder / "data", folder / "state"), False)
        stack.callback(store.stop, False)
        store.wait()
        urls = {
            "bare TCP": bare,
            "TCP": store.url,
            "bare Unix socket": f"unix://:{PASSWORD}@{path}",
            "Unix socket": f"unix://:{store.order.password}@{store.order.socket}",
        }
        file = folder / "rates.json"
        words = [f"{name}={url}" for name, url in urls.items()]
        subprocess.run([sys.executable, CLIENT, file, *words], check=True)
        found = _read(file)
    yield Pair(WAYS[0], found["TCP"], found["bare TCP"])
    yield Pair(WAYS[1], found["Unix socket"], found["bare Unix socket"])


def _on_slurm(folder: Path) -> Pair:
    """A member on the second node; the first, where the store is, is another's."""
    with Cluster() as slurm, _bare(folder) as (bare, _):
        path = f"{Path(sys.executable).parent}:{slurm.environ['PATH']}"
        environ = {**project.environment(), **slurm.environ, "PATH": path}
        (folder / "config.yaml").write_text(yaml.safe_dump(_config(bare)))
        words = project.snakemake("--configfile", "config.yaml", profile="slurm")
        subprocess.run(words, cwd=folder, env=environ, check=True, capture_output=True)
        found = _read(folder / "results" / "stores" / "far" / "rates.json")
    return Pair(WAYS[2], found["own"], found["bare"])


def _config(bare: str) -> dict[str, object]:
    """Return an experiment whose member fits the other node alone."""
    words = [str(CLIENT), "rates.json", "own=SSDB", f"bare={bare}"]
    store = {
        "interface": "lo",
        "cpus": 3,
        "save": False,
        "batch_settings": {"nodes": 2, "runtime": 10},
    }
    member = {
        "database": "store",
        "run_settings": {"exe": sys.executable, "exe_args": words},
        "resources": {"cpus_per_task": 2, "mem_mb": 1000},
        "outputs": ["rates.json"],
    }
    return {"experiment": "stores", "databases": {"store": store}, "models": {"far": member}}


def _read(file: Path) -> dict[str, Rates]:
    found = json.loads(file.read_text())
    return {n: Rates(max(one["small"]), max(one["large"])) for n, one in found.items()}


@contextmanager
def _bare(folder: Path) -> Iterator[tuple[str, str]]:
    """Run a server by hand; its address and its socket."""
    port, path = free_port(HOST), str(folder / "bare.socket")
    words = ["--port", str(port), "--bind", HOST, "--requirepass", PASSWORD, "--save", ""]
    words += ["--unixsocket", path, "--loadmodule", str(tensor_module())]
    log = subprocess.DEVNULL
    process = subprocess.Popen([find_server(), *words], stdout=log, stderr=log)
    url = f"redis://:{PASSWORD}@{HOST}:{port}/0"
    try:
        _until(lambda: bool(redis.Redis.from_url(url).ping()))
        yield url, path
    finally:
        process.kill()
        process.wait()


def _until(is_up: Callable[[], bool]) -> None:
    for _ in range(500):
        try:
            if is_up():
                return
        except redis.ConnectionError:
            pass
        time.sleep(0.02)
    raise TimeoutError("it does not come up")
