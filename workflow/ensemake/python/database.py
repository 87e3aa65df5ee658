"""A store in memory as a script holds it: SmartSim's Orchestrator."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ensemake.batch.allocation import allocation
from ensemake.batch.sharing import own_store
from ensemake.config import database
from ensemake.errors import RunFailedError, RunningError, UnsupportedError
from ensemake.member.layout import Layout
from ensemake.member.plan import Shared
from ensemake.python.batch_settings import BatchSettings
from ensemake.python.face import Face, Key, Part
from ensemake.python.statuses import Status
from ensemake.python.values import listed
from ensemake.store.checkpoint import CHECKPOINT, Checkpoint, is_held, read_checkpoint
from ensemake.store.held import Held
from ensemake.store.store import Folders

WHERE = (
    "exp.start(db) starts it where the script runs; without that it starts in the job of those "
    "that share it (create_model(..., database=db)), which its batch_settings describe"
)
UNITS_MB = {"": 2**-20, "k": 2**-10, "m": 1, "g": 2**10, "t": 2**20}


def _interface(store: Any, names: Any) -> Any:
    found = listed(names)
    return found[0] if isinstance(found, list) and len(found) == 1 else found


class Orchestrator(Face):
    """A store in memory that models and ensembles share.

    ``exp.start(db)`` starts it as a process of this one, which it does not outlive. Else it starts
    in the job of those that share it.

    Parameters
    ----------
    port, interface, db_nodes
        Where it listens, by default at a free port of this machine's own address; servers.
    launcher, single_cmd, run_command
        Accepted; it is no job of its own.
    batch, hosts, account, time, queue, alloc
        Refused, with what there is instead.
    db_identifier
        Its name, which is also the name of its folder.
    batch_settings
        The job of those that share it.
    keys
        Further keys of the config: cpus, mem_mb, settings, modules, save, server.

    Raises
    ------
    UnsupportedError
        If it is to run elsewhere than the script.
    """

    section = database.Database
    home = ("databases", "databases")
    port: Key[int] = Key()
    nodes: Key[int] = Key()
    cpus: Key[int] = Key()
    mem_mb: Key[int | None] = Key()
    interface: Key[str | None] = Key(_interface)
    settings: Key[dict[str, Any]] = Key()
    modules: Key[list[str]] = Key()
    save: Key[bool] = Key()
    server: Key[str | None] = Key()
    batch_settings = Part(BatchSettings)
    _held: Held | None = None
    _joined: Path | None = None
    batch = False  # it is never a job of its own
    type = "Orchestrator"

    def __init__(
        self,
        port: int = 0,
        interface: str | list[str] | None = None,
        launcher: str = "local",
        run_command: str = "auto",
        db_nodes: int = 1,
        batch: bool = False,
        hosts: str | list[str] | None = None,
        account: str | None = None,
        time: str | None = None,
        alloc: str | None = None,
        single_cmd: bool = True,
        *,
        queue: str | None = None,
        db_identifier: str = "orchestrator",
        batch_settings: BatchSettings | None = None,
        **keys: Any,
    ):
        super().__init__()
        if batch or hosts or account or time or alloc or queue:
            raise UnsupportedError(WHERE)
        self.name = db_identifier
        self.batch_settings = batch_settings
        self.assign_keys({"port": port, "nodes": db_nodes, "interface": interface, **keys})

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config's ``databases``."""
        batch = self.batch_settings
        return self.pruned(self.data) | ({"batch_settings": batch.as_config()} if batch else {})

    # ---- while it runs ----

    def hold(self, layout: Layout, reach: bool, is_loaded: bool) -> None:
        """Start it, unless it runs; `Experiment.start` does it."""
        if self.is_active():
            return
        if self._held:  # it was lost
            self._held.stop()
        self._held, settings = None, database.Database.model_validate(self.as_config())
        folders, is_loaded = Folders(layout.directory, layout.state), settings.save and is_loaded
        shared = Shared(self.name, settings, str(folders.data), str(folders.state), is_loaded)
        begin = partial(own_store, shared, allocation(os.environ), reach)
        try:
            self._held = Held(begin, folders, settings.save, is_loaded)
        except BlockingIOError:
            raise RunningError(f"{self.name}: a job or another script has it now") from None
        except (OSError, ValueError) as error:
            raise RunFailedError(f"{self.name}: {error}") from None
        self._joined = self._held.checkpoint

    def join(self, path: Path, layout: Layout) -> None:
        """Use what another script holds; `Experiment.reconnect_orchestrator` does it."""
        own = layout.state / CHECKPOINT
        if not own.exists() or not own.samefile(path):
            if is_held(own):
                raise RunningError(f"{self.name}: this experiment has a store of that name already")
            layout.state.mkdir(parents=True, exist_ok=True)
            own.unlink(missing_ok=True)
            own.symlink_to(path)
        self._joined = own

    def release(self) -> None:
        """Save and end it; `Experiment.stop` does it."""
        if self._held is None:
            if not self.is_active():
                raise ValueError(f"{self.name} has not been started")
            holder = self._checkpoint
            raise UnsupportedError(
                f"{self.name} is of process {holder.pid} on {holder.host}; stop it there"
            )
        fault = self._held.stop()
        if fault:
            raise RunFailedError(f"{self.name}: its data are not saved: {fault}")

    @property
    def status(self) -> Status:
        """What became of it."""
        if self._joined is None:
            return Status.STATUS_NEVER_STARTED
        if self.is_active():
            return Status.STATUS_RUNNING
        is_lost = self._held and not self._held.is_stopped
        return Status.STATUS_FAILED if is_lost else Status.STATUS_CANCELLED

    def is_active(self) -> bool:
        """Tell whether it runs, started by this script or by the one whose checkpoint was given."""
        return self._held.is_active if self._held else bool(self._joined and is_held(self._joined))

    @property
    def checkpoint_file(self) -> str:
        """The file for `Experiment.reconnect_orchestrator` in another script of the same user."""
        self._checkpoint  # noqa: B018 - raises
        return str(self._joined)

    @property
    def _checkpoint(self) -> Checkpoint:
        try:
            if self._joined:
                return read_checkpoint(self._joined)
        except OSError:
            pass
        raise RunFailedError(f"{self.name} does not run; exp.start(db) starts it")

    def get_address(self) -> list[str]:
        """Return where it listens, ``host:port``; for SmartRedis on its machine that is enough."""
        return self._checkpoint.addresses

    @property
    def url(self) -> str:
        """Address with the password, for ``redis.Redis.from_url``."""
        return self._checkpoint.environ["ENSEMAKE_STORE"]

    def environ(self) -> dict[str, str]:
        """Return the variables by which a client of this script finds it.

        ``os.environ.update(db.environ())``, and ``smartredis.Client(None)`` connects.
        """
        return dict(self._checkpoint.environ)

    @property
    def hosts(self) -> list[str]:
        """Where it runs; as long as it does."""
        return [self._checkpoint.host] if self.is_active() else []

    # ---- SmartSim's setters ----

    @property
    def db_identifier(self) -> str:
        """Its name."""
        return self.name

    @property
    def db_nodes(self) -> int:
        """How many servers it has."""
        return self.nodes

    num_shards = db_nodes

    def set_cpus(self, num_cpus: int) -> None:
        """Set how many CPUs are kept free for it."""
        self.cpus = num_cpus

    def set_db_conf(self, key: str, value: str | int) -> None:
        """Set a directive of the server."""
        self.assign("settings", {**self.settings, key: value})

    def set_max_memory(self, mem: str) -> None:
        """Set the memory that its data may take, such as ``"3gb"``.

        Raises
        ------
        ValueError
            If that is no size.
        """
        found = re.fullmatch(r"(\d+)([kmgt]?)b?", str(mem).strip().lower())
        if not found:
            raise ValueError(f"a size is a number and kb, mb, gb or tb, not {mem!r}")
        self.mem_mb = max(1, round(int(found[1]) * UNITS_MB[found[2]]))

    def set_max_clients(self, clients: int = 50_000) -> None:
        """Set how many clients may be connected at once."""
        self.set_db_conf("maxclients", clients)

    def set_max_message_size(self, size: int = 1_073_741_824) -> None:
        """Set how many bytes a value may have."""
        self.set_db_conf("proto-max-bulk-len", size)

    def set_eviction_strategy(self, strategy: str) -> None:
        """Set what is dropped when memory is full; by default nothing is."""
        self.set_db_conf("maxmemory-policy", strategy)

    def enable_checkpoints(self, frequency: int) -> NoReturn:
        """Raise an error that says when its data are saved."""
        raise UnsupportedError("its data are saved when it is stopped (save=True, the default)")

    def remove_stale_files(self) -> NoReturn:
        """Raise an error that says how it starts empty."""
        raise UnsupportedError(
            "exp.start(db, force=True) starts it empty; save=False keeps nothing"
        )

    def set_path(self, path: Any) -> NoReturn:
        """Raise an error that says where it lies."""
        raise UnsupportedError(f"its folder is <exp_path>/{self.name}; give another exp_path")

    def _elsewhere(self, *_: Any, **__: Any) -> NoReturn:
        """Raise an error that says where it runs."""
        raise UnsupportedError(WHERE)

    set_walltime = set_hosts = reset_hosts = set_batch_arg = set_run_arg = _elsewhere
