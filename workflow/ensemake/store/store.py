"""A store from the side of who starts it: what is heard, what programs are told."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp
from typing import Any

from ensemake.config.database import Database
from ensemake.store.address import listening_address
from ensemake.store.checkpoint import CHECKPOINT
from ensemake.store.keeper import Order
from ensemake.store.news import NEWS
from ensemake.store.program import find_server, tensor_module
from ensemake.store.relay import Link

# Not by PYTHONPATH, which is the members' own.
START = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); " + (
    "from ensemake.store.keeper import keep; sys.exit(keep())"
)
LOG = "server.log"
LOCAL = ("/dev/shm", "/tmp")  # of each node alone; the path is what SmartRedis and a socket take


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
    ) -> None:
        self.name, self.lacks = name, ""
        program = find_server(settings.server)
        address = listening_address(settings.interface, has_others)
        modules = [str(Path(module).absolute()) for module in settings.modules]
        folder = private_folder()
        self.order = Order(
            name=name,
            settings=settings,
            program=program,
            modules=modules or self._tensors(),
            address=address,
            folder=folder,
            data=str(folders.data.absolute()) if settings.save else folder,
            is_loaded=is_loaded,
            log=str((folders.state / LOG).absolute()),
            news=str((folders.state / NEWS).absolute()),
            checkpoint=str((folders.state / CHECKPOINT).absolute()),
            password=token_hex(32),
        )
        self.port = self._pid = 0
        self._read = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for who started us
        )
        self._say(self.order.as_json())

    def _tensors(self) -> list[str]:
        """Without the module all else works."""
        try:
            return [str(tensor_module())]
        except OSError as error:
            self.lacks = f"without tensors (AI.TENSORSET), so not for SmartRedis: {error}"
            return []

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return bool(self.port)

    @property
    def is_running(self) -> bool:
        """Whether its server is a process that runs; known before its keeper says so."""
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
        if "ready" in said:
            self.port, self._pid = said["ready"]["port"], said["ready"]["pid"]
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
    def link(self) -> Link:
        """What other nodes need for a relay."""
        order = self.order
        return Link(order.socket, order.address, self.port, order.password)

    @property
    def url(self) -> str:
        """Address for clients, with the password."""
        return f"redis://:{self.order.password}@{self.order.address}:{self.port}/0"

    def environ(self, prefix: str = "", reads: Sequence[str] = ()) -> dict[str, str]:
        """Return the variables by which programs find it, here or where a relay is.

        Parameters
        ----------
        prefix
            Of the keys that a SmartRedis client writes; "" for none.
        reads
            Prefixes of those that it may read.
        """
        there = {"SSDB": f"unix://{self.order.socket}", "SR_DB_TYPE": "Standalone"}
        return {**there, "ENSEMAKE_STORE": self.url, **of_keys(prefix, reads)}

    def stop(self, save: bool) -> str:
        """End it; return why its data are not saved, "" if they are or need not be."""
        fault = ""
        if save:
            self._say("save")
            fault = self._whether_saved()
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
    """Return the variables that tell SmartRedis of prefixes; none for those that are empty."""
    keys = {"SSKEYOUT": prefix, "SSKEYIN": ",".join(reads)}
    return {name: value for name, value in keys.items() if value}


def private_folder() -> str:
    """Return a new folder on this machine, its user's alone."""
    return mkdtemp(prefix="ensemake-", dir=next(f for f in LOCAL if os.access(f, os.W_OK)))
