"""One call of Snakemake on a config: what it is to do, and the little of Snakemake that we use.

In a cluster job Snakemake reads the workflow again for one job; nothing is expanded there.
"""

import atexit
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.utils import available_cpu_count

from ensemake.atomic import clear_dead, write_atomically
from ensemake.batch.allocation import CPUS, allocation, own_node
from ensemake.check.config import check_config, check_shape
from ensemake.config.faults import ConfigError, Fault
from ensemake.config.inputs import Choice
from ensemake.config.schema import Config, shareable
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.member.expansion import Expansion
from ensemake.member.launchers import STEPS
from ensemake.member.layout import Layout, config_copy, root, store_layout
from ensemake.member.plan import Work
from ensemake.paths import DEFAULT_CONFIG, share
from ensemake.results import provenance
from ensemake.results.choose import choose
from ensemake.show.page import page_path
from ensemake.store.checkpoint import CHECKPOINT, is_held
from ensemake.workflow.faults import ExitOnFaults

NOT_CONFIG = ("confirm",)  # --config keys that are questions answered, not settings


class Invocation:
    """A config, and what this process of Snakemake's is to do with it.

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
        with ExitOnFaults():
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

    def _choose(self, work: Work, choice: Choice | None) -> list[str] | None:
        return choose(work, choice, self.has_ended(work.layout))

    def has_ended(self, layout: Layout) -> bool:
        """Whether all members of a source have ended that this run had to run."""
        return str(layout.ended) in self.workflow.checkpoints.created_output

    @cached_property
    def held(self) -> dict[str, str]:
        """Stores that a script holds, with the file by which jobs find each."""
        if not self.is_main:
            return {}
        layouts = {name: store_layout(self.root, name) for name in self.config.databases}
        paths = {name: layout.state / CHECKPOINT for name, layout in layouts.items()}
        return {name: str(path) for name, path in paths.items() if is_held(path)}

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
        return provenance.new_run()

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


def _document(workflow: Any, config: Mapping[str, Any]) -> Document:
    settings = workflow.config_settings
    overrides = {k: v for k, v in settings.config.items() if k not in NOT_CONFIG}
    if config and not settings.configfiles and not settings.config:
        return Document("the module's config", dict(config))
    files = settings.configfiles or [Path(DEFAULT_CONFIG)]
    with ExitOnFaults():
        if len(files) > 1:
            message = f"only one --configfile can be used, {len(files)} were given"
            fault = Fault((), f"{message}; a target is written before it, or behind --")
            raise ConfigError(os.path.relpath(files[-1]), [fault])
        document = load_yaml(Path(os.path.relpath(files[0])))
    if isinstance(document.data, dict):
        document.override(overrides)
    return document
