"""An experiment as what is run: Snakemake is started on its config, and ended."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ensemake.check.names import rule_name
from ensemake.errors import GenerateError, RunFailedError, RunningError, UnsupportedError
from ensemake.member.generate import generate
from ensemake.member.layout import store_layout
from ensemake.member.plan import Work
from ensemake.paths import share, snakefile
from ensemake.python.database import Orchestrator
from ensemake.python.described import CONFIG, Item, ensemble_of
from ensemake.python.entities import Ensemble
from ensemake.python.launcher_settings import SrunSettings
from ensemake.python.named_output import link_output
from ensemake.python.slurm_allocation import step_environ
from ensemake.python.values import listed_stores
from ensemake.python.watched import Watched, stores_among
from ensemake.results import runs
from ensemake.results.outcomes import outcomes, status_lines

PROFILES = {"pals": "pbs"}  # of launchers that have none of their own
UNNAMED = "orchestrator"  # a store that no script has named
TOLD = 5  # failed members that an error tells in full


class Started(Watched):
    """Generates, starts and stops."""

    def generate(
        self,
        *args: Item | Orchestrator,
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
        stores, others = stores_among(args)
        if stores and not others:  # they have no files
            return
        items = self._chosen("generate", others)
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
        *args: Item | Orchestrator,
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
            (``ensemble.models[0]``), these alone. Stores are started first, and run until `stop`
            or the end of this process; what is started meanwhile and names no other uses them.
        block, summary
            Wait for the end, else the run goes on without us; print what is about to run.
        kill_on_interrupt
            With ``block``: Ctrl-C ends the run and its jobs, else only the waiting.
        force, check
            Run completed members again, start stores empty. With ``block``: raise an error if one
            did not complete.
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
        stores, others = stores_among(args)
        for store in stores:
            self._hold(store, force)
        if stores and not others:
            return
        items, owners = self._taken(others)
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

    def _taken(self, others: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """Return what is to be started, and the entities that it belongs to."""
        items = list(self._chosen("start", others, members=True))
        for item in items:
            if not ensemble_of(item):
                self.entities[item.name] = item
        owners = [*{self._owner(item).name: self._owner(item) for item in items}.values()]
        self._give_store(owners)
        return items, owners

    def _hold(self, store: Orchestrator, force: bool) -> None:
        self.databases[store.name] = store
        layout = store_layout(self.place.folder, store.name)
        is_in_job = not os.environ.keys().isdisjoint(("SLURM_JOB_ID", "PBS_NODEFILE"))
        store.hold(layout, self.launcher != "local" and not is_in_job, is_loaded=not force)

    def _give_store(self, owners: list[Item]) -> None:
        """As in SmartSim: what is started while a store runs uses it, if it names no other."""
        active = [name for name, store in self.databases.items() if store.is_active()]
        if len(active) != 1 and UNNAMED not in active:
            return
        read = [self.entities[x] for one in owners for x in one.reads_from if x in self.entities]
        for owner in [*owners, *read]:
            if owner.database is None and not owner.data.get("colocated_db"):
                owner.database = UNNAMED if UNNAMED in active else active[0]

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
        parts = [item for item in items if ensemble_of(item)]
        whole = [rule for x in items if not ensemble_of(x) for rule in self._targets(x)]
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
        """Whether there are jobs to submit; who uses a store of this script has none for it."""
        return any(
            item.batch_settings is not None
            or not all(self.databases[name].is_active() for name in listed_stores(item.database))
            for item in self.entities.values()
        )

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

    def stop(self, *args: Item | Orchestrator) -> None:
        """End the runs that any of these belong to, with their jobs; what is not run is left.

        Stores are saved and ended, after those.

        Raises
        ------
        TypeError, ValueError
            If one is neither a model nor an ensemble; if none is given.
        RunningError
            If it is run on another machine.
        """
        stores, others = stores_among(args)
        if others or not stores:
            self._stop(self._chosen("stop", others))
        for store in stores:
            store.release()

    def _stop(self, items: Iterable[Item]) -> None:
        for run in runs.alive(self.place.folder, [item.name for item in items]):
            runs.stop(run)
        self._reap()

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

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


def _allocation_of(items: list[Item]) -> str | None:
    """Return the allocation that settings name; batches are jobs of their own."""
    settings = [item.run_settings for item in items if not item.is_batched]
    found = {run.alloc if isinstance(run, SrunSettings) else None for run in settings}
    if len(found) > 1:
        raise UnsupportedError("entities of different allocations (alloc=) are started one by one")
    return found.pop() if found else None


def _named(failed: list[str]) -> str:
    more = f" and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
    return f"not completed: {', '.join(failed[:TOLD])}{more}"


def _notebook() -> Any:
    """Return what shows progress in a notebook, or None if this is none."""
    if "IPython" not in sys.modules:
        return None
    from ensemake.python.notebook import is_notebook, watch

    return watch if is_notebook() else None
