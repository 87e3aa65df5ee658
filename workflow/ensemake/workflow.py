"""The only module that knows Snakemake: it turns a config into what the rules ask for.

State is read from the members' status.json when Snakemake builds its graph, and only what is
pending becomes a job: a finished member costs one small read, however often the workflow is run.
In a cluster job Snakemake reads the workflow again for one job; nothing is expanded there.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, partial
from inspect import Parameter
from math import prod
from pathlib import Path
from typing import Any

from snakemake.logging import logger
from snakemake.utils import available_cpu_count

from ensemake.atomic import write_atomically
from ensemake.batch.allocation import CPUS, allocation, own_node
from ensemake.check import check_config, check_shape, rule_name
from ensemake.cluster.end_reasons import cluster_reason, explain
from ensemake.cluster.resources import batch_resources, member_resources
from ensemake.cluster.slurm_jobs import submit_plainly
from ensemake.cluster.slurm_polling import be_patient
from ensemake.config.faults import ConfigError, Fault
from ensemake.config.schema import BatchSettings, Config, Model, Resource
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.lock import free_dead_lock
from ensemake.member.command import resource
from ensemake.member.files import sources
from ensemake.member.launchers import STEPS
from ensemake.member.layout import Layout, config_copy, layout, root
from ensemake.member.plan import Plan, Planned, Work
from ensemake.paths import share
from ensemake.results import provenance
from ensemake.results.collect import collected_digest, members_digest
from ensemake.results.provenance import VARIABLE
from ensemake.show.page import page_path
from ensemake.show.progress import EXPECTED

DEFAULT_CONFIG = "config/config.yaml"
SAID_PARAMETERS = "_overwrite_params"  # what Snakemake takes instead of inspecting a function
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
        self.document = _document(workflow, config)
        with _Told():
            self.config: Config = (check_config if self.is_main else check_shape)(self.document)
        if self.is_main:
            free_dead_lock(root(self.config))
        else:
            provenance.join_run(self.config)
        self.entities = [EntityRules(self, name) for name in self.config.entities]
        self.batched = [entity for entity in self.entities if entity.is_batched]
        self.single = [entity for entity in self.entities if not entity.is_batched]
        self.ended: list[tuple[list[Path], str]] = []  # members whose job the cluster ended, why

    @property
    def tables(self) -> list[str]:
        """Results of every entity: tables and plots."""
        return [path for entity in self.entities for path in [entity.results, *entity.plots]]

    @property
    def page(self) -> str:
        """The overview of the experiment."""
        return str(page_path(self.config))

    @property
    def at_once(self) -> list[str]:
        """How many jobs a cluster gets at once, as an option of the preview."""
        nodes = self.workflow.resource_settings.nodes
        return ["--at-once", str(nodes)] if nodes is not None else []

    @cached_property
    def saved(self) -> str:
        """Path of the config as it is run now, saved for the scripts."""
        path = config_copy(self.config)
        if self.is_main:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self.config.model_dump_json(indent=2).encode())
        return str(path)

    def log(self, target: str) -> str:
        """Log file of a target."""
        return str(config_copy(self.config).with_name(f"{target}.log"))

    def command(self, script: str) -> list[str]:
        """Return the words that run one of the scripts."""
        return [sys.executable, str(share() / "scripts" / script)]

    def shell(self, script: str, arguments: str) -> str:
        """Return a shell command that runs a script: as a param, its path would cause reruns.

        Ctrl-C is for the members; a script of a second ends by itself, with its table whole.
        """
        words = shlex.join(self.command(script)).replace("{", "{{").replace("}", "}}")
        patience = "" if script == "batch.py" else "trap '' INT; "
        return f"{patience}{words} {arguments}"


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


class _Told:
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
    with _Told():
        if len(files) > 1:
            fault = Fault((), f"only one --configfile can be used, {len(files)} were given")
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
        """Marker of a generated chunk."""
        return str(self.layout.generated("{chunk}"))

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
    def plots(self) -> list[str]:
        """Pictures: one per metric, in two formats; none without metrics or parameters."""
        folder = self.layout.directory / "plots"
        names = self.settings.metrics if self.settings.params and not self.layout.is_model else ()
        return [str(folder / f"{name}.{kind}") for name in names for kind in ("svg", "png")]

    @property
    def own_files(self) -> list[str]:
        """All that the generate step writes for a member."""
        folder = self.layout.member("{member}")
        targets = [source.target for source in sources(self.settings.files, Path())]
        return [str(folder / name) for name in ["run.sh", "params.json", *targets]]

    def log(self, job: str) -> str:
        """Log file of a kind of job."""
        return str(self.layout.state / "logs" / job) + ".log"

    # ---- what is to be done; only ever asked in the main process ----

    @cached_property
    def work(self) -> Work:
        """The members, expanded once."""
        document = self.experiment.document
        with _Told():
            try:
                return Work(self.experiment.config, self.name)
            except ConfigError as error:
                faults = [document.fault(f.path, f.message) for f in error.faults]
                raise ConfigError(document.file, faults) from None

    @cached_property
    def pending(self) -> list[Planned]:
        """Members that have to run; markers that claim otherwise are taken away."""
        if not self.experiment.is_main:
            return []
        # markers first: one that appears after this look belongs to a run that is under way
        marked = _stems(self.layout.state, ".done")
        pending = self.work.planned if self._is_forced else self.work.pending()
        for place in map(self._place, pending):
            if place in marked:
                self.layout.done(place).unlink(missing_ok=True)
        return pending

    @property
    def _is_forced(self) -> bool:
        """Whether the command line asks to run the members again (-R, -F)."""
        settings = self.experiment.workflow.dag_settings
        rule = f"batch_{self.rule}" if self.is_batched else self.rule
        return bool(settings.forceall or rule in settings.forcerun)

    @cached_property
    def chunks(self) -> dict[str, Plan]:
        """Pending members in plans, which are saved for the scripts."""
        forced = time.time_ns() if self._is_forced else 0
        left = [] if forced or not self.pending else self._left_in_queue()
        chunks = dict(self.work.chunks(self.pending, forced, left)) if self.pending else {}
        if self.experiment.is_main:
            self._forget_other_chunks(chunks)
        for chunk, plan in chunks.items():
            self._save(chunk, plan)
        return chunks

    def _left_in_queue(self) -> list[str]:
        """Batches that were submitted to a cluster by a run that never learned their end."""
        jobs_of = self.experiment.workflow.persistence._get_external_jobids
        saved = sorted(_stems(self.layout.state, ".plan.json")) if self.is_batched else []
        return [chunk for chunk in saved if jobs_of([str(self.layout.done(chunk))])]

    def _save(self, chunk: str, plan: Plan) -> None:
        path, generated = self.layout.plan(chunk), self.layout.generated(chunk)
        write_atomically(path, plan.as_json().encode())
        if not all(Path(member.directory, "run.sh").exists() for member in plan.members):
            generated.unlink(missing_ok=True)
        if not generated.exists():
            os.utime(path)  # newer than the members' files: the reason to write them again
        if self.is_batched:  # its members are pending, so it is not done
            self.layout.done(chunk).unlink(missing_ok=True)

    def _forget_other_chunks(self, chunks: Collection[str]) -> None:
        """What other plans generated may be overwritten by these, so it no longer counts."""
        for chunk in _stems(self.layout.state, ".generated") - set(chunks):
            self.layout.generated(chunk).unlink(missing_ok=True)

    @cached_property
    def _chunk_of(self) -> dict[str, str]:
        return {self._place(m): chunk for chunk, plan in self.chunks.items() for m in plan.members}

    # ---- input functions, params, commands ----

    def all_generated(self, wildcards: object) -> list[str]:
        """Markers of all chunks that have to be generated."""
        return [str(self.layout.generated(chunk)) for chunk in self.chunks]

    @of_wildcards
    def generated_for(self, wildcards: Any) -> list[str]:
        """Marker of the chunk that a member, or a batch, belongs to."""
        if not self.experiment.is_main:
            return []
        chunk = getattr(wildcards, "chunk", None) or self._chunk_of.get(self._member(wildcards))
        return [str(self.layout.generated(chunk))] if chunk else []

    def all_done(self, wildcards: object) -> list[str]:
        """Markers of all that has to run, and a file newer than the table if that is out of date.

        A marker that is missing is no reason for Snakemake to make the table anew, a newer input
        is: the stamp while members are pending, else the status written last (by hand, say).
        """
        if not self.experiment.is_main:
            return []
        self.asked = True
        if not self.pending:
            return self._newest_status()
        EXPECTED[self.name] = len(self.pending)
        names: Collection[str] = [self._place(member) for member in self.pending]
        if self.is_batched:  # one that may be under way has members that are complete by now
            names = self.chunks
            EXPECTED[self.name] = sum(len(plan.members) for plan in self.chunks.values())
        return [*(str(self.layout.done(name)) for name in names), self._stamp()]

    def _stamp(self) -> str:
        """Write a new stamp; equal content would count as no change."""
        stamp = {"pending": len(self.pending), "seen": time.time_ns()}
        write_atomically(self.layout.stamp, json.dumps(stamp).encode())
        return str(self.layout.stamp)

    def _newest_status(self) -> list[str]:
        files = (f"{member.directory}/status.json" for member in self.work.planned)
        return sorted(files, key=os.path.getmtime)[-1:]

    def planned_for(self, wildcards: Any) -> list[str]:
        """Plan and marker of a member's chunk: newer than its files if they have to be written."""
        chunk = self._chunk_of.get(self._member(wildcards))
        if chunk is None:
            return []
        return [str(self.layout.plan(chunk)), str(self.layout.generated(chunk))]

    def plan(self, wildcards: Any) -> str:
        """Path of a chunk's plan."""
        return str(self.layout.plan(wildcards.chunk))

    @property
    def script(self) -> str:
        """Path of a member's run.sh."""
        return str(self.layout.member("{member}") / "run.sh")

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
        return members_digest(self.work) if self.experiment.is_main else ""

    def results_digest(self, wildcards: object) -> str:
        """Changes when results.csv has to, apart from new results."""
        return collected_digest(self.work) if self.experiment.is_main else ""

    @cached_property
    def _planned(self) -> dict[str, Planned]:
        if not self.experiment.is_main:
            return {}
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
            return [Path(member.directory) for member in self.chunks[wildcards.chunk].members]
        return [self.layout.member(self._member(wildcards))] if job.rule.name == self.rule else []

    # ---- resources ----

    @property
    def batch_threads(self) -> int:
        """On one machine a batch has it to itself."""
        is_submitted = self.experiment.workflow.resource_settings.nodes is not None
        return 1 if is_submitted else int(self.experiment.workflow.cores)

    @property
    def batch_resources(self) -> dict[str, Resource]:
        """Resources of a batch."""
        return batch_resources(self._batch, self.settings.resources)

    @property
    def preamble(self) -> str:
        """Shell lines that are run before the members of a batch."""
        return "\n".join(self._batch.preamble)

    @property
    def _batch(self) -> BatchSettings:
        assert self.settings.batch_settings is not None
        return self.settings.batch_settings

    @property
    def threads(self) -> int | Callable[..., int]:
        """CPUs of a member on one machine: tasks times cpus_per_task."""
        if any(map(_is_template, self.settings.resources.values())):
            return lambda wildcards, attempt: self._cpus(wildcards, attempt)
        return self._cpus(None, 1)

    @property
    def resources(self) -> dict[str, Resource | Callable[..., Resource]]:
        """A member's resources in Snakemake's names; those of a site's plugins beside them."""
        asked = member_resources(self.settings)
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
        return dict(json.loads(path.read_text(encoding="utf-8")))


def _is_template(value: Resource) -> bool:
    return isinstance(value, str) and "{" in value


def _stems(folder: Path, suffix: str) -> set[str]:
    """Return what lies in a folder and below it with this suffix, without it."""
    found = (f"{path}/{name}" for path, _, names in os.walk(folder) for name in names)
    return {path[len(f"{folder}/") : -len(suffix)] for path in found if path.endswith(suffix)}


def begin_run(experiment: ExperimentRules) -> None:
    """Leave a record of a run that runs members, and mend what we need of the executor."""
    pending = {e.name: len(e.pending) for e in experiment.entities if e.asked and e.pending}
    if pending:
        provenance.record_start(experiment.config, pending)
    if experiment.workflow.local_exec:
        _start_at_once(experiment.workflow)
    else:
        _follow_jobs(experiment)


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


def tell_summary(experiment: ExperimentRules, succeeded: bool) -> None:
    """Tell what became of the members that were to run, and where to look.

    After a failure the tables are written here: Snakemake starts no job whose inputs failed.
    """
    for folders, reason in experiment.ended:  # again: some may only have been ending
        explain(folders, reason, os.environ.get(VARIABLE, ""))
    provenance.record_end(experiment.config, succeeded)
    asked = [entity.name for entity in experiment.entities if entity.asked]
    if not asked:
        return
    script = share() / "scripts" / ("status.py" if succeeded else "results.py")
    only = [word for name in asked for word in ("--entity", name)]
    words = [sys.executable, str(script), *only, experiment.saved]
    told = subprocess.run(words, check=False, capture_output=True, text=True)
    where = f"Tables and plots: {root(experiment.config)}, all on one page: {experiment.page}"
    text = (told.stdout + told.stderr).rstrip() + (f"\n{where}" if succeeded else "")
    # the logger keeps the order of what is seen, and puts it into the log file too
    logger.info(text, extra={"is_summary": True})
