"""An experiment as what is looked at: all that is told is read from the members' files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.check.config import check_config
from ensemake.config.yamltext import config_text
from ensemake.errors import NotYetKnownError, UnsupportedError
from ensemake.member.state import job_of
from ensemake.python.database import Orchestrator
from ensemake.python.described import Described, Item, ensemble_of
from ensemake.python.entities import Ensemble, Model
from ensemake.python.named_output import link_output
from ensemake.python.statuses import TERMINAL, Status, status_of
from ensemake.results import runs
from ensemake.results.collect import results_frame
from ensemake.results.outcomes import Outcome, outcomes
from ensemake.show.preview import preview_lines

if TYPE_CHECKING:
    from pandas import DataFrame

VERBOSITY = ("info", "debug", "developer")

_Known = dict[str, tuple[Outcome, Status]]


class Watched(Described):
    """What became of members, and what would run."""

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

    def get_status(self, *args: Item | Orchestrator) -> list[Status]:
        """Return the status of every member: of models first, of ensembles, then of stores.

        Of the whole experiment, if it is called without arguments; of an empty list, none.

        Raises
        ------
        TypeError
            If one is neither a model nor an ensemble.
        """
        stores, items = stores_among(args)
        found = self._outcomes(items) if items or not args else ()
        return [*(status for _, _, status in found), *(store.status for store in stores)]

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
        return self.entities[ensemble_of(item) or item.name]

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
        flat = flattened(args)
        own = [item for item in self.entities.values() if not ensemble_of(item)]
        for item in flat:
            if not isinstance(item, Model | Ensemble):
                raise TypeError(f"expected a model or an ensemble, not {item!r}")
            if item.place.folder != self.place.folder:
                raise ValueError(
                    f"{item.name} is of the experiment in {item.place.folder}, not of this one"
                )
            if (ensemble_of(item) or item.name) not in self.entities:
                raise ValueError(
                    f"{item.name} is unknown to this experiment: make it or load it here"
                )
            if ensemble_of(item) and not members:
                raise ValueError(f"{item.name} is a member of {ensemble_of(item)}; name that")
            if isinstance(item, Ensemble) and item.is_empty:
                raise ValueError(f"{item.name} is empty. Nothing to launch.")
        twice = [name for name, n in Counter(item.name for item in flat).items() if n > 1]
        if twice:
            raise ValueError(f"two entities are named {twice[0]}; names must differ")
        return flat if args else own


def flattened(args: Iterable[Any]) -> list[Any]:
    """Return what is given, and what is in lists that are given."""
    return [x for arg in args for x in (arg if isinstance(arg, list | tuple) else [arg])]


def stores_among(args: Iterable[Any]) -> tuple[list[Orchestrator], list[Any]]:
    """Return the stores of what is given, and the others."""
    flat = flattened(args)
    stores = [one for one in flat if isinstance(one, Orchestrator)]
    return stores, [one for one in flat if not isinstance(one, Orchestrator)]


def _has_models(item: Item) -> bool:
    return isinstance(item, Ensemble)


def _counts_text(counts: Counter[Status]) -> str:
    return ", ".join(f"{n} {status}" for status, n in counts.items())


def _summary_row(item: Item, outcome: Outcome, status: Status) -> tuple[Any, ...]:
    kind = "Ensemble member" if _has_models(item) else "Model"
    known = outcome.status
    told = (known.attempt, known.host, known.elapsed_s) if known else (None, None, None)
    name = outcome.member.name if _has_models(item) else item.name
    job = job_of(item.place.base / outcome.member.directory) if known else None
    return name, kind, job, *told, str(status), known.exit_code if known else None
