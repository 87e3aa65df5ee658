"""What is to be done for one model or ensemble, asked in the main process only.

The look writes nothing: members are expanded, their states read, pending ones put into plans. In a
run it ends with taking the entity's lock and writing what the jobs read.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from snakemake.exceptions import IncompleteCheckpointException
from snakemake.jobs import Job

from ensemake.atomic import PRIVATE, clear_dead, write_atomically
from ensemake.check.config import expanded
from ensemake.errors import RunningError, file_fault
from ensemake.lock import hold
from ensemake.member.layout import store_layout
from ensemake.member.plan import Plan, Planned, Shared, Work, key_prefix, plan_id, save_work
from ensemake.member.state import State, StatusFile, state
from ensemake.results.collect import results_state
from ensemake.results.outcomes import read_collected
from ensemake.show.progress import CARRYING_ON, EXPECTED
from ensemake.store.checkpoint import read_kept
from ensemake.store.saved import read_saved
from ensemake.sweep.upstream import choices, takes_from
from ensemake.workflow.entity_paths import EntityPaths
from ensemake.workflow.faults import ExitOnFaults


class Todo(EntityPaths):
    """The members of an entity, what became of them, and the plans of those that have to run."""

    @cached_property
    def work(self) -> Work:
        """The members, expanded once."""
        with ExitOnFaults():
            return expanded(self.invocation.document, self.invocation.expansion.work, self.name)

    @cached_property
    def sources(self) -> list[Self]:
        """Those that it takes from."""
        return [self.entities[name] for name in takes_from(self.settings)]

    @cached_property
    def is_source(self) -> bool:
        """Whether others take from it."""
        others = self.invocation.config.entities.values()
        return any(self.name in takes_from(other) for other in others)

    @cached_property
    def carries_on(self) -> bool:
        """Whether others go on when members of it have failed: its jobs end well then.

        A job of one member that fails holds up just what needs it, which is as it should be.
        """
        return any(one._is_waited_for for one in self.together)

    @property
    def _is_waited_for(self) -> bool:
        takers = [other for other in self.entities.values() if self in other.sources]
        return any(
            self.is_batched or one.is_batched or one.carries_on or self in one._chosen_from
            for one in takers
        )

    @cached_property
    def together(self) -> list[Self]:
        """Those that run in one job since they share stores; itself alone if there is none."""
        found: list[Self] = [self.entities[self.name]]
        for one in found:  # it grows
            for store in one._stores_of_jobs:
                found += [other for other in self._sharers(store) if other not in found]
        return [one for one in self.entities.values() if one in found]

    def _sharers(self, store: str) -> list[Self]:
        return [one for one in self.entities.values() if store in one.settings.stores]

    @property
    def _stores_of_jobs(self) -> list[str]:
        """Its stores, but those that a script holds: they have no job."""
        return [name for name in self.settings.stores if not self._checkpoint(name)]

    def _checkpoint(self, store: str) -> str:
        """File of the script that holds a store; "" if none does."""
        return self.invocation.held.get(store, "")

    @cached_property
    def _chosen_from(self) -> list[Self]:
        """Those whose results decide which members there are, or what they take."""
        by_results = [one.members for one in choices(self.settings).values() if one.by_results]
        lenient = [name for name, one in self.settings.inputs.items() if one.allow_failed]
        names = dict.fromkeys([*by_results, *lenient])
        return [self.entities[name] for name in names]

    @property
    def has_ended(self) -> bool:
        """Whether all members have ended that this run had to run."""
        return self.invocation.has_ended(self.layout)

    def wait(self) -> None:
        """Raise Snakemake's exception for what is not known yet; return once all is known."""
        for one in self.together:
            for source in one.sources:
                source.wait()
            for source in one._chosen_from:
                if source.pending and not source.has_ended:
                    getattr(self.invocation.checkpoints, f"ended_{source.rule}").get()

    @property
    def is_known(self) -> bool:
        """Whether the members are known already."""
        try:
            self.wait()
        except IncompleteCheckpointException:
            return False
        return True

    @cached_property
    def states(self) -> list[tuple[State, StatusFile | None]]:
        """What became of each member; in a run, since nobody else can work on it."""
        if self.invocation.is_run:
            self._hold()
        elif self.invocation.workflow.dryrun:
            _look_at_what_is_protected()
        work = self.work
        if not self.layout.directory.exists():  # a look at nothing, 100,000 times, takes a second
            return [("missing", None)] * len(work.planned)
        return [state(Path(m.directory), m.digest, work.outputs(m)) for m in work.planned]

    def _hold(self) -> None:
        try:
            hold(self.layout.lock, self.name)
        except (RunningError, OSError) as error:
            print(f"{error}; nothing was run.", file=sys.stderr, flush=True)
            raise SystemExit(1) from None

    @cached_property
    def pending(self) -> list[Planned]:
        """Members that have to run."""
        if not self.invocation.is_main:
            return []
        if self._is_forced:
            return self.work.planned
        return self._pending_with_store if self.settings.stores else self._incomplete

    @cached_property
    def _incomplete(self) -> list[Planned]:
        both = zip(self.work.planned, self.states, strict=True)
        return [member for member, (now, _) in both if now != "completed"]

    @property
    def _pending_with_store(self) -> list[Planned]:
        """With those that have not completed, those that have, but whose data are not kept."""
        if not any(one._is_forced or one._incomplete for one in self.together):
            return []
        left = {member.name for member in self._incomplete}
        kept = [self._kept(store) for store in self.settings.stores]
        return [
            member
            for member in self.work.planned
            if member.name in left
            or any(one.get(f"{self.name}/{member.name}") != member.digest for one in kept)
        ]

    def _kept(self, name: str) -> dict[str, str]:
        """Whose data a store has."""
        store = store_layout(self.invocation.root, name)
        if self._checkpoint(name):
            return read_kept(store.state)
        is_saved = self.invocation.config.databases[name].save
        return read_saved(store.state, store.directory) if is_saved else {}

    def _shares(self) -> list[Shared]:
        """The stores of its job."""
        names = dict.fromkeys(name for one in self.together for name in one.settings.stores)
        return [self._shared(name) for name in names]

    def _shared(self, name: str) -> Shared:
        settings = self.invocation.config.databases[name]
        store, sharers = store_layout(self.invocation.root, name), self._sharers(name)
        mine = [one for one in sharers if one in self.together]
        goes_on = any(len(one.pending) < len(one.work.planned) for one in mine)
        read = {other for one in mine for other in one.settings.reads_from}
        prefixes = {
            one.name: [key_prefix(one.settings, one.name, m.name) for m in one.work.planned]
            for one in sharers
            if one.name in read and one.is_known
        }
        data, state, is_loaded = str(store.directory), str(store.state), settings.save and goes_on
        return Shared(name, settings, data, state, is_loaded, prefixes, self._checkpoint(name))

    @property
    def _is_forced(self) -> bool:
        """Whether the command line asks to run the members again (-R, -F)."""
        settings = self.invocation.workflow.dag_settings
        rule = f"batch_{self.rule}" if self.is_batched else self.rule
        own = bool(settings.forceall or rule in settings.forcerun)
        return own or any(source._is_forced for source in self.sources)

    @cached_property
    def chunks(self) -> dict[str, Plan]:
        """Pending members in plans; in a run, saved for the scripts."""
        chunks = {**self._plans, **self.riders}
        if self.invocation.is_run:
            self._apply(chunks)
        names = self._plans if self.is_batched else map(self._place, self.pending)
        self.invocation.make_anew(map(self.layout.done, names))
        if self.pending and self.is_told:
            self.invocation.make_anew([self.ended, self.completed])
        return chunks

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        """Plans of the members that have jobs of their entity's own."""
        riding = {member.name for plan in self.riders.values() for member in plan.members}
        pending = [member for member in self.pending if member.name not in riding]
        left = [] if self._forced or not pending else self._left_in_queue()
        plans = dict(self.work.chunks(pending, self._forced, left)) if pending else {}
        return dict(self._followed(plan, self._companions) for plan in plans.values())

    @property
    def _companions(self) -> list[Self]:
        """Those whose members run in its jobs."""
        if self.settings.stores:
            return [one for one in self.together if one.rides_with is self]
        others = (one for one in self.entities.values() if not one.settings.stores)
        return [one for one in others if one.rides_with is self]

    @cached_property
    def _forced(self) -> int:
        is_repeated = self.settings.stores and len(self._incomplete) < len(self.pending)
        return time.time_ns() if self._is_forced or is_repeated else 0

    def _left_in_queue(self) -> list[str]:
        """Batches that were submitted to a cluster by a run that never learned their end."""
        jobs_of = self.invocation.workflow.persistence._get_external_jobids
        saved = sorted(_stems(self.layout.state, ".plan.json")) if self.is_batched else []
        return [chunk for chunk in saved if jobs_of([str(self.layout.done(chunk))])]

    @cached_property
    def rides_with(self) -> Self | None:
        """The entity in whose jobs members run; of those that share a store, the first to run."""
        if self.settings.stores:
            first = next((one for one in self.together if one.pending), self)
            return None if first is self else self.entities[first.name]
        batch = self.settings.batch_settings
        return self.entities[batch.with_] if batch and batch.with_ else None

    @property
    def is_told(self) -> bool:
        """Whether a job tells its end: others wait for that, or its members run in their jobs."""
        return self.is_source or self.has_companions

    @property
    def has_companions(self) -> bool:
        """Whether its members may run in jobs of another entity."""
        batch = self.settings.batch_settings
        return bool(self.settings.stores or (batch and batch.with_))

    def _followed(self, plan: Plan, entities: Iterable[Self]) -> tuple[str, Plan]:
        """Return a plan with those that follow its members, under its id."""
        names = {member.name for member in plan.members}
        follow = [
            follower for entity in entities if (follower := entity.following(self.name, names))
        ]
        whole = replace(plan, followers=follow) if follow else plan
        whole = replace(whole, stores=self._shares())
        return plan_id(whole), whole

    def following(self, source: str, names: set[str]) -> Plan | None:
        """Return a plan of the pending members that follow one of these; None if there are none."""
        if not self.is_known:
            return None
        if self.settings.stores:
            return self.work.plan(self.pending, self._forced) if self.pending else None
        found = [one for one in self.pending if names.issuperset(dict(one.inputs)[source])]
        return self.work.plan(found, self._forced) if found else None

    @cached_property
    def riders(self) -> dict[str, Plan]:
        """Plans of the members that run in the jobs of those they follow, by id."""
        return {plan_id(plan): plan for _, plan in self._rides}

    @property
    def _rides(self) -> Iterator[tuple[str, Plan]]:
        """The job of each such plan."""
        if self.rides_with is not None:
            for chunk, plan in self.rides_with._plans.items():
                mine = [one for one in plan.followers if one.entity == self.name]
                yield from ((chunk, one) for one in mine)

    @cached_property
    def _chunk_of(self) -> dict[str, str]:
        return {self._place(m): chunk for chunk, plan in self.chunks.items() for m in plan.members}

    @cached_property
    def _ends(self) -> dict[str, str]:
        """Markers of the members that are to run, by name."""
        if self.is_batched:
            own = [(self.done_of(chunk), plan) for chunk, plan in self._plans.items()]
            own += [(self.rides_with.done_of(j), p) for j, p in self._rides if self.rides_with]
            return {member.name: marker for marker, plan in own for member in plan.members}
        return {m.name: str(self.layout.done(self._place(m))) for m in self.pending}

    @cached_property
    def _planned(self) -> dict[str, Planned]:
        if not self.invocation.is_main:
            return {}
        self.wait()
        return {self._place(member): member for member in self.work.planned}

    @cached_property
    def _collected(self) -> dict[str, Any]:
        """What results.csv was made from."""
        return read_collected(self.work)

    @cached_property
    def _state_hash(self) -> str:
        return results_state(self.work, self.states)

    def _ask(self) -> None:
        """Note that this run is to run members."""
        self.asked = True
        if self.carries_on:
            CARRYING_ON.add(self.name)
        plans = self.chunks.values()  # a run has saved what tables are written from
        if self.pending:
            # a batch that may be under way has members that are complete by now
            in_plans = sum(len(plan.members) for plan in plans)
            EXPECTED[self.name] = in_plans if self.is_batched else len(self.pending)

    def _apply(self, chunks: Mapping[str, Plan]) -> None:
        self._hold()
        try:
            self._write(chunks)
        except OSError as error:  # a full disk
            print(f"{file_fault(error)}; nothing was run.", file=sys.stderr, flush=True)
            raise SystemExit(1) from None

    def _write(self, chunks: Mapping[str, Plan]) -> None:
        for folder in (self.layout.state, self.layout.directory, self.layout.directory / "plots"):
            clear_dead(folder)
        assert self.invocation.begun
        save_work(self.work)
        for chunk in _stems(self.layout.state, ".plan.json") - chunks.keys() if chunks else ():
            self.layout.plan(chunk).unlink(missing_ok=True)
        for chunk in _stems(self.layout.state, ".generated") if chunks else ():
            self.layout.generated(chunk).unlink()
        for chunk, plan in chunks.items():
            write_atomically(self.layout.plan(chunk), plan.as_json().encode(), PRIVATE)
        self._end_the_future()

    def _end_the_future(self) -> None:
        """Snakemake refuses to make a table from one that seems to come from the future."""
        now, page = time.time(), self.invocation.page
        for path in [self.members, self.results, self.parquet, *self.series, *self.plots, page]:
            if os.path.exists(path) and os.path.getmtime(path) > now:
                os.utime(path)


def _stems(folder: Path, suffix: str) -> set[str]:
    """Return what lies in a folder and below it with this suffix, without it."""
    found = (f"{path}/{name}" for path, _, names in os.walk(folder) for name in names)
    return {path[len(f"{folder}/") : -len(suffix)] for path in found if path.endswith(suffix)}


def _look_at_what_is_protected() -> None:
    """Snakemake refuses to look at a job whose output may not be written, though it only looks."""

    async def nothing(job: Job) -> None: ...

    Job.check_protected_output = nothing
