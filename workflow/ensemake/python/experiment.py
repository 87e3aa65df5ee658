"""The Python interface: an `Experiment` is a config, and Snakemake is what runs it.

The config is saved as ``experiment.yaml`` in the experiment's folder before anything runs, so that
``snakemake --configfile`` continues what a script or a notebook began. All that is told about the
state of things is read from the members' files: another process sees the same.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.atomic import write_atomically
from ensemake.batch.allocation import workload_manager
from ensemake.check import check_config, check_shape, rule_name
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.config.yamltext import config_text
from ensemake.errors import (
    GenerateError,
    NotYetKnownError,
    RunFailedError,
    RunningError,
    UnsupportedError,
)
from ensemake.member.expansion import Expansion
from ensemake.member.generate import generate
from ensemake.member.plan import Work
from ensemake.member.state import job_of
from ensemake.paths import expanded_path, share, snakefile
from ensemake.python.batch_settings import BATCH_CLASSES, BatchSettings
from ensemake.python.container import Singularity
from ensemake.python.database import STARTS, Database
from ensemake.python.entities import Ensemble, Model
from ensemake.python.launcher_settings import SrunSettings, run_settings
from ensemake.python.loading import loaded, loaded_databases
from ensemake.python.named_output import link_output
from ensemake.python.settings import RunSettings
from ensemake.python.slurm_allocation import step_environ
from ensemake.python.statuses import TERMINAL, Status, status_of
from ensemake.python.telemetry import Telemetry
from ensemake.python.values import Place
from ensemake.results import runs
from ensemake.results.choose import choose
from ensemake.results.collect import results_frame
from ensemake.results.outcomes import Outcome, outcomes, status_lines
from ensemake.show.preview import preview_lines

if TYPE_CHECKING:
    from pandas import DataFrame

LAUNCHERS = ("local", "slurm", "pbs", "pals")
PROFILES = {"pals": "pbs"}  # of launchers that have none of their own
CONFIG = "experiment.yaml"
VERBOSITY = ("info", "debug", "developer")
TOLD = 5  # failed members that an error tells in full
COMMENT = """\
Written by ensemake's Python interface. To continue without Python, from {base}:
snakemake --snakefile "$(ensemake path snakefile)" --profile local --configfile {file}"""

Item = Model | Ensemble
_Known = dict[str, tuple[Outcome, Status]]
KINDS: dict[str, type[Item]] = {"models": Model, "ensembles": Ensemble}


class Experiment:
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
        self.databases: dict[str, Database] = {}
        self._children: list[subprocess.Popen[bytes]] = []  # kept so that they are reaped

    @property
    def exp_path(self) -> str:
        """The experiment's folder."""
        return str(self.place.folder)

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
        interface: str | None = None,
        db_identifier: str = "orchestrator",
        batch_settings: BatchSettings | None = None,
        **keys: Any,
    ) -> Database:
        """Return a new store in memory, for ``database=`` of those that share it; see `Database`.

        It runs in one job with them, the one that ``batch_settings`` describe.
        """
        self._check_name(db_identifier, path)
        keys |= {"port": port, "nodes": db_nodes, "interface": interface}
        store = Database(db_identifier, batch_settings, keys)
        self.databases[db_identifier] = store
        return store

    def reconnect_orchestrator(self, checkpoint: str) -> Database:
        """Raise an error that says what there is in place of stores that outlive a script."""
        raise UnsupportedError(f"{STARTS}; with save=True (the default) it goes on with its data")

    def _check_name(self, name: str, path: str | os.PathLike[str] | None) -> None:
        if not isinstance(name, str):
            raise AttributeError(f"a model or an ensemble needs a name, which is text, not {name}")
        self.place.check_path(name, path)

    # ---- the config ----

    def as_config(self) -> dict[str, Any]:
        """Return the config that this experiment is; members of ensembles stand in those."""
        own = [item for item in self.entities.values() if not _ensemble_of(item)]
        found = {
            kind: {item.name: item.as_config() for item in own if isinstance(item, of_kind)}
            for kind, of_kind in KINDS.items()
        }
        found["databases"] = {name: store.as_config() for name, store in self.databases.items()}
        kept = {kind: part for kind, part in found.items() if part or kind in self.written}
        return {**self.head, **kept}

    def save(self) -> Path:
        """Write the config into the experiment's folder and return its path.

        Raises
        ------
        ConfigError
            If it cannot be run; every fault is named.
        """
        check_config(self._document(), self.place.base)
        data = self._with_running(self.as_config())
        path = self.place.folder / CONFIG
        comment = COMMENT.format(base=self.place.base, file=self.place.shown(path))
        write_atomically(path, config_text(data, comment).encode())
        write_atomically(self._session, json.dumps(self._settings()).encode())
        return path

    def _with_running(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep what another process runs now: its jobs read this file too."""
        running = {name for run in runs.alive(self.place.folder) for name in run.entities}
        path = self.place.folder / CONFIG
        if running - self.entities.keys() and path.exists():
            saved = load_yaml(path).data
            for kind in ("models", "ensembles"):
                kept = {k: v for k, v in saved.get(kind, {}).items() if k in running}
                data[kind] = {**kept, **data.get(kind, {})}
            if stores := {**saved.get("databases", {}), **data.get("databases", {})}:
                data["databases"] = stores
        return data

    @property
    def _session(self) -> Path:
        return self.place.folder / ".ensemake" / "session.json"

    def _settings(self) -> dict[str, str]:
        return {"name": self.name, "launcher": self.launcher, "base": str(self.place.base)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Experiment":
        """Return the experiment that was saved in a folder, or as a config file.

        Parameters
        ----------
        path
            The experiment's folder, or its ``experiment.yaml``.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        file = Path(os.path.abspath(path))
        file = file / CONFIG if file.is_dir() else file
        if not file.exists():
            raise FileNotFoundError(f"no experiment was saved as {file}")
        document = load_yaml(file)
        check_shape(document)
        experiment = cls.__new__(cls)
        experiment._restore(document.data, file.parent)
        return experiment

    def _restore(self, config: dict[str, Any], folder: Path) -> None:
        try:
            known = json.loads((folder / ".ensemake" / "session.json").read_text("utf-8"))
        except OSError:  # a config that no script wrote
            known = {}
        base = Path(known.get("base", Path.cwd()))
        if not base.is_dir():  # the project was moved
            base = Path.cwd()
        results = expanded_path(config.get("results", "results"))
        root = base / results / config["experiment"]
        self.name = known.get("name", config["experiment"])
        self.launcher = known.get("launcher", "local")
        self.place = Place(base, Path(os.path.abspath(root)), self.as_config)
        self.head = {k: config[k] for k in config if k not in {*KINDS, "databases"}}
        self.written = set(config)
        self.entities = dict(loaded(config, self.place, self.launcher))
        self.databases = loaded_databases(config, self.launcher)
        self._children = []

    def _document(self) -> Document:
        return Document(f"experiment {self.name}", self.as_config())

    def _works(self, items: Iterable[Item]) -> list[Work]:
        """Expand entities, as the workflow would."""
        expansion = Expansion(check_shape(self._document()), self.place.base, choose)
        return [expansion.work(item.name) for item in items]

    # ---- generating, starting, stopping ----

    def generate(
        self,
        *args: Item,
        tag: str | tuple[str, str] | None = None,
        overwrite: bool = False,
        verbose: bool = False,
    ) -> None:
        """Write the directories of members that have not completed.

        Parameters
        ----------
        args
            Models and ensembles, at least one.
        tag
            Text around the tags of configured files; a pair for open and close.
        overwrite
            Accepted; files are always brought up to date, and results are never deleted.
        verbose
            Print what was written.

        Raises
        ------
        ValueError
            If none is given.
        ConfigError
            If the experiment cannot be run.
        GenerateError
            If directories could not be written; an OSError.
        """
        items = self._chosen("generate", args)
        for item in items if tag else ():
            item.set_tag(tag or ";")
        self.save()
        for work in self._works(items):
            pending = work.pending()
            for _, plan in work.chunks(pending):
                faults = generate(plan, self.place.base)
                if faults:
                    raise GenerateError("\n".join(faults))
            if verbose:
                print(f"{work.entity}: {len(pending)} directories in {self.exp_path}/{work.entity}")

    def start(
        self,
        *args: Item,
        block: bool = True,
        summary: bool = False,
        kill_on_interrupt: bool = True,
        force: bool = False,
        check: bool = True,
        options: Iterable[str] = (),
    ) -> None:
        """Run what has not completed.

        Parameters
        ----------
        args
            Models and ensembles, at least one; else a ValueError. Of members of an ensemble
            (``ensemble.models[0]``), these alone.
        block, summary
            Wait for the end, else the run goes on without us; print what is about to run.
        kill_on_interrupt
            With ``block``: Ctrl-C ends the run and its jobs, else only the waiting.
        force, check
            Run completed members again. With ``block``: raise an error if one did not complete.
        options
            Further words for Snakemake's command line.

        Raises
        ------
        RunFailedError
            After all that could run has run, if members failed; names them.
        RunningError
            If another process runs one of them and ``block`` is false. Else it is waited for.
        ConfigError
            If the experiment cannot be run; nothing was started.
        """
        items = self._chosen("start", args, members=True)
        for item in items:
            if not _ensemble_of(item):
                self.entities[item.name] = item
        owners = [*{self._owner(item).name: self._owner(item) for item in items}.values()]
        if summary:
            print(self._launch_summary(owners))
        process = self._start(items, owners, block, force, list(options))
        if not block:
            self._children.append(process)
            return
        code, works = self._wait(process, owners, kill_on_interrupt), self._works(owners)
        link_output(works)
        if check:
            self._raise_for(works, code, {item.name for item in items})

    def _start(
        self,
        items: list[Item],
        owners: list[Item],
        block: bool,
        force: bool,
        options: list[str],
    ) -> subprocess.Popen[bytes]:
        names = [owner.name for owner in owners]
        self.as_config()  # what cannot be run is told before anything is waited for
        background = not block or _notebook() is not None
        alloc = _allocation_of(items)
        command = self._command(items, force, options, alloc)
        environ = step_environ(alloc) if alloc else None
        while True:
            try:
                return runs.start(
                    command,
                    self.place.base,
                    self.place.folder,
                    names,
                    self.save,
                    background,
                    environ,
                )
            except RunningError as error:
                if not block:
                    raise
                print(f"{error}; waiting for its end", file=sys.stderr)
                for run in runs.alive(self.place.folder, names):
                    runs.wait(run)

    def _command(
        self, items: list[Item], force: bool, options: list[str], alloc: str | None
    ) -> list[str]:
        rules = [self._run_rule(item) for item in items] if force else []
        parts = [item for item in items if _ensemble_of(item)]
        whole = [rule for x in items if not _ensemble_of(x) for rule in self._targets(x)]
        return [
            *(sys.executable, "-m", "snakemake"),
            *(() if self._is_all(items) else [*whole, *self._markers(parts, force)]),
            *("--snakefile", snakefile()),
            *("--configfile", self.place.shown(self.place.folder / CONFIG)),
            *("--profile", self._profile(alloc)),
            *(["--forcerun", *rules] if rules else []),
            *options,
        ]

    def _is_all(self, items: list[Item]) -> bool:
        """Whether this is all that the config describes: then the workflow's own target serves."""
        data = self._with_running(self.as_config())
        described = {*data.get("models", ()), *data.get("ensembles", ())}
        return described == {item.name for item in items}

    def _targets(self, item: Item) -> list[str]:
        """Return the rules that collect and plot one entity."""
        rule = rule_name(item.name)
        entry = item.as_config()
        plotted = isinstance(item, Ensemble) and entry.get("metrics") and entry.get("params")
        return [f"collect_{rule}", *([f"plot_{rule}"] if plotted else [])]

    def _markers(self, models: list[Item], force: bool) -> list[str]:
        """Return the files that say that members of ensembles are done."""
        wanted = {model.name for model in models}
        owners = {self._owner(model).name: self._owner(model) for model in models}
        for owner in owners.values():
            if owner.is_batched or force:
                what = "runs its members in batches" if owner.is_batched else "is forced whole"
                raise UnsupportedError(f"{owner.name} {what}: start {owner.name}, not a member")
        return [
            str(work.layout.done(work.layout.place(member.name, member.directory)))
            for work in self._works(owners.values())
            for member in work.planned
            if member.name in wanted
        ]

    def _run_rule(self, item: Item) -> str:
        rule = rule_name(item.name)
        return f"batch_{rule}" if item.is_batched else rule

    def _profile(self, alloc: str | None) -> str:
        """Return the profile of the launcher: the user's own, if there is one."""
        name = PROFILES.get(self.launcher, self.launcher)
        if name == "slurm" and "SLURM_JOB_ID" in os.environ and not self._has_batches():
            name = "local"  # in an allocation, members are its steps
        name = "local" if alloc else name
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        own = home / "snakemake" / name
        return str(own if own.is_dir() else share() / "profiles" / name)

    def _has_batches(self) -> bool:
        return any(item.is_batched for item in self.entities.values())

    def _wait(
        self, process: subprocess.Popen[bytes], items: list[Item], kill_on_interrupt: bool
    ) -> int:
        try:
            notebook = _notebook()
            if notebook is not None:
                notebook(process, lambda: self._counts(items))
            return process.wait()
        except KeyboardInterrupt:
            if kill_on_interrupt:
                self._stop(items)
                process.wait()
            raise

    def _raise_for(self, works: list[Work], code: int, wanted: set[str]) -> None:
        """Raise an error if one of these entities or members did not complete."""
        failed = [
            work.entity if work.layout.is_model else outcome.member.name
            for work in works
            for outcome in outcomes(work)
            if outcome.state != "completed"
            and not wanted.isdisjoint((work.entity, outcome.member.name))
        ]
        if failed:
            lines = [line for work in works for line in status_lines(work)]
            raise RunFailedError("\n".join([_named(failed), *lines]), failed)
        if code:
            raise RunFailedError(
                f"all members completed, but Snakemake ended with exit status {code}; "
                f"its messages are above, or in {runs.folder(self.place.folder)}"
            )

    def stop(self, *args: Item) -> None:
        """End the runs that any of these belong to, with their jobs; what is not run is left.

        Raises
        ------
        TypeError, ValueError
            If one is neither a model nor an ensemble; if none is given.
        RunningError
            If it is run on another machine.
        """
        self._stop(self._chosen("stop", args))

    def _stop(self, items: Iterable[Item]) -> None:
        for run in runs.alive(self.place.folder, [item.name for item in items]):
            runs.stop(run)
        self._reap()

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

    # ---- watching ----

    def poll(
        self, interval: float = 10, verbose: bool = True, kill_on_interrupt: bool = True
    ) -> None:
        """Wait until nothing of this experiment is run, by whomever.

        Parameters
        ----------
        interval
            Seconds between two lines that tell the state.
        verbose
            Whether to print these.
        kill_on_interrupt
            Whether Ctrl-C ends the runs, else only the waiting.
        """
        try:
            while runs.alive(self.place.folder):
                if verbose:
                    print(*self._progress(), sep="\n", flush=True)
                self._sleep(interval)
        except KeyboardInterrupt:
            if kill_on_interrupt:
                self._stop(self._items(()))
            raise
        link_output(self._works(self._items(())))
        self._reap()

    def _sleep(self, interval: float) -> None:
        until = time.monotonic() + interval
        while time.monotonic() < until and runs.alive(self.place.folder):
            time.sleep(min(0.5, interval))

    def _progress(self) -> Iterator[str]:
        running = {name for run in runs.alive(self.place.folder) for name in run.entities}
        for item in self._items(()):
            if item.name in running:
                yield f"{item.name}: {_counts_text(self._counts([item])[item.name])}"

    def _counts(self, items: Iterable[Item]) -> dict[str, Counter[Status]]:
        return {item.name: Counter(self.get_status(item)) for item in items}

    def finished(self, entity: Item) -> bool:
        """Tell whether all members have ended, well or not.

        Raises
        ------
        TypeError
            If it is neither a model nor an ensemble.
        ValueError
            If it has never been started.
        """
        items = self._chosen("finished", [entity], members=True)
        statuses = self.get_status(*items)
        if set(statuses) == {Status.STATUS_NEVER_STARTED}:
            raise ValueError(f"{entity.name} has not been started")
        has_ended = all(status in TERMINAL for status in statuses)
        if has_ended:
            link_output(self._works(map(self._owner, items)))
        return has_ended

    def get_status(self, *args: Item) -> list[Status]:
        """Return the status of every member: of models first, then of ensembles.

        Of the whole experiment, if it is called without arguments; of an empty list, none.

        Raises
        ------
        TypeError
            If one is neither a model nor an ensemble.
        """
        return [status for _, _, status in self._outcomes(args)]

    def _outcomes(self, args: Iterable[Item]) -> Iterator[tuple[Item, Outcome, Status]]:
        items = sorted(self._items(args, members=True), key=lambda item: _has_models(item))
        known: dict[
            str, _Known
        ] = {}  # a look for each entity, however many of its members are asked
        for item in items:
            owner = self._owner(item)
            if owner.name not in known:
                known[owner.name] = self._known(owner)
            all_of_it = known[owner.name]
            if owner is not item and item.name not in all_of_it:
                raise ValueError(f"{item.name} is no member of {owner.name} as it is now")
            for found in all_of_it.values() if owner is item else [all_of_it[item.name]]:
                yield item, *found

    def _known(self, owner: Item) -> "_Known":
        """Return the outcome and the status of an entity's members by their names."""
        run = next(iter(runs.alive(self.place.folder, [owner.name])), None)
        was_stopped = runs.was_stopped(self.place.folder, owner.name)
        try:
            found = outcomes(self._works([owner])[0])
        except NotYetKnownError:  # its members are still to be chosen
            return {}
        return {one.member.name: (one, status_of(one, run, was_stopped)) for one in found}

    def _owner(self, item: Item) -> Item:
        """Return the entity of the config that an item is, or is a member of."""
        return self.entities[_ensemble_of(item) or item.name]

    def summary(self, *args: Item, style: str = "github") -> str:
        """Return a table of all members that were started.

        JobID is that of the workload manager, on this machine the process; RunID the attempt.

        Parameters
        ----------
        args
            Models and ensembles; all of the experiment if none is given.
        style
            A format of the package tabulate, such as github, plain, html.
        """
        head = ("Name", "Entity-Type", "JobID", "RunID", "Host", "Time", "Status", "Returncode")
        found = self._outcomes(args)
        rows = [_summary_row(*outcome) for outcome in found]
        return str(tabulate(rows, head, tablefmt=style, missingval="", disable_numparse=True))

    def preview(
        self,
        *args: Item,
        verbosity_level: str = "info",
        output_format: str = "plain_text",
        output_filename: str | None = None,
    ) -> None:
        """Tell what would run: members, command, files, resources, and what looks wrong.

        Parameters
        ----------
        args
            Models and ensembles; all of the experiment if none is given.
        verbosity_level
            ``info``, or ``debug`` for the config as well.
        output_format
            Only ``plain_text``.
        output_filename
            File to write to, instead of printing.
        """
        if verbosity_level not in VERBOSITY:
            raise ValueError(f"verbosity_level is one of {', '.join(VERBOSITY)}")
        if output_format != "plain_text":
            raise UnsupportedError("output_format can only be plain_text")
        check_config(self._document(), self.place.base)
        lines = [line for work in self._works(self._items(args)) for line in preview_lines(work)]
        if verbosity_level != "info":
            lines.append(config_text(self.as_config(), "the config"))
        if output_filename:
            Path(output_filename).write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            print(*lines, sep="\n")

    def results(self, *args: Item) -> "DataFrame":
        """Return parameters, status and metrics of every member; unfinished ones too.

        Parameters
        ----------
        args
            Models and ensembles; all of the experiment if none is given. Of several, the first
            column names the one a row belongs to.
        """
        import pandas as pd  # half a second

        frames = {}
        for work in self._works(self._items(args)):
            frames[work.entity] = results_frame(work)
        if not frames:
            return pd.DataFrame()
        if len(frames) == 1:
            return next(iter(frames.values()))
        joined = pd.concat(frames, names=["entity", None])
        return joined.reset_index(level=0).reset_index(drop=True)

    def _launch_summary(self, items: list[Item]) -> str:
        lines = [
            "=== Launch Summary ===",
            f"Experiment: {self.name}",
            f"Experiment Path: {self.exp_path}",
            f"Launcher: {self.launcher}",
        ]
        for work in self._works(items):
            total, pending = len(work.planned), len(work.pending())
            programs = ", ".join(run.exe for run in work.settings.run_settings)
            lines.append(f"{work.entity}: {pending} of {total} to run, with {programs}")
        return "\n".join(lines)

    def _chosen(self, action: str, args: Iterable[Any], members: bool = False) -> list[Item]:
        """Return the entities that are given: where something is done, nothing is not all."""
        items = self._items(args, members) if args else []
        if not items:
            raise ValueError(f"{action} which? No model or ensemble is given")
        return items

    def _items(self, args: Iterable[Any], members: bool = False) -> list[Item]:
        """Return entities after the checks that all methods make; all if none are given."""
        flat = [x for arg in args for x in (arg if isinstance(arg, list | tuple) else [arg])]
        own = [item for item in self.entities.values() if not _ensemble_of(item)]
        for item in flat:
            if isinstance(item, Database):
                raise UnsupportedError(STARTS)
            if not isinstance(item, Model | Ensemble):
                raise TypeError(f"expected a model or an ensemble, not {item!r}")
            if item.place.folder != self.place.folder:
                raise ValueError(
                    f"{item.name} is of the experiment in {item.place.folder}, not of this one"
                )
            if (_ensemble_of(item) or item.name) not in self.entities:
                raise ValueError(
                    f"{item.name} is unknown to this experiment: make it or load it here"
                )
            if _ensemble_of(item) and not members:
                raise ValueError(f"{item.name} is a member of {_ensemble_of(item)}; name that")
            if isinstance(item, Ensemble) and item.is_empty:
                raise ValueError(f"{item.name} is empty. Nothing to launch.")
        twice = [name for name, n in Counter(item.name for item in flat).items() if n > 1]
        if twice:
            raise ValueError(f"two entities are named {twice[0]}; names must differ")
        return flat if args else own

    # ---- notebooks ----

    def _repr_html_(self) -> str:
        from ensemake.python.notebook import counts_table

        items = self._items(())
        return counts_table(f"{self.name} ({self.launcher})", self._counts(items))

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, {self.exp_path!r}, {', '.join(self.entities)})"


def _ensemble_of(item: Item) -> str | None:
    """Return the name of the ensemble that a model is a member of."""
    return item.ensemble if isinstance(item, Model) else None


def _allocation_of(items: list[Item]) -> str | None:
    """Return the allocation that settings name; batches are jobs of their own."""
    settings = [item.run_settings for item in items if not item.is_batched]
    found = {run.alloc if isinstance(run, SrunSettings) else None for run in settings}
    if len(found) > 1:
        raise UnsupportedError("entities of different allocations (alloc=) are started one by one")
    return found.pop() if found else None


def _has_models(item: Item) -> bool:
    return isinstance(item, Ensemble)


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


def _named(failed: list[str]) -> str:
    more = f" and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
    return f"not completed: {', '.join(failed[:TOLD])}{more}"


def _counts_text(counts: Counter[Status]) -> str:
    return ", ".join(f"{n} {status}" for status, n in counts.items())


def _summary_row(item: Item, outcome: Outcome, status: Status) -> tuple[Any, ...]:
    kind = "Ensemble member" if _has_models(item) else "Model"
    known = outcome.status
    told = (known.attempt, known.host, known.elapsed_s) if known else (None, None, None)
    name = outcome.member.name if _has_models(item) else item.name
    job = job_of(item.place.base / outcome.member.directory) if known else None
    return name, kind, job, *told, str(status), known.exit_code if known else None


def _notebook() -> Any:
    """Return what shows progress in a notebook, or None if this is none."""
    if "IPython" not in sys.modules:
        return None
    from ensemake.python.notebook import is_notebook, watch

    return watch if is_notebook() else None
