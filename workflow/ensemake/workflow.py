"""Snakemake's face: it turns a config into what the rules ask for.

State is read from the members' status.json when Snakemake builds its graph, and only what is
pending becomes a job: a finished member costs one small read, however often the workflow is run.
Looking writes nothing (``-n``, ``--dag``, ``--report``); a run takes the lock of each entity that
it is about to work on, and only then writes what its jobs read.
In a cluster job Snakemake reads the workflow again for one job; nothing is expanded there.
"""

import atexit
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from inspect import Parameter
from math import prod
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from snakemake.exceptions import IncompleteCheckpointException
from snakemake.jobs import Job
from snakemake.logging import logger
from snakemake.utils import available_cpu_count

from ensemake.atomic import LARGEST, PRIVATE, clear_dead, read_whole, write_atomically
from ensemake.batch.allocation import CPUS, allocation, own_node
from ensemake.batch.runner import CARRY_ON
from ensemake.check import check_config, check_shape, expanded, rule_name
from ensemake.cluster.end_reasons import cluster_reason, explain
from ensemake.cluster.resources import batch_resources, member_resources
from ensemake.cluster.slurm_jobs import submit_plainly
from ensemake.cluster.slurm_polling import be_patient
from ensemake.config.faults import ConfigError, Fault
from ensemake.config.inputs import Choice
from ensemake.config.schema import BatchSettings, Config, Model, Resource, shareable
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.errors import RunningError, file_fault
from ensemake.lock import hold
from ensemake.member.command import resource
from ensemake.member.expansion import Expansion
from ensemake.member.files import sources
from ensemake.member.launchers import STEPS
from ensemake.member.layout import Layout, config_copy, layout, root
from ensemake.member.plan import Plan, Planned, Work, plan_id, save_work
from ensemake.member.state import State, StatusFile, is_generated, state
from ensemake.paths import DEFAULT_CONFIG, share
from ensemake.results import provenance
from ensemake.results.choose import choose
from ensemake.results.collect import members_digest, results_state
from ensemake.results.outcomes import read_collected
from ensemake.results.provenance import VARIABLE
from ensemake.results.series import series_path
from ensemake.show.page import page_path
from ensemake.show.progress import CARRYING_ON, EXPECTED
from ensemake.sweep.upstream import choices, takes_from

SAID_PARAMETERS = "_overwrite_params"  # what Snakemake takes instead of inspecting a function
PATIENCE_S = 5.0  # of one who has stopped a run, for its tables
ATTEMPT = "ensemake_attempt"  # a resource, for only those know it
NOT_CONFIG = ("confirm",)  # --config keys that are questions answered, not settings


class ExperimentRules:
    """The config as rules see it.

    Parameters
    ----------
    workflow
        Snakemake's workflow object.
    config
        Snakemake's merged config: used as it is if no file stands behind it (a module).
    """

    def __init__(self, workflow: Any, config: Mapping[str, Any]) -> None:
        self.is_main = bool(workflow.is_main_process)
        self.workflow = workflow
        if self.is_main:
            _keep_to_what_is_here(workflow)
            _log_as_far_as_there_is_room()
        self.document = _document(workflow, config)
        with _ExitOnFaults():
            self.config: Config = (check_config if self.is_main else check_shape)(self.document)
        self.root = root(self.config)
        if any(word.partition("=")[0] == "--report" for word in sys.argv):
            # it would hold the file; this copy is without the values of environment variables
            workflow.configfiles[:] = [path for path in [config_copy(self.root)] if path.exists()]
        self.is_module = not workflow.modifier.is_main_snakefile()
        if not self.is_main:
            provenance.join_run(self.root)
        self.checkpoints = workflow.globals["checkpoints"]  # those of this module
        self.expansion = Expansion(self.config, choose=self._choose)
        self.entities = [EntityRules(self, name) for name in self.config.entities]
        self.by_name = {entity.name: entity for entity in self.entities}
        self.batched = [entity for entity in self.entities if entity.is_batched]
        self.single = [entity for entity in self.entities if not entity.is_batched]
        self.ended: list[tuple[list[Path], str]] = []  # members whose job the cluster ended, why
        self.is_stopped = False  # by a signal

    @property
    def tables(self) -> list[str]:
        """Results of every entity: tables and plots."""
        return [path for entity in self.entities for path in [entity.results, *entity.plots]]

    @property
    def sources(self) -> "list[EntityRules]":
        """Those whose ends others wait for, or whose members end in jobs of others."""
        return [entity for entity in self.entities if entity.is_source or entity.rides_with]

    def verdicts(self, wildcards: object) -> list[str]:
        """Markers of the sources whose members all completed, as far as some are to run."""
        return [path for entity in self.sources for path in entity.verdict(wildcards)]

    def _choose(self, work: Work, choice: Choice | None) -> list[str] | None:
        return choose(work, choice, self.by_name[work.entity].has_ended)

    @property
    def page(self) -> str:
        """The overview of the experiment."""
        return str(page_path(self.config))

    @property
    def at_once(self) -> list[str]:
        """How many jobs a cluster gets at once, as an option of the preview."""
        nodes = self.workflow.resource_settings.nodes
        return ["--at-once", str(nodes)] if nodes is not None else []

    @property
    def is_run(self) -> bool:
        """Whether this process runs jobs; known when Snakemake builds its graph, not before."""
        workflow = self.workflow
        is_asked = workflow.executor_plugin is None or workflow.dryrun or workflow.touch
        return self.is_main and not is_asked

    @cached_property
    def begun(self) -> str:
        """Id of this run, which begins when it is first asked for."""
        seen = shareable(self.config)
        for folder in (self.root, Path(self.saved).parent, Path(self.saved).with_name("runs")):
            clear_dead(folder)
        write_atomically(Path(self.saved), seen.model_dump_json(indent=2).encode())
        run = provenance.new_run()
        if self.is_module:  # Snakemake calls no hooks of a module
            provenance.record_start(self.root, self.config, {})
            atexit.register(tell_summary, self)
        return run

    @property
    def saved(self) -> str:
        """Path of the config as it is run, saved for the scripts of a run; without secrets."""
        return str(config_copy(self.root))

    def asked(self, wildcards: object) -> str:
        """Path of the config as it is now, for questions: they leave nothing behind."""
        descriptor, name = tempfile.mkstemp(prefix="ensemake-", suffix=".json")
        atexit.register(Path(name).unlink, missing_ok=True)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(self.config.model_dump_json())
        return name

    def log(self, target: str) -> str:
        """Log file of what a run makes of the whole experiment."""
        return str(Path(self.saved).with_name(f"{target}.log"))

    def question_log(self, target: str) -> str:
        """Log file of a question: not among the results, which may be somebody else's."""
        return f".snakemake/log/ensemake-{target}.log"

    def make_anew(self, paths: Iterable[object]) -> None:
        """Have Snakemake make files whether they are there or not, and whatever their age.

        Dates tell nothing where clocks differ, and its records may be gone; we know.
        """
        self.workflow.dag.forcefiles.update(map(str, paths))

    def command(self, script: str) -> list[str]:
        """Return the words that run one of the scripts."""
        return [sys.executable, str(share() / "scripts" / script)]

    def ask(self, question: str) -> list[str]:
        """Return the words of the command that answers a question about a saved config."""
        # -P: a file of the working directory may be called as a module is
        return [sys.executable, "-P", "-m", "ensemake.cli", question, "--saved"]

    def shell(self, script: str, arguments: str) -> str:
        """Return a shell command that runs a script: as a param, its path would cause reruns."""
        words = shlex.join(self.command(script)).replace("{", "{{").replace("}", "}}")
        return f"{words} {arguments}"


def _keep_to_what_is_here(workflow: Any) -> None:
    """Without a cluster's queue, run no more at once than this machine or allocation holds."""
    if workflow.resource_settings.nodes is not None:  # jobs are submitted
        return
    os.environ[CPUS] = str(workflow.cores)
    nodes = allocation(os.environ)
    memory = [node.mem_mb for node in nodes if node.mem_mb is not None]
    if "mem_mb" not in workflow.global_resources and len(memory) == len(nodes):
        workflow.register_resource("mem_mb", sum(memory))
    is_elsewhere = [node.name for node in nodes] != [own_node(os.environ, nodes)]
    if "SLURM_JOB_ID" in os.environ and is_elsewhere:
        os.environ[STEPS] = "1"
        if workflow.cores == available_cpu_count():  # --cores all
            workflow.register_resource("_cores", sum(node.cpus for node in nodes))
    # Many sites leave all CPUs of a shared node in sight of a PBS job.
    if "PBS_NODEFILE" in os.environ and workflow.cores == available_cpu_count():
        workflow.register_resource("_cores", nodes[0].cpus)


def _log_as_far_as_there_is_room() -> None:
    """On a full disk, lines of Snakemake's log file are left out; it would show frames for each."""
    tell = logging.Handler.handleError

    def handle(handler: logging.Handler, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            tell(handler, record)

    if tell.__module__ == logging.__name__:  # the workflow is read once more in one process
        logging.Handler.handleError = handle  # type: ignore[method-assign,assignment]


class _ExitOnFaults:
    """Ends with the message alone where a config is at fault: a traceback tells a user nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError):
            print(error, file=sys.stderr, flush=True)
            raise SystemExit(1)


def _document(workflow: Any, config: Mapping[str, Any]) -> Document:
    settings = workflow.config_settings
    overrides = {k: v for k, v in settings.config.items() if k not in NOT_CONFIG}
    if config and not settings.configfiles and not settings.config:
        return Document("the module's config", dict(config))
    files = settings.configfiles or [Path(DEFAULT_CONFIG)]
    with _ExitOnFaults():
        if len(files) > 1:
            message = f"only one --configfile can be used, {len(files)} were given"
            fault = Fault((), f"{message}; a target is written before it, or behind --")
            raise ConfigError(os.path.relpath(files[-1]), [fault])
        document = load_yaml(Path(os.path.relpath(files[0])))
    if isinstance(document.data, dict):
        document.override(overrides)
    return document


def of_wildcards(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method that each member asks: as taking the wildcards alone.

    Snakemake inspects a function some ten times for each job to find its parameters, a tenth of
    what a job costs; a function that says them is not inspected. Without the mark it works as well.
    """
    known = {"wildcards": Parameter("wildcards", Parameter.POSITIONAL_OR_KEYWORD)}
    setattr(function, SAID_PARAMETERS, known)
    return function


class EntityRules:
    """One model or ensemble, in the terms of rules: paths with wildcards, input functions."""

    def __init__(self, experiment: ExperimentRules, name: str) -> None:
        self.experiment = experiment
        self.name = name
        self.rule = rule_name(name)
        self.settings: Model = experiment.config.entities[name]
        self.layout: Layout = layout(experiment.config, name)
        self.is_batched = self.settings.batch_settings is not None
        self.asked = False  # whether this run was to run members

    # ---- paths ----

    @property
    def done(self) -> str:
        """Marker of a member, or of a batch."""
        return str(self.layout.done("{chunk}" if self.is_batched else "{member}"))

    @property
    def generated(self) -> str:
        """Marker of a generated chunk; ``look`` is empty in a run."""
        return str(self.layout.state) + "/{look}{chunk}.generated"

    def _generated(self, chunk: str) -> str:
        """Marker that is not there: a run takes the last one's away, a question has its own.

        Forcing it would not do: below a forced job Snakemake looks no further than `ancient`.
        """
        place = chunk if self.experiment.is_run else f"asked/{chunk}"
        return str(self.layout.generated(place))

    @property
    def members(self) -> str:
        """Table of the members."""
        return str(self.layout.directory / "members.csv")

    @property
    def results(self) -> str:
        """Table of the results."""
        return str(self.layout.directory / "results.csv")

    @property
    def parquet(self) -> str:
        """Table of the results with its types, for those who ask for it."""
        return str(self.layout.directory / "results.parquet")

    @property
    def series(self) -> list[str]:
        """Table of the curves, if there are some."""
        return [str(series_path(self.layout.directory))] if self.settings.series else []

    @property
    def plots(self) -> list[str]:
        """Pictures: one per series and metric, in two formats; of metrics, if parameters vary."""
        folder = self.layout.directory / "plots"
        metrics = self.settings.params and not self.layout.is_model and self.settings.metrics
        names = [*(metrics or ()), *self.settings.series]
        return [str(folder / f"{name}.{kind}") for name in names for kind in ("svg", "png")]

    @property
    def own_files(self) -> list[str]:
        """All that the generate step writes for a member."""
        folder = self.layout.member("{member}")
        found = sources(self.settings.files, Path())  # what all members get
        targets = [one.target for one in found if one.kind not in ("inner", "folder")]
        return [str(folder / name) for name in ["run.sh", "params.json", *targets]]

    def log(self, job: str) -> str:
        """Log file of a kind of job."""
        return str(self.layout.state / "logs" / job) + ".log"

    # ---- what is to be done; only ever asked in the main process ----

    @cached_property
    def work(self) -> Work:
        """The members, expanded once."""
        with _ExitOnFaults():
            return expanded(self.experiment.document, self.experiment.expansion.work, self.name)

    @cached_property
    def sources(self) -> "list[EntityRules]":
        """Those that it takes from."""
        return [self.experiment.by_name[name] for name in takes_from(self.settings)]

    @cached_property
    def is_source(self) -> bool:
        """Whether others take from it."""
        others = self.experiment.config.entities.values()
        return any(self.name in takes_from(other) for other in others)

    @cached_property
    def carries_on(self) -> bool:
        """Whether others go on when members of it have failed: its jobs end well then.

        A job of one member that fails holds up just what needs it, which is as it should be.
        """
        takers = [other for other in self.experiment.entities if self in other.sources]
        return any(
            self.is_batched or one.is_batched or one.carries_on or self in one._chosen_from
            for one in takers
        )

    @property
    def carry_on(self) -> str | Callable[..., str]:
        """Shell words by which a job's last attempt ends well, for those that wait for its end."""
        return self._carry_on if self.carries_on else ""

    def _carry_on(self, wildcards: object, resources: Any) -> str:
        attempt = getattr(resources, ATTEMPT, 1)
        is_last = attempt > (self.retries or self.experiment.workflow.execution_settings.retries)
        return f"export {CARRY_ON}=1;" if is_last else ""

    # ---- members that are chosen by what others have left: known when those have ended ----

    @property
    def ended(self) -> str:
        """Marker of a source all of whose members have ended."""
        return str(self.layout.state / "all.ended")

    @property
    def has_ended(self) -> bool:
        """Whether all members have ended that this run had to run."""
        return self.ended in self.experiment.workflow.checkpoints.created_output

    @cached_property
    def _chosen_from(self) -> "list[EntityRules]":
        """Those whose results decide which members there are, or what they take."""
        by_results = [one.members for one in choices(self.settings).values() if one.by_results]
        lenient = [name for name, one in self.settings.inputs.items() if one.allow_failed]
        names = dict.fromkeys([*by_results, *lenient])
        return [self.experiment.by_name[name] for name in names]

    def wait(self) -> None:
        """Raise Snakemake's exception for what is not known yet; return once all is known."""
        for source in self.sources:
            source.wait()
        for source in self._chosen_from:
            if source.pending and not source.has_ended:
                getattr(self.experiment.checkpoints, f"ended_{source.rule}").get()

    def known(self, wildcards: object) -> list[str]:
        """No files, once the members are known: an input function."""
        if self.experiment.is_main:
            self.wait()
        return []

    @property
    def is_known(self) -> bool:
        """Whether the members are known already."""
        try:
            self.wait()
        except IncompleteCheckpointException:
            return False
        return True

    def verdict(self, wildcards: object) -> list[str]:
        """Marker that says that all members completed; none if none is to run."""
        if not self.experiment.is_main:
            return []
        self.wait()
        is_told = self.carries_on or self.rides_with is not None
        return [self.completed] if is_told and self.pending else []

    @property
    def completed(self) -> str:
        """Marker of a source all of whose members completed."""
        return str(self.layout.state / "all.completed")

    # ---- the look: what is to be done; writes nothing ----

    @cached_property
    def states(self) -> list[tuple[State, StatusFile | None]]:
        """What became of each member; in a run, since nobody else can work on it."""
        if self.experiment.is_run:
            self._hold()
        elif self.experiment.workflow.dryrun:
            _look_at_what_is_protected()
        work = self.work
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
        if not self.experiment.is_main:
            return []
        if self._is_forced:
            return self.work.planned
        both = zip(self.work.planned, self.states, strict=True)
        return [member for member, (now, _) in both if now != "completed"]

    @property
    def _is_forced(self) -> bool:
        """Whether the command line asks to run the members again (-R, -F)."""
        settings = self.experiment.workflow.dag_settings
        rule = f"batch_{self.rule}" if self.is_batched else self.rule
        own = bool(settings.forceall or rule in settings.forcerun)
        return own or any(source._is_forced for source in self.sources)

    @cached_property
    def chunks(self) -> dict[str, Plan]:
        """Pending members in plans; in a run, saved for the scripts."""
        chunks = {**self._plans, **self.riders}
        if self.experiment.is_run:
            self._apply(chunks)
        names = self._plans if self.is_batched else map(self._place, self.pending)
        self.experiment.make_anew(map(self.layout.done, names))
        if self.pending and self in self.experiment.sources:
            self.experiment.make_anew([self.ended, self.completed])
        return chunks

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        """Plans of the members that have jobs of their entity's own."""
        riding = {member.name for plan in self.riders.values() for member in plan.members}
        pending = [member for member in self.pending if member.name not in riding]
        left = [] if self._forced or not pending else self._left_in_queue()
        plans = dict(self.work.chunks(pending, self._forced, left)) if pending else {}
        followers = [entity for entity in self.experiment.entities if entity.rides_with is self]
        return dict(self._followed(plan, followers) for plan in plans.values())

    @cached_property
    def _forced(self) -> int:
        return time.time_ns() if self._is_forced else 0

    # ---- members that run in the jobs of those they follow ----

    @cached_property
    def rides_with(self) -> "EntityRules | None":
        """The entity in whose jobs members run."""
        batch = self.settings.batch_settings
        return self.experiment.by_name[batch.with_] if batch and batch.with_ else None

    def _followed(self, plan: Plan, entities: "Iterable[EntityRules]") -> tuple[str, Plan]:
        """Return a plan with those that follow its members, under its id."""
        names = {member.name for member in plan.members}
        follow = [
            follower for entity in entities if (follower := entity.following(self.name, names))
        ]
        whole = replace(plan, followers=follow) if follow else plan
        return plan_id(whole), whole

    def following(self, source: str, names: set[str]) -> Plan | None:
        """Return a plan of the pending members that follow one of these; None if there are none."""
        if not self.is_known:
            return None
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

    def _left_in_queue(self) -> list[str]:
        """Batches that were submitted to a cluster by a run that never learned their end."""
        jobs_of = self.experiment.workflow.persistence._get_external_jobids
        saved = sorted(_stems(self.layout.state, ".plan.json")) if self.is_batched else []
        return [chunk for chunk in saved if jobs_of([str(self.layout.done(chunk))])]

    # ---- what a run writes before its jobs begin ----

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
        assert self.experiment.begun
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
        now, page = time.time(), self.experiment.page
        for path in [self.members, self.results, self.parquet, *self.series, *self.plots, page]:
            if os.path.exists(path) and os.path.getmtime(path) > now:
                os.utime(path)

    @cached_property
    def _chunk_of(self) -> dict[str, str]:
        return {self._place(m): chunk for chunk, plan in self.chunks.items() for m in plan.members}

    # ---- input functions, params, commands ----

    def all_generated(self, wildcards: object) -> list[str]:
        """Markers of all chunks that have to be generated; none while nobody knows the members."""
        return [self._generated(chunk) for chunk in self.chunks] if self.is_known else []

    def all_members(self, wildcards: object) -> list[str]:
        """Table of the members, if they are known already."""
        return [self.members] if self.experiment.is_main and self.is_known else []

    @of_wildcards
    def inputs_for(self, wildcards: Any) -> list[str]:
        """Markers of what a member, or the members of a batch, take from others."""
        if not self.experiment.is_main or not (self.sources or self.is_batched):
            return []
        chunk = getattr(wildcards, "chunk", None)
        member = None if chunk else self._planned.get(self._member(wildcards))
        plans = [self.chunks[chunk], *self.chunks[chunk].followers] if chunk else []
        members = [one for plan in plans for one in plan.members] + ([member] if member else [])
        taken: dict[str, dict[str, None]] = {}
        for entity, names in (both for one in members for both in one.inputs):
            if entity != self.name:  # of which followers take, in the same job
                taken.setdefault(entity, {}).update(dict.fromkeys(names))
        by_name = self.experiment.by_name
        return [path for name, names in taken.items() for path in by_name[name].ends_of(names)]

    def ends_of(self, names: Collection[str]) -> list[str]:
        """Markers of these members' ends, as far as they are to run."""
        if not self.pending:
            return []
        self._ask()
        if len(names) == len(self.work.planned):
            return [self.ended]
        return list(dict.fromkeys(self._ends[name] for name in names if name in self._ends))

    @cached_property
    def _ends(self) -> dict[str, str]:
        """Markers of the members that are to run, by name."""
        if self.is_batched:
            own = [(self.done_of(chunk), plan) for chunk, plan in self._plans.items()]
            own += [(self.rides_with.done_of(j), p) for j, p in self._rides if self.rides_with]
            return {member.name: marker for marker, plan in own for member in plan.members}
        return {m.name: str(self.layout.done(self._place(m))) for m in self.pending}

    @of_wildcards
    def generated_for(self, wildcards: Any) -> list[str]:
        """Marker of the chunk that a member, or a batch, belongs to."""
        if not self.experiment.is_main:
            return []
        chunk = getattr(wildcards, "chunk", None) or self._chunk_of.get(self._member(wildcards))
        if not chunk:
            return []
        others = [(self.experiment.by_name[p.entity], p) for p in self.chunks[chunk].followers]
        with_them = [entity._generated(plan_id(plan)) for entity, plan in others if entity.chunks]
        return [self._generated(chunk), *with_them]

    def all_done(self, wildcards: object) -> list[str]:
        """Markers of all that has to run; the table is made anew if there are any."""
        if not self.experiment.is_main:
            return []
        self.wait()
        self._ask()
        if self._collected.get("state") != self._state_hash:
            self.experiment.make_anew([self.results])
        if not self.pending:
            return []
        self.experiment.make_anew([self.results])
        return [self.ended] if self.is_source else self.all_ended(wildcards)

    def all_ended(self, wildcards: object) -> list[str]:
        """Markers of the ends of all that has to run."""
        if not self.experiment.is_main:
            return []
        names = self._plans if self.is_batched else map(self._place, self.pending)
        with_others = [self.rides_with.done_of(job) for job, _ in self._rides if self.rides_with]
        return [*(str(self.layout.done(name)) for name in names), *with_others]

    def done_of(self, place: str) -> str:
        """Marker of a member or a batch."""
        return str(self.layout.done(place))

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

    @cached_property
    def _collected(self) -> dict[str, Any]:
        """What results.csv was made from."""
        return read_collected(self.work)

    @cached_property
    def _state_hash(self) -> str:
        return results_state(self.work, self.states)

    def planned_for(self, wildcards: Any) -> list[str]:
        """Marker of a member's chunk, if its files have to be written."""
        if self.experiment.is_main:
            self.wait()
        place = self._member(wildcards)
        planned, chunk = self._planned.get(place), self._chunk_of.get(place)
        if planned and is_generated(Path(planned.directory), planned.digest):
            return []
        self.experiment.make_anew(path.replace("{member}", place) for path in self.own_files)
        return [self._generated(chunk)] if chunk else []

    def plan(self, wildcards: Any) -> str:
        """Path of a chunk's plan."""
        return str(self.layout.plan(wildcards.chunk))

    @property
    def script(self) -> str:
        """Path of a member's run.sh."""
        return str(self.layout.member("{member}") / "run.sh")

    @property
    def gathers(self) -> bool:
        """Whether a member takes from many others, whose files and results are gathered first."""
        return any(taken.members == "all" for taken in self.settings.inputs.values())

    @property
    def command(self) -> list[str] | Callable[..., list[str]]:
        """Words that run a member: its run.sh, or what gathers for it first."""
        return self._gather if self.gathers else ["bash", "-p", self.script]

    def _gather(self, wildcards: Any) -> list[str]:
        words = self.experiment.command("gather.py")
        return [*words, self._plan_for(wildcards), self.member_name(wildcards)]

    def _plan_for(self, wildcards: Any) -> str:
        chunk = self._chunk_of.get(self._member(wildcards)) if self.experiment.is_main else None
        return str(self.layout.plan(chunk)) if chunk else ""

    def member_name(self, wildcards: Any) -> str:
        """Name of a member: of a model, its only one's."""
        return Path(self._member(wildcards)).name

    @of_wildcards
    def digest(self, wildcards: Any) -> str:
        """Recipe digest of a member."""
        planned = self._planned.get(self._member(wildcards))
        return planned.digest if planned else ""

    def members_digest(self, wildcards: object) -> str:
        """Changes when members.csv has to."""
        if not self.experiment.is_main or not self.is_known:
            return ""
        assert self.chunks is not None  # a run has saved what the table is written from
        return members_digest(self.work)

    @cached_property
    def _planned(self) -> dict[str, Planned]:
        if not self.experiment.is_main:
            return {}
        self.wait()
        return {self._place(member): member for member in self.work.planned}

    def _place(self, member: Planned) -> str:
        return self.layout.place(member.name, member.directory)

    def _member(self, wildcards: Any) -> str:
        """Return the place of a member: of a model, which has no wildcard, its only one's name."""
        place = getattr(wildcards, "member", None)
        return place or next(iter(self._planned), "")

    def directories(self, job: Any) -> list[Path]:
        """Directories of the members that a job of ours runs, none for other jobs."""
        wildcards = job.wildcards
        if job.rule.name == f"batch_{self.rule}":
            plan = self.chunks[wildcards.chunk]
            plans = [plan, *plan.followers]
            return [Path(member.directory) for one in plans for member in one.members]
        return [self.layout.member(self._member(wildcards))] if job.rule.name == self.rule else []

    # ---- resources ----

    @property
    def batch_threads(self) -> int:
        """On one machine a batch has it to itself."""
        is_submitted = self.experiment.workflow.resource_settings.nodes is not None
        return 1 if is_submitted else int(self.experiment.workflow.cores)

    @property
    def batch_resources(self) -> dict[str, Any]:
        """Resources of a batch."""
        return batch_resources(self._batch, self.settings.resources) | self._attempt

    @property
    def _attempt(self) -> dict[str, Any]:
        return {ATTEMPT: lambda wildcards, attempt: attempt} if self.carries_on else {}

    @property
    def preamble(self) -> str:
        """Shell lines that are run before the members of a batch."""
        return "\n".join(self._batch.preamble)

    @property
    def _batch(self) -> BatchSettings:
        assert self.settings.batch_settings is not None
        return self.settings.batch_settings

    @property
    def retries(self) -> int | None:
        """How often a job that the cluster ended is submitted again; None: as the user says.

        On one machine run.sh goes on by itself. What does not go on ends at once.
        """
        is_submitted = self.experiment.workflow.resource_settings.nodes is not None
        return self.settings.restart.times if self.settings.restart and is_submitted else None

    @property
    def limit(self) -> str | Callable[..., str]:
        """Shell words that tell run.sh its time limit, which a profile may have changed."""
        return self._limit if "runtime" in self.settings.resources else ""

    def _limit(self, wildcards: object, resources: Any) -> str:
        return f"export ENSEMAKE_RUNTIME={shlex.quote(str(resources.runtime))};"

    @property
    def threads(self) -> int | Callable[..., int]:
        """CPUs of a member on one machine: tasks times cpus_per_task."""
        if any(map(_is_template, self.settings.resources.values())):
            return lambda wildcards, attempt: self._cpus(wildcards, attempt)
        return self._cpus(None, 1)

    @property
    def resources(self) -> dict[str, Resource | Callable[..., Resource]]:
        """A member's resources in Snakemake's names; those of a site's plugins beside them."""
        asked = member_resources(self.settings) | self._attempt
        # a function costs Snakemake several calls for each job
        return {
            name: partial(self._resource, value) if _is_template(value) else value
            for name, value in asked.items()
        }

    def _resource(self, value: Resource, wildcards: Any, attempt: int) -> Resource:
        if not _is_template(value):
            return value
        return resource(value, {**self._values(wildcards), "attempt": attempt})

    def _cpus(self, wildcards: Any, attempt: int) -> int:
        given = self.settings.resources
        sizes = [given[key] for key in ("tasks", "cpus_per_task") if key in given]
        return prod(int(self._resource(size, wildcards, attempt)) for size in sizes)

    def _values(self, wildcards: Any) -> dict[str, Any]:
        """A member's values; in a job, as its directory has them."""
        planned = self._planned.get(self._member(wildcards))
        if planned:
            return planned.values
        path = self.layout.member(self._member(wildcards)) / "params.json"
        return dict(json.loads(read_whole(path, LARGEST)))


def _is_template(value: Resource) -> bool:
    return isinstance(value, str) and "{" in value


def _stems(folder: Path, suffix: str) -> set[str]:
    """Return what lies in a folder and below it with this suffix, without it."""
    found = (f"{path}/{name}" for path, _, names in os.walk(folder) for name in names)
    return {path[len(f"{folder}/") : -len(suffix)] for path in found if path.endswith(suffix)}


def _look_at_what_is_protected() -> None:
    """Snakemake refuses to look at a job whose output may not be written, though it only looks."""

    async def nothing(job: Job) -> None: ...

    Job.check_protected_output = nothing


def begin_run(experiment: ExperimentRules) -> None:
    """Leave a record of a run that runs members, and mend what we need of the executor."""
    _heed_signals(experiment)
    asked = [entity for entity in experiment.entities if entity.asked]  # as far as it is known
    pending = {entity.name: len(entity.pending) for entity in asked if entity.pending}
    with _as_far_as_there_is_room():
        if pending:
            provenance.record_start(experiment.root, experiment.config, pending)
    if experiment.workflow.local_exec:
        _start_at_once(experiment.workflow)
    else:
        _follow_jobs(experiment)


def _heed_signals(experiment: ExperimentRules) -> None:
    """Have a signal that ends Snakemake end what makes tables, too: a metric may take long."""
    for number in (signal.SIGINT, signal.SIGTERM):
        heed = signal.getsignal(number)
        if callable(heed):  # not SIGINT of a run that was started with &
            signal.signal(number, partial(_stop, experiment, heed))


def _stop(experiment: ExperimentRules, heed: Callable[..., Any], *arguments: Any) -> None:
    experiment.is_stopped = True
    ours = {str(path) for path in (share() / "scripts").glob("*.py") if path.name != "batch.py"}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not ours.isdisjoint(process.cmdline()[1:2]):
                process.terminate()
    heed(*arguments)


def _start_at_once(workflow: Any) -> None:
    """Without a cluster no submission is to be paced; the limit's last timer would be waited for.

    Without its timers nothing looks at the queue until a job ends, so one look must fill all CPUs.
    """
    scheduler = workflow.scheduler
    scheduler.job_rate_limiter = None
    if getattr(scheduler, "subsample", None):
        scheduler.subsample = max(scheduler.subsample, workflow.cores)


def _follow_jobs(experiment: ExperimentRules) -> None:
    """Have members told why the cluster ended their jobs, and mend what Slurm's plugin lacks."""
    executor = experiment.workflow.scheduler._executor
    report = executor.report_job_error

    def explained(info: Any, msg: str | None = None, **more: Any) -> None:
        reason = cluster_reason(msg or "", filter(None, more.get("aux_logs") or ()))
        if reason and not info.job.is_group():
            folders = [path for e in experiment.entities for path in e.directories(info.job)]
            experiment.ended.append((folders, reason))
            explain(folders, reason, os.environ.get(VARIABLE, ""))
        report(info, msg=msg, **more)

    executor.report_job_error = explained
    if type(executor).__module__ == "snakemake_executor_plugin_slurm":
        be_patient(executor)
        submit_plainly(executor, VARIABLE, os.environ.get(VARIABLE, ""))


def tell_summary(experiment: ExperimentRules, succeeded: bool | None = None) -> None:
    """Tell what became of the members that were to run, and where to look.

    After a failure the tables are written here: Snakemake starts no job whose inputs failed.
    Without its word (a module is not told) it succeeded if nothing is left to do.
    """
    if succeeded is None:
        succeeded = not any(e.work.pending() for e in experiment.entities if e.asked)
    with _as_far_as_there_is_room():
        for folders, reason in experiment.ended:  # again: some may only have been ending
            explain(folders, reason, os.environ.get(VARIABLE, ""))
        provenance.record_end(experiment.root, succeeded)
    asked = [entity.name for entity in experiment.entities if entity.asked]
    if not asked:
        return
    with _as_far_as_there_is_room(), suppress(KeyboardInterrupt):  # enough of it
        text = _summary(experiment, asked, succeeded)
        if experiment.is_module:  # at its end the process has no logger any more
            print(text, file=sys.stderr)
        else:  # the logger keeps the order of what is seen, and puts it into the log file too
            logger.info(text, extra={"is_summary": True})


@contextmanager
def _as_far_as_there_is_room() -> Iterator[None]:
    """Tell that a disk is full, in place of frames of Snakemake's."""
    try:
        yield
    except OSError as error:
        print(file_fault(error), file=sys.stderr, flush=True)


def _summary(experiment: ExperimentRules, asked: list[str], succeeded: bool) -> str:
    """Tell the state; after a failure with new tables, for as long as somebody is patient."""
    config = experiment.asked(None)
    status, results = ([*experiment.ask(q), config, "--", *asked] for q in ("status", "results"))
    try:
        if succeeded:
            where = f"Tables and plots: {experiment.root}, all on one page: {experiment.page}"
            return f"{_told(status)[0]}\n{where}"
        text, code = _told(results, PATIENCE_S if experiment.is_stopped else None)
        return f"{_told(status)[0]}\n{text}" if code else text
    except subprocess.TimeoutExpired:
        late = f"In {PATIENCE_S:.0f} s no tables were made: ensemake results makes them"
        return f"{_told(status)[0]}\n{late}"
    finally:
        Path(config).unlink()


def _told(words: list[str], seconds: float | None = None) -> tuple[str, int]:
    """Return what a question is answered with, and its exit code."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=seconds)
    return (done.stdout + done.stderr).rstrip(), done.returncode
