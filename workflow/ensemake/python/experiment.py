"""The Python interface: an `Experiment` is a config, and Snakemake is what runs it.

The config is saved as ``experiment.yaml`` in the experiment's folder before anything runs, so that
``snakemake --configfile`` continues what a script or a notebook began. All that is told about the
state of things is read from the members' files: another process sees the same.
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ensemake.batch.allocation import workload_manager
from ensemake.errors import UnsupportedError
from ensemake.member.layout import store_layout
from ensemake.python.batch_settings import BATCH_CLASSES, BatchSettings
from ensemake.python.container import Singularity
from ensemake.python.database import Orchestrator
from ensemake.python.described import Item
from ensemake.python.entities import Ensemble, Model
from ensemake.python.launcher_settings import run_settings
from ensemake.python.settings import RunSettings
from ensemake.python.started import Started
from ensemake.python.telemetry import Telemetry
from ensemake.python.values import Place
from ensemake.store.checkpoint import is_held, read_checkpoint

LAUNCHERS = ("local", "slurm", "pbs", "pals")


class Experiment(Started):
    """Models and ensembles of one folder: made, run and looked at from Python.

    Parameters
    ----------
    name
        Name of the experiment.
    exp_path
        Its folder, which must exist; by default ``name`` in the working directory, made when
        needed.
    launcher
        ``local``, ``slurm``, ``pbs``, ``pals`` (PBS with HPE Cray's mpiexec), or ``auto`` for what
        is here.

    Raises
    ------
    TypeError, NotADirectoryError
        If ``exp_path`` is no path, or no folder.
    UnsupportedError
        If there is no such launcher.
    """

    def __init__(
        self, name: str, exp_path: str | os.PathLike[str] | None = None, launcher: str = "local"
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of an experiment is text, not {name!r}")
        self.name = name
        self.launcher = _launcher(launcher)
        self.place = Place(Path.cwd(), _folder(name, exp_path), self.as_config)
        folder = self.place.folder
        self.head = {"experiment": folder.name, "results": self.place.shown(folder.parent)}
        self.written: set[str] = set()
        self.entities: dict[str, Item] = {}
        self.databases: dict[str, Orchestrator] = {}
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def telemetry(self) -> Telemetry:
        """What SmartSim's telemetry is here: nothing, and it says so."""
        return Telemetry()

    # ---- making ----

    def create_run_settings(
        self,
        exe: str,
        exe_args: str | list[str] | None = None,
        run_command: str | None = "auto",
        run_args: Mapping[str, Any] | None = None,
        env_vars: Mapping[str, Any] | None = None,
        container: Singularity | None = None,
        **arguments: Any,
    ) -> RunSettings:
        """Return settings for how one member is run; see `RunSettings`.

        For Slurm also ``alloc``, see `SrunSettings`.
        """
        return run_settings(
            self.launcher,
            run_command,
            exe=exe,
            exe_args=exe_args,
            run_args=run_args,
            env_vars=env_vars,
            container=container,
            **arguments,
        )

    def create_batch_settings(
        self,
        nodes: int | None = None,
        time: str = "",
        queue: str = "",
        account: str = "",
        batch_args: Mapping[str, Any] | None = None,
        size: int | None = None,
        preamble: str | list[str] | None = None,
        **arguments: Any,
    ) -> BatchSettings:
        """Return settings for many members in one cluster job; see `BatchSettings`.

        For PBS also ``ncpus`` and ``resources``, see `QsubBatchSettings`.
        """
        kind, own = BATCH_CLASSES[self.launcher], {"queue": queue} if queue else {}
        return kind(
            nodes=nodes,
            time=time,
            account=account,
            batch_args=batch_args,
            size=size,
            preamble=preamble,
            **own,
            **arguments,
        )

    def create_model(
        self,
        name: str,
        run_settings: RunSettings | list[RunSettings],
        params: Mapping[str, Any] | None = None,
        path: str | os.PathLike[str] | None = None,
        enable_key_prefixing: bool = False,
        batch_settings: BatchSettings | None = None,
        **keys: Any,
    ) -> Model:
        """Return a new model; one of that name is replaced. See `Model`."""
        self._check_name(name, path)
        if not isinstance(run_settings, RunSettings | list):
            raise TypeError(f"run_settings come from create_run_settings, not {run_settings!r}")
        keys |= {"key_prefixing": True} if enable_key_prefixing else {}
        model = Model(name, self.place, run_settings, params, batch_settings, **keys)
        self.entities[name] = model
        return model

    def create_ensemble(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        batch_settings: BatchSettings | None = None,
        run_settings: RunSettings | list[RunSettings] | None = None,
        replicas: int | None = None,
        perm_strategy: str | Callable[..., Any] = "all_perm",
        path: str | os.PathLike[str] | None = None,
        perm_strat: str | Callable[..., Any] | None = None,
        **keys: Any,
    ) -> Ensemble:
        """Return a new ensemble; one of that name is replaced. See `Ensemble`.

        ``perm_strat`` is another name of ``perm_strategy``. Further arguments: n_models, seed,
        params_as_args and keys of the config.
        """
        self._check_name(name, path)
        ensemble = Ensemble(
            name,
            self.place,
            params,
            batch_settings,
            run_settings,
            replicas,
            perm_strat or perm_strategy,
            **keys,
        )
        self.entities[name] = ensemble
        return ensemble

    def create_database(
        self,
        port: int = 0,
        path: str | os.PathLike[str] | None = None,
        db_nodes: int = 1,
        interface: str | list[str] | None = None,
        db_identifier: str = "orchestrator",
        **keys: Any,
    ) -> Orchestrator:
        """Return a new store in memory, see `Orchestrator`.

        ``start`` starts it in this script; else it starts in one job with those that share it
        (``database=``).
        """
        self._check_name(db_identifier, path)
        store = Orchestrator(
            port, interface, db_nodes=db_nodes, db_identifier=db_identifier, **keys
        )
        self.databases[db_identifier] = store
        return store

    def reconnect_orchestrator(self, checkpoint: str | os.PathLike[str]) -> Orchestrator:
        """Return a store that another script has started, for what this one starts.

        Parameters
        ----------
        checkpoint
            ``db.checkpoint_file`` of that script.

        Raises
        ------
        FileNotFoundError
            If the store is gone.
        """
        path = Path(checkpoint).absolute()
        if not is_held(path):
            raise FileNotFoundError(f"{path}: there is no store any more that this would stand for")
        name = read_checkpoint(path).name
        store = self.databases.setdefault(name, Orchestrator(db_identifier=name))
        store.join(path, store_layout(self.place.folder, name))
        return store

    def _check_name(self, name: str, path: str | os.PathLike[str] | None) -> None:
        if not isinstance(name, str):
            raise AttributeError(f"a model or an ensemble needs a name, which is text, not {name}")
        self.place.check_path(name, path)

    # ---- notebooks ----

    def _repr_html_(self) -> str:
        from ensemake.python.notebook import counts_table

        items = self._items(())
        return counts_table(f"{self.name} ({self.launcher})", self._counts(items))

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, {self.exp_path!r}, {', '.join(self.entities)})"


def _launcher(name: str) -> str:
    lower = str(name).lower()
    if lower == "auto":
        found = workload_manager(os.environ)
        lower = "local" if found == "none" else found
    if lower not in LAUNCHERS:
        raise UnsupportedError(f"no launcher {lower!r}; there are {', '.join(LAUNCHERS)} and auto")
    return lower


def _folder(name: str, exp_path: str | os.PathLike[str] | None) -> Path:
    if exp_path is None:
        return Path.cwd() / name
    if not isinstance(exp_path, str | os.PathLike):
        raise TypeError(f"exp_path is a path, not {exp_path!r}")
    if not os.path.isdir(exp_path):
        raise NotADirectoryError(f"exp_path is no folder: {exp_path}")
    return Path(os.path.abspath(exp_path))
