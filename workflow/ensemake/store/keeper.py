"""The process that keeps a store: it starts the server, looks after it, and does not outlive us.

It is told by lines on its standard input, and ends the server when that ends: then whoever started
it is gone. The kernel ends the server should this process be killed.
"""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from ensemake.atomic import PRIVATE, read_end, write_atomically
from ensemake.config.database import Database
from ensemake.store.address import free_port, listening_address
from ensemake.store.gate import Gate
from ensemake.store.private import clear_private, hold_private
from ensemake.store.program import is_tensor_module
from ensemake.store.resp import Client, ServerError, info
from ensemake.store.saved import dump_names
from ensemake.store.seats import Seat

PDEATHSIG = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
LOOK_S, TELL_S = 0.2, 5.0  # between looks at the server, between words about it
PATIENCE_S = 60.0  # for a server that neither answers nor ends
TRIES = 5  # for a port that somebody takes before the server does
SAID = 2000  # bytes of its last words
BEFORE = re.compile(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ . ")  # process and time, in its log


@dataclass(frozen=True)
class Order:
    """What a store is to be.

    Parameters
    ----------
    name, settings
        As the config has them.
    program, modules
        The server, and what it loads, with arguments.
    address
        Where it listens; "" for the address by which other nodes reach the keeper's.
    folder
        For its user alone: the socket lies there.
    data
        Where its file lies.
    log, news
        Files for what it prints, and for what is told of it while it runs.
    password
        Of this run; "" has it listen nowhere but at its socket.
    seat
        Its place in a cluster.
    environ
        For the server, where it does not inherit it.
    checkpoint
        The file of a script that holds it: gone with the server.
    """

    name: str
    settings: Database
    program: str
    modules: list[list[str]]
    address: str
    folder: str
    data: str
    log: str
    news: str
    password: str
    seat: Seat | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str = ""

    @property
    def socket(self) -> str:
        """Path of the Unix socket."""
        return f"{self.folder}/s"

    @property
    def gate(self) -> str:
        """Path of the socket at which the server asks who comes."""
        return f"{self.folder}/gate"

    def as_json(self) -> str:
        """Return it as a line."""
        own = {"settings": self.settings.model_dump(by_alias=True)}
        return json.dumps({**vars(self), **own, "seat": self.seat and asdict(self.seat)})


def read_order(line: str) -> Order:
    """Read what `Order.as_json` wrote."""
    data = json.loads(line)
    seat = data["seat"] and Seat(**data["seat"])
    return Order(**{**data, "settings": Database.model_validate(data["settings"]), "seat": seat})


def directives(order: Order, port: int) -> str:
    """Return the server's configuration: what the user says, then what is not to be changed."""
    settings, seat = order.settings, order.seat
    gate = ["gate", order.gate] if order.password else []
    memory = f"maxmemory {settings.mem_mb}mb" if settings.mem_mb else "maxmemory 0"
    lines = [
        "maxmemory-policy noeviction",
        *(f"{name} {value}" for name, value in settings.settings.items()),
        f"bind {order.address}",
        f"port {port}",
        "protected-mode yes",
        *([f"requirepass {order.password}"] if order.password else []),
        f"unixsocket {as_word(order.socket)}",
        "unixsocketperm 700",
        memory,
        'save ""',
        f"dir {as_word(order.data)}",
        f"dbfilename {dump_names(settings.nodes)[seat.number if seat else 0]}",
        *(seat.directives(order.folder) if seat else ()),
        "daemonize no",
        'logfile ""',
        *(_load(words, gate) for words in order.modules),
    ]
    return "".join(f"{line}\n" for line in lines)


def _load(words: Sequence[str], gate: Sequence[str]) -> str:
    own = gate if is_tensor_module(words[0]) else ()
    return f"loadmodule {' '.join(map(as_word, [*words, *own]))}"


def as_word(text: str) -> str:
    """Return a text as one word of the server's configuration."""
    plain = (chr(b) if 32 < b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in text.encode())
    return f'"{"".join(plain)}"'


class Server:
    """A running server."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.port = 0
        self._process = self._started()

    @property
    def pid(self) -> int:
        """Id of its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def _started(self) -> subprocess.Popen[bytes]:
        """Raise OSError, with its last words, if it does not come up."""
        seat = self._order.seat
        wanted = seat.port if seat else self._order.settings.port
        for _ in range(TRIES):
            self.port = wanted or self._free_port()
            process = self._spawned()
            if self._comes_up(process):
                return process
            if wanted or b"in use" not in self._words():
                break
        raise OSError(f"the server does not start: {self.last_words()}")

    def _free_port(self) -> int:
        return free_port(self._order.address) if self._order.password else 0

    def _spawned(self) -> subprocess.Popen[bytes]:
        words = [self._order.program, "-"]  # no file with the password
        with open(self._order.log, "wb") as log:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._order.environ},
                preexec_fn=partial(_tie, os.getpid()),
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as file:
            file.write(directives(self._order, self.port).encode())
        return process

    def _comes_up(self, process: subprocess.Popen[bytes]) -> bool:
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < PATIENCE_S:
            try:
                self.ask("PING")
                if self._order.seat is None or "cluster_state:ok" in self.ask("CLUSTER", "INFO"):
                    return True
            except ServerError as error:
                if str(error).startswith("LOADING"):
                    began = time.monotonic()
            except OSError:
                pass
            time.sleep(0.02)
        process.kill()
        process.wait()
        return False

    def ask(self, *words: str, patience: float | None = 10) -> Any:
        """Return its answer to a command."""
        with Client(self._order.socket, self._order.password, patience) as client:
            return client.ask(*words)

    def info(self) -> dict[str, str]:
        """Return what it tells of itself."""
        with Client(self._order.socket, self._order.password) as client:
            return info(client)

    def save(self) -> str:
        """Have it write its file; return why not, "" if it did."""
        try:
            self.ask("SAVE", patience=None)
        except (OSError, ServerError) as error:
            return f"{error}: {self.last_words()}"
        return ""

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def last_words(self) -> str:
        """Return the last lines that it printed, without their dates."""
        lines = self._words().decode(errors="replace").splitlines()
        return "; ".join([BEFORE.sub("", line) for line in lines if line.strip()][-3:])

    def how_ended(self) -> str:
        """Say how it ended; who is killed has no last words."""
        code = self._process.wait()
        if code < 0:
            return f"the server was killed by {signal.Signals(-code).name}"
        return f"the server ended ({code}): {self.last_words()}"

    def _words(self) -> bytes:
        return read_end(self._order.log, SAID)[0]


def _tie(keeper: int) -> None:
    """In the server's process: it ends with us, and no signal that others get ends it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(1)


def keep() -> int:
    """Keep the store of the order on standard input; what happens to it goes to standard output."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    orders = open(0, "rb", buffering=0)  # noqa: SIM115 - what is not read yet is seen by select
    order = read_order(orders.readline().decode())
    try:
        _keep(_seated(_placed(order), orders), orders)
    except (OSError, ValueError) as error:
        _say(failed=str(error))
    finally:
        for left in filter(None, (order.news, order.checkpoint)):
            Path(left).unlink(missing_ok=True)
        shutil.rmtree(order.folder, ignore_errors=True)
    return 0


def _placed(order: Order) -> Order:
    """Make its folders; on another node than its starter's, find the address as well."""
    if order.address:
        return order
    Path(order.folder).mkdir(mode=0o700, exist_ok=True)
    if Path(order.folder).stat().st_uid != os.geteuid():
        raise OSError(f"{order.folder} is another user's")
    return replace(order, address=listening_address(order.settings.interface, True))


def _seated(order: Order, orders: FileIO) -> Order:
    """Tell where this server of a cluster is, and hear where all of them are."""
    if not order.seat:
        return order
    _say(address=order.address)
    line = orders.readline()
    if not line:
        raise OSError("it is not wanted any more")
    return replace(order, seat=replace(order.seat, addresses=json.loads(line)))


def _keep(order: Order, orders: FileIO) -> None:
    clear_private()
    hold_private(order.folder)
    Path(order.data).mkdir(parents=True, exist_ok=True)
    Path(order.log).parent.mkdir(parents=True, exist_ok=True)
    if order.seat:
        Path(order.folder, "nodes.conf").write_text(order.seat.nodes_file(), encoding="ascii")
    server = Server(order)
    try:
        gate = Gate(order.gate, (order.address, server.port), order.password)
        ready = {"address": order.address, "port": server.port, "pid": server.pid}
        _say(ready={**ready, "gate": gate.port})
        _look_after(server, order, orders)
    finally:
        server.stop()


def _look_after(server: Server, order: Order, orders: FileIO) -> None:
    told = 0.0
    while not server.has_ended:
        if select.select([orders], [], [], LOOK_S)[0] and not _obey(server, orders):
            return
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            _tell(server, order)
    _say(failed=server.how_ended())


def _obey(server: Server, orders: FileIO) -> bool:
    """Save if that is said, not if nobody is there any more: both are the end."""
    if orders.readline().strip() == b"save":
        _say(saved=server.save())
    return False


def _tell(server: Server, order: Order) -> None:
    """Write what `ensemake status` shows; on a full disk, or when it is busy, do without."""
    with suppress(OSError, ServerError, ValueError):
        told = server.info()
        keys = told.get("db0", "keys=0").partition("keys=")[2].partition(",")[0]
        news = {
            "address": f"{order.address}:{server.port}",
            "memory": int(told["used_memory"]),
            "limit": int(told["maxmemory"]),
            "clients": int(told["connected_clients"]) - 1,  # ourselves
            "keys": int(keys),
            "time": time.time(),
        }
        write_atomically(Path(order.news), json.dumps(news).encode(), PRIVATE)


def _say(**what: object) -> None:
    """Nobody may be there to hear it."""
    with suppress(OSError):
        os.write(1, json.dumps(what).encode() + b"\n")
