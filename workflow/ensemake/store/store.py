"""A store from the side of who starts it: what is heard, what programs are told."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from ensemake.config.database import Database
from ensemake.store.address import listening_address
from ensemake.store.checkpoint import CHECKPOINT
from ensemake.store.keeper import Order
from ensemake.store.link import Link
from ensemake.store.news import NEWS
from ensemake.store.private import private_folder
from ensemake.store.program import find_server, tensor_module
from ensemake.store.saved import prepare
from ensemake.store.seats import Seat

# Not by PYTHONPATH, which is the members' own.
START = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); " + (
    "from ensemake.store.keeper import keep; sys.exit(keep())"
)
KEEPER = [sys.executable, "-c", START]
LOG = "server{}.log"


@dataclass(frozen=True)
class Folders:
    """Where a store leaves its things.

    Parameters
    ----------
    data
        Its folder among the results.
    state
        Its folder of markers and logs.
    """

    data: Path
    state: Path


@dataclass(frozen=True)
class Home:
    """Where a server runs.

    Parameters
    ----------
    node
        Name of the node.
    command
        What starts a program there, its words to be appended; none for this machine.
    environ
        Of the server, where that is not inherited.
    """

    node: str = ""
    command: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


class Store:
    """A server and its keeper, started at once and ready some time later.

    Parameters
    ----------
    name, settings
        As the config has them.
    folders
        Where it leaves its things.
    is_loaded
        Whether it goes on with what it has saved.
    has_others
        Whether programs on other nodes use it.
    seat, place
        Its place among the servers of a cluster, and where it runs.

    Raises
    ------
    OSError, ValueError
        If there is no server, or no address for it.
    """

    def __init__(
        self,
        name: str,
        settings: Database,
        folders: Folders,
        is_loaded: bool,
        has_others: bool = False,
        seat: Seat | None = None,
        place: Home = Home(),
    ) -> None:
        self.name, self.lacks, self._place = name, "", place
        program, there = find_server(settings.server), bool(place.command)
        address = "" if there else listening_address(settings.interface, has_others)
        modules, which = self._modules(settings, seat), f"-{seat.number}" if seat else ""
        if settings.save and not seat:
            prepare(folders.data, 1, is_loaded)
        folder = private_folder()
        self.order = Order(
            name=name,
            settings=settings,
            program=program,
            modules=modules,
            address=address,
            folder=folder,
            data=str(folders.data.absolute()) if settings.save else folder,
            log=str((folders.state / LOG.format(which)).absolute()),
            news=str((folders.state / NEWS.format(which)).absolute()),
            checkpoint=str((folders.state / CHECKPOINT).absolute()),
            password=seat.password if seat else token_hex(32),
            seat=seat,
            environ=place.environ,
        )
        self.address, self.port, self._gate, self._pid = "" if seat else address, 0, 0, 0
        self._has_others, self._read = has_others, b""
        self.process = subprocess.Popen(
            place.command or KEEPER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for who started us
        )
        self._say(self.order.as_json())

    def _modules(self, settings: Database, seat: Seat | None) -> list[list[str]]:
        """Ours lets SmartRedis in, also beside others; without it all else works but a cluster."""
        named = [[str(Path(module).absolute())] for module in settings.modules]
        words = ["cluster", str(seat.port)] if seat else []
        try:
            return [[str(tensor_module()), *words, *(["bare"] if named else [])], *named]
        except OSError as error:
            if seat:
                raise OSError(
                    f"{self.name}: several servers need a module of ours: {error}"
                ) from None
            self.lacks = f"without tensors (AI.TENSORSET), so not for SmartRedis: {error}"
            return named

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return bool(self.port)

    @property
    def is_running(self) -> bool:
        """Whether its server is a process that runs; here, known before its keeper says so."""
        if self._place.command:
            return True
        with suppress(OSError):
            text = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii", errors="replace")
            return text.rpartition(")")[2].split()[0] not in "ZX"
        return not Path("/proc/self/stat").exists()

    def fileno(self) -> int:
        """Return what is readable when there is something to hear."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def hear(self) -> str:
        """Take what its keeper says; return why the store is no more, "" if it is."""
        assert self.process.stdout is not None
        data = os.read(self.fileno(), 65536)
        if not data:
            return "its keeper was killed"
        *lines, self._read = (self._read + data).split(b"\n")
        return "".join(filter(None, (self._heed(json.loads(line)) for line in lines)))

    def _heed(self, said: dict[str, Any]) -> str:
        self.address = said.get("address", self.address)
        if "ready" in said:
            self.address, self.port = said["ready"]["address"], said["ready"]["port"]
            self._gate, self._pid = said["ready"]["gate"], said["ready"]["pid"]
        return str(said.get("failed", ""))

    def wait(self) -> None:
        """Wait until it answers.

        Raises
        ------
        OSError
            If it does not come up.
        """
        while not self.is_ready:
            fault = self.hear()
            if fault:
                self.stop(False)
                raise OSError(f"{self.name}: {fault}")

    @property
    def pids(self) -> set[int]:
        """Of our children that are its."""
        return {self.process.pid}

    @property
    def links(self) -> list[Link]:
        """What others need to come in, or to vouch for who does."""
        order = self.order
        return [Link(self.address, self.port, order.password, self._gate, order.socket)]

    def seat(self, addresses: Sequence[str]) -> None:
        """Tell its keeper where all servers of its cluster are."""
        self._say(json.dumps(addresses))

    @property
    def url(self) -> str:
        """Address for clients, with the password."""
        return f"redis://:{self.order.password}@{self.address}:{self.port}/0"

    def environ(self, prefix: str = "", reads: Sequence[str] = ()) -> dict[str, str]:
        """Return the variables by which programs find it on each node.

        Parameters
        ----------
        prefix
            Of the keys that a SmartRedis client writes; "" for none.
        reads
            Prefixes of those that it may read.
        """
        far, near = f"{self.address}:{self.port}", f"unix://{self.order.socket}"
        there = {"SSDB": far if self._has_others else near, "SR_DB_TYPE": "Standalone"}
        return {**there, "ENSEMAKE_STORE": self.url, **of_keys(prefix, reads)}

    def save(self) -> None:
        """Have it begin to save, which `stop` waits for."""
        self._say("save")

    def stop(self, save: bool) -> str:
        """End it; return why its data are not saved, "" if they are or need not be."""
        if save:
            self.save()
        return self.end(save)

    def end(self, is_saving: bool) -> str:
        """Wait until it has saved, and end it; return as `stop`."""
        fault = self._whether_saved() if is_saving else ""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.order.folder, ignore_errors=True)  # its keeper may have been killed
        Path(self.order.news).unlink(missing_ok=True)
        return fault

    def _whether_saved(self) -> str:
        assert self.process.stdout is not None
        rest = self._read + self.process.stdout.read()
        answers = [json.loads(line) for line in rest.splitlines()]
        for answer in answers:
            if "saved" in answer:
                return str(answer["saved"])
        return next((str(one["failed"]) for one in answers if "failed" in one), "it was killed")

    def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # it is gone, which is heard
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()


def of_keys(prefix: str, reads: Sequence[str]) -> dict[str, str]:
    """Return the variables that tell a SmartRedis client of prefixes of keys."""
    keys = {"SSKEYOUT": prefix, "SSKEYIN": ",".join(reads)}
    return {name: value for name, value in keys.items() if value}
