"""A store in memory as a script holds it: SmartSim's Orchestrator."""

from typing import Any

from ensemake.config import database
from ensemake.errors import UnsupportedError
from ensemake.python.batch_settings import BatchSettings
from ensemake.python.face import Face, Key, Part

STARTS = "a store starts and ends with those that share it: create_model(..., database=db)"


class Database(Face):
    """A store in memory that members of models and ensembles share. Made by `Experiment`.

    Parameters
    ----------
    name
        Its name, which is also the name of its folder.
    keys
        Keys of the config: port, interface, cpus, mem_mb, settings, modules, save, server.
    """

    section = database.Database
    home = ("databases", "databases")
    port: Key[int] = Key()
    nodes: Key[int] = Key()
    cpus: Key[int] = Key()
    mem_mb: Key[int | None] = Key()
    interface: Key[str | None] = Key()
    settings: Key[dict[str, Any]] = Key()
    modules: Key[list[str]] = Key()
    save: Key[bool] = Key()
    server: Key[str | None] = Key()
    batch_settings = Part(BatchSettings)

    def __init__(self, name: str, batch_settings: BatchSettings | None, keys: dict[str, Any]):
        super().__init__()
        self.name = name
        self.batch_settings = batch_settings
        self.assign_keys(keys)

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config's ``databases``."""
        batch = self.batch_settings
        return self.pruned(self.data) | ({"batch_settings": batch.as_config()} if batch else {})

    def get_address(self) -> list[str]:
        """Raise an error that says how programs find it."""
        raise UnsupportedError(f"{STARTS}; their programs find it by ENSEMAKE_STORE, or SSDB")

    def set_cpus(self, num_cpus: int) -> None:
        """Set how many CPUs are kept free for it."""
        self.cpus = num_cpus

    def set_db_conf(self, key: str, value: str | int) -> None:
        """Set a directive of the server."""
        self.assign("settings", {**self.settings, key: value})
