"""Batch settings as SmartSim has them: a thin face on the config's section."""

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ensemake.cluster.resources import pbs_words
from ensemake.config import batch
from ensemake.config.faults import ConfigError, Fault
from ensemake.member.launcher_options import OptionValue, minutes
from ensemake.member.launchers import option_words
from ensemake.python import values
from ensemake.python.face import Face, Key

BATCH_OPTIONS = {
    "slurm": {"cpus_per_task": "cpus-per-task", "hostlist": "nodelist"},
    "pbs": {"cpus_per_task": "ncpus", "hostlist": "host"},
    "local": {},
}
PBS_WORDS = ("ncpus", "host")  # resources of setters of their own


class BatchSettings(Face):
    """Many members in one cluster job.

    Parameters
    ----------
    nodes
        Nodes of the job.
    time
        Its time limit, HH:MM:SS.
    queue, account
        Queue or partition, and the account to charge.
    batch_args
        Further options of the submit command; ``None`` for a bare flag.
    size
        Members per job; all of them if None.
    preamble
        Shell lines before the members, such as ``module load foo``.
    with_
        An entity that is taken from: its members are run in the same jobs.
    launcher
        Whose words the setters write: slurm or pbs.
    """

    section = batch.BatchSettings
    home = ("models", "models", "batch_settings")

    size: Key[int | None] = Key()
    nodes: Key[int] = Key()
    runtime: Key[int | str | None] = Key()
    queue: Key[str | None] = Key()
    account: Key[str | None] = Key()
    batch_args: Key[dict[str, OptionValue]] = Key(
        lambda batch, options: values.option_names(options)
    )
    preamble = Key(lambda batch, lines: [lines] if isinstance(lines, str) else lines)
    with_: Key[str | None] = Key(
        lambda batch, other: None if other is None else values.entity_name(other), "with"
    )

    def __init__(
        self,
        nodes: int | None = None,
        time: str | None = None,
        queue: str | None = None,
        account: str | None = None,
        batch_args: Mapping[str, OptionValue] | None = None,
        size: int | None = None,
        preamble: str | list[str] | None = None,
        launcher: str = "slurm",
        with_: Any = None,
    ) -> None:
        super().__init__()
        self.with_ = with_
        self.launcher = launcher
        self.size = size
        self.queue = queue or None
        self.account = account or None
        self.batch_args = batch_args or {}
        self.preamble = preamble or []
        self.nodes = int(nodes or 1)
        self.set_walltime(time or "")

    def set_nodes(self, num_nodes: int) -> None:
        """Set the number of nodes."""
        self.nodes = int(num_nodes)

    def set_walltime(self, walltime: str) -> None:
        """Set the time limit, HH:MM:SS."""
        self.runtime = minutes(walltime) if walltime else None

    def set_queue(self, queue: str) -> None:
        """Set the queue or partition."""
        self.queue = str(queue)

    set_partition = set_queue

    def set_account(self, account: str) -> None:
        """Set the account to charge."""
        self.account = str(account)

    def set_cpus_per_task(self, cpus_per_task: int) -> None:
        """Set the CPUs of each task of the job."""
        self._put("cpus_per_task", int(cpus_per_task))

    set_ncpus = set_cpus_per_task

    def set_hostlist(self, host_list: str | list[str]) -> None:
        """Run the job on these hosts only."""
        separator = "+" if self.launcher == "pbs" else ","
        self._put("hostlist", values.joined(host_list, separator))

    def _put(self, what: str, value: OptionValue) -> None:
        option = BATCH_OPTIONS[self.launcher].get(what)
        if option:  # a batch on this machine has no queue to tell
            self.set_resource(option, value)

    def set_resource(self, resource_name: str, value: OptionValue) -> None:
        """Set a resource of a PBS job: ``-l name=value``."""
        self.batch_args = {**self.batch_args, resource_name: value}

    def set_batch_command(self, command: str) -> None:
        """Accept the submit command that is first on PATH; of another, say how it gets there."""
        found, wanted = shutil.which(Path(command).name), shutil.which(command)
        if wanted is None:
            raise FileNotFoundError(f"no program {command!r}")
        if wanted != found:
            folder = str(Path(wanted).parent)
            warnings.warn(
                f"jobs are submitted with {found}, the first on PATH; for the other write "
                f"os.environ['PATH'] = {folder!r} + os.pathsep + os.environ['PATH']",
                stacklevel=2,
            )

    def add_preamble(self, lines: str | list[str]) -> None:
        """Append shell lines that come before the members."""
        self.preamble = [*self.preamble, *([lines] if isinstance(lines, str) else lines)]

    def format_batch_args(self) -> list[str]:
        """Return the further options as words of the submit command."""
        if self.launcher == "pbs":
            return pbs_words(self.batch_args)
        return option_words("srun", self.batch_args)  # sbatch writes them as srun does


class SbatchSettings(BatchSettings):
    """Many members in one Slurm job; the arguments are in SmartSim's order."""

    def __init__(
        self,
        nodes: int | None = None,
        time: str | None = None,
        account: str | None = None,
        batch_args: Mapping[str, OptionValue] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(nodes, time, account=account, batch_args=batch_args, **arguments)


class QsubBatchSettings(BatchSettings):
    """Many members in one PBS job; the arguments are in SmartSim's order.

    Parameters
    ----------
    ncpus
        CPUs of each task of the job.
    resources
        Resources of the job: ``-l name=value``; ``select`` (a number) or ``nodes`` takes the place
        of the argument nodes, ``walltime`` of time.
    nodes, time, queue, account, batch_args, arguments
        As of `BatchSettings`.
    """

    def __init__(
        self,
        nodes: int | None = None,
        ncpus: int | None = None,
        time: str | None = None,
        queue: str | None = None,
        account: str | None = None,
        resources: Mapping[str, OptionValue] | None = None,
        batch_args: Mapping[str, OptionValue] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(nodes, time, queue, account, batch_args, launcher="pbs", **arguments)
        self._sized_by = "nodes" if nodes else ""
        if ncpus:
            self.set_ncpus(ncpus)
        for name, value in (resources or {}).items():
            if (name, self._sized_by) == ("nodes", "nodes"):
                raise _sized_twice("nodes", "nodes")
            self.set_resource(name, value)

    _sized_by = ""  # nodes, or select: a job has one of them

    @property
    def resources(self) -> dict[str, OptionValue]:
        """The job's resources by name; a copy."""
        own = {n: v for n, v in self.batch_args.items() if len(n) > 1 and n not in PBS_WORDS}
        size = {} if "select" in own else {self._sized_by or "nodes": self.nodes}
        hours, mins = divmod(int(self.runtime or 0), 60)
        time = {"walltime": f"{hours:02}:{mins:02}:00"} if self.runtime else {}
        return {**size, **time, **own}

    @resources.setter
    def resources(self, resources: Mapping[str, OptionValue]) -> None:
        kept = self.batch_args.items()
        self.batch_args = {n: v for n, v in kept if len(n) == 1 or n in PBS_WORDS}
        self._sized_by = ""
        for name, value in resources.items():
            self.set_resource(name, value)

    def set_nodes(self, num_nodes: int) -> None:
        """Set the number of nodes; an error beside ``select``."""
        self._size("nodes", num_nodes)

    def set_resource(self, resource_name: str, value: OptionValue) -> None:
        """Set a resource of the job: ``-l name=value``."""
        if resource_name == "walltime":
            self.set_walltime(str(value))
        elif resource_name in ("nodes", "select"):
            self._size(resource_name, value)
        else:
            super().set_resource(resource_name, value)

    def _size(self, word: str, value: OptionValue) -> None:
        if self._sized_by not in ("", word):
            raise _sized_twice(word, self._sized_by)
        if isinstance(value, int):
            self.nodes = value
        elif word == "select" and isinstance(value, str):
            super().set_resource(word, value)  # a statement, such as 2:ncpus=4+1:ncpus=8
        else:
            raise TypeError(f"{word}: expected a number of nodes, not {value!r}")
        self._sized_by = word


def _sized_twice(word: str, before: str) -> ConfigError:
    message = f"{word} is given beside {before}; a job of PBS has one of nodes and select, once"
    return ConfigError("the batch settings", [Fault((), message)])


def _local(**arguments: Any) -> BatchSettings:
    return BatchSettings(**arguments, launcher="local")


BATCH_KINDS: dict[str, type[BatchSettings]] = {"slurm": SbatchSettings, "pbs": QsubBatchSettings}
BATCH_CLASSES: dict[str, Callable[..., BatchSettings]] = {
    **BATCH_KINDS,
    "local": _local,
    "pals": QsubBatchSettings,
}
