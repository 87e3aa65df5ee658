"""Run and batch settings that a script fills in step by step.

They only gather: what they gather becomes the ``run_settings``, ``resources`` and
``batch_settings`` of the config, which check it and turn it into commands. A launcher's option
that says how large a member is (``--ntasks``, ``-n``) becomes a resource, so that a cluster job, a
batch and the launcher's own command all go by one number.
"""

import copy
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemake.cluster.resources import pbs_words
from ensemake.config.schema import Container, Model
from ensemake.errors import UnsupportedError
from ensemake.member.launchers import option_words

OptionValue = str | int | float | None
SIZES = ("nodes", "tasks", "cpus_per_task", "runtime", "mem_mb")


@dataclass(frozen=True)
class Launcher:
    """What a launcher calls things.

    ``options`` gives the option of each setter; ``also`` further spellings of the sizes.
    """

    options: Mapping[str, str]
    also: Mapping[str, str] = field(default_factory=dict)
    reserved: tuple[str, ...] = ()
    colon: bool = False  # several programs in one command, joined by colons

    def size(self, option: str) -> str | None:
        """Return the resource that an option stands for."""
        sizes = {self.options[name]: name for name in SIZES if name in self.options}
        return sizes.get(option) or self.also.get(option)


_OPENMPI = Launcher(
    {
        "tasks": "n",
        "tasks_per_node": "npernode",
        "cpus_per_task": "cpus-per-proc",
        "hostlist": "host",
        "hostlist_from_file": "hostfile",
        "task_map": "map-by",
        "binding": "bind-to",
        "broadcast": "preload-binary",
        "verbose_launch": "verbose",
        "quiet_launch": "quiet",
    },
    {"np": "tasks", "c": "tasks"},
    ("wd", "wdir"),
    colon=True,
)

LAUNCHERS = {
    "": Launcher({name: name for name in SIZES}),
    "srun": Launcher(
        {
            "nodes": "nodes",
            "tasks": "ntasks",
            "tasks_per_node": "ntasks-per-node",
            "cpus_per_task": "cpus-per-task",
            "runtime": "time",
            "mem_mb": "mem",
            "hostlist": "nodelist",
            "hostlist_from_file": "nodefile",
            "excluded_hosts": "exclude",
            "binding": "cpu-bind",
            "broadcast": "bcast",
            "node_feature": "constraint",
            "het_group": "het-group",
            "verbose_launch": "verbose",
            "quiet_launch": "quiet",
        },
        {"N": "nodes", "n": "tasks", "c": "cpus_per_task", "t": "runtime"},
        ("chdir", "D"),
        colon=True,
    ),
    "mpirun": _OPENMPI,
    "mpiexec": _OPENMPI,
    "orterun": _OPENMPI,
    "palsmpiexec": Launcher(
        {
            "tasks": "np",
            "tasks_per_node": "ppn",
            "hostlist": "hosts",
            "binding": "cpu-bind",
            "broadcast": "transfer",
        },
        {"n": "tasks"},
        ("wd", "wdir"),
        colon=True,
    ),
    "aprun": Launcher(
        {
            "tasks": "pes",
            "tasks_per_node": "pes-per-node",
            "cpus_per_task": "cpus-per-pe",
            "hostlist": "node-list",
            "hostlist_from_file": "node-list-file",
            "excluded_hosts": "exclude-node-list",
            "binding": "cpu-binding",
            "memory_per_node": "memory-per-pe",
            "quiet_launch": "quiet",
        },
        {"n": "tasks", "d": "cpus_per_task"},
        ("wdir",),
        colon=True,
    ),
    "jsrun": Launcher(
        {
            "tasks": "np",
            "cpus_per_task": "cpu_per_rs",
            "binding": "bind",
            "tasks_per_node": "tasks_per_rs",
        },
        reserved=("chdir", "h"),
    ),
}
FOUND_ON = {
    "local": (),
    "slurm": ("srun", "mpirun", "mpiexec"),
    "pbs": ("aprun", "mpirun", "mpiexec"),
}


class RunSettings:
    """How one member is run.

    Parameters
    ----------
    exe
        Program: found on PATH, or the path of a file.
    exe_args
        Arguments: a list, or text that is split at blanks. Jinja2 over the parameters.
    run_command
        Launcher; ``auto`` is decided where the member runs.
    run_args
        Options of the launcher, with or without dashes; ``None`` for a bare flag.
    env_vars
        Environment variables of the member.
    container
        What to run it in.

    Raises
    ------
    FileNotFoundError
        If there is no such program; not looked for with a container.
    TypeError
        If it is not executable, or an argument is of a wrong type.
    """

    default_command = "auto"

    def __init__(
        self,
        exe: str,
        exe_args: str | Iterable[str] | None = None,
        run_command: str | None = None,
        run_args: Mapping[str, OptionValue] | None = None,
        env_vars: Mapping[str, Any] | None = None,
        container: "Singularity | None" = None,
    ) -> None:
        self.exe = exe if container else _program(exe)
        self.exe_args: list[str] = _words(exe_args)
        self.run_command = run_command or self.default_command
        self.run_args: dict[str, OptionValue] = {}
        self.env_vars: dict[str, str] = {}
        self.container = container
        self.mpmd: list[RunSettings] = []
        self.resources: dict[str, Any] = {}  # sizes that the launcher has no option for
        self.update_env(env_vars or {})
        for name, value in (run_args or {}).items():
            self._checked_set(name, value)

    @property
    def launcher(self) -> Launcher:
        """The launcher's vocabulary."""
        return LAUNCHERS.get(Path(self.run_command).name, LAUNCHERS[""])

    # ---- options ----

    def set(self, arg: str, value: str | None = None, condition: bool = True) -> None:
        """Set any option of the launcher; ``None`` for a bare flag."""
        if not isinstance(arg, str):
            raise TypeError(f"the name of an option is text, not {arg!r}")
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{arg}: expected text or None, not {value!r}")
        if condition:
            self._checked_set(arg, value)

    def _checked_set(self, arg: str, value: OptionValue) -> None:
        name = arg.strip().lstrip("-")
        if name in self.launcher.reserved:
            warnings.warn(f"{name} is set by ensemake and was left out", stacklevel=3)
            return
        self.run_args[name] = value.strip() if isinstance(value, str) else value

    def _put(self, what: str, value: OptionValue) -> None:
        option = self.launcher.options.get(what)
        if option:
            self.run_args[option] = value
        elif what in SIZES:
            self.resources[what] = minutes(str(value)) if what == "runtime" else value
        else:
            name = what.replace("_", " ")
            warnings.warn(f"{self.run_command}: no option for {name}; left out", stacklevel=3)

    def set_nodes(self, nodes: int) -> None:
        """Set the number of nodes of a member."""
        self._put("nodes", int(nodes))

    def set_tasks(self, tasks: int) -> None:
        """Set the number of tasks (MPI ranks) of a member."""
        self._put("tasks", int(tasks))

    def set_tasks_per_node(self, tasks_per_node: int) -> None:
        """Set the number of tasks on each node."""
        self._put("tasks_per_node", int(tasks_per_node))

    def set_cpus_per_task(self, cpus_per_task: int) -> None:
        """Set the number of CPUs of each task."""
        self._put("cpus_per_task", int(cpus_per_task))

    def set_memory_per_node(self, memory_per_node: int) -> None:
        """Set the memory on each node, in MB."""
        self._put("mem_mb", int(memory_per_node))

    def set_time(self, hours: int = 0, minutes: int = 0, seconds: int = 0) -> None:
        """Set the time limit of a member."""
        total = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        self.set_walltime(f"{total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}")

    def set_walltime(self, walltime: str) -> None:
        """Set the time limit of a member, as HH:MM:SS."""
        minutes(walltime)
        self._put("runtime", walltime)

    def set_hostlist(self, host_list: str | list[str]) -> None:
        """Run on these hosts only."""
        self._put("hostlist", _joined(host_list))

    def set_hostlist_from_file(self, file_path: str) -> None:
        """Run on the hosts that a file lists."""
        self._put("hostlist_from_file", str(file_path))

    def set_excluded_hosts(self, host_list: str | list[str]) -> None:
        """Do not run on these hosts."""
        self._put("excluded_hosts", _joined(host_list))

    def set_binding(self, binding: str) -> None:
        """Bind tasks to CPUs, in the launcher's words."""
        self._put("binding", str(binding))

    def set_cpu_bindings(self, bindings: int | list[int]) -> None:
        """Bind each task to one of these CPUs."""
        listed = bindings if isinstance(bindings, list) else [bindings]
        text = ",".join(str(int(cpu)) for cpu in listed)
        self._put("binding", f"map_cpu:{text}" if self.run_command.endswith("srun") else text)

    def set_task_map(self, task_mapping: str) -> None:
        """Place tasks, in the launcher's words."""
        self._put("task_map", str(task_mapping))

    def set_node_feature(self, feature_list: str | list[str]) -> None:
        """Run only on nodes with these features."""
        self._put("node_feature", _joined(feature_list))

    def set_broadcast(self, dest_path: str | None = None) -> None:
        """Copy the program to the nodes before it runs."""
        self._put("broadcast", dest_path)

    def set_verbose_launch(self, verbose: bool) -> None:
        """Let the launcher tell what it does."""
        self._flag("verbose_launch", verbose)

    def set_quiet_launch(self, quiet: bool) -> None:
        """Let the launcher be silent."""
        self._flag("quiet_launch", quiet)

    def _flag(self, what: str, is_on: bool) -> None:
        if is_on:
            self._put(what, None)
        else:
            self.run_args.pop(self.launcher.options.get(what, ""), None)

    # ---- program, environment ----

    def add_exe_args(self, args: str | list[str]) -> None:
        """Append arguments of the program."""
        self.exe_args += _words(args)

    def update_env(self, env_vars: Mapping[str, Any]) -> None:
        """Set environment variables of the member; values become text."""
        for name, value in env_vars.items():
            if not isinstance(value, str | int | float | bool):
                raise TypeError(f"{name}: expected text, a number or a bool, not {value!r}")
            self.env_vars[name] = str(value)

    def make_mpmd(self, settings: "RunSettings") -> None:
        """Run a second program beside this one, in one command of the launcher."""
        if not self.launcher.colon:
            raise UnsupportedError(f"{self.run_command} cannot run several programs at once")
        if self.container or settings.container:
            raise UnsupportedError("several programs in one command cannot have a container")
        self.mpmd.append(settings)

    # ---- what comes out ----

    def format_run_args(self) -> list[str]:
        """Return the options of the launcher as the words of a command."""
        return option_words(self.run_command, self.run_args)

    def format_env_vars(self) -> list[str]:
        """Return the environment variables as ``NAME=value``."""
        return [f"{name}={value}" for name, value in self.env_vars.items()]

    @property
    def needs(self) -> dict[str, Any]:
        """The member's size in the config's resources: tasks, nodes, runtime (minutes) ..."""
        found = {self.launcher.size(name): value for name, value in self.run_args.items()}
        sizes = {name: _size(name, value) for name, value in found.items() if name}
        per_node = self.run_args.get(self.launcher.options.get("tasks_per_node", ""))
        if per_node and "tasks" not in sizes:
            sizes["tasks"] = int(per_node) * int(sizes.get("nodes", 1))
        for other in self.mpmd:
            sizes["tasks"] = sizes.get("tasks", 1) + other.tasks
        return {**self.resources, **sizes}

    def as_config(self) -> dict[str, Any]:
        """Return the config's ``run_settings``; the sizes are in `needs`."""
        parts = [self, *self.mpmd]
        config = {
            **self._program(),
            "run_command": self.run_command,
            "env_vars": {k: v for part in parts for k, v in part.env_vars.items()},
            "container": self.container and self.container.as_config(),
            "mpmd": [{**other._program(), "tasks": other.tasks} for other in self.mpmd],
        }
        default = {"run_command": "auto", "env_vars": {}, "mpmd": []}
        return {k: v for k, v in config.items() if v != default.get(k)}

    @property
    def tasks(self) -> int:
        """How many tasks the program has."""
        return int(self.needs.get("tasks", 1))

    def _program(self) -> dict[str, Any]:
        kept = {k: v for k, v in self.run_args.items() if not self.launcher.size(k)}
        config = {"exe": self.exe, "exe_args": list(self.exe_args), "run_args": kept}
        return {k: v for k, v in config.items() if v}

    def __str__(self) -> str:
        words = [*self.format_run_args(), self.exe, *self.exe_args]
        return " ".join([*([] if self.run_command == "auto" else [self.run_command]), *words])


class SrunSettings(RunSettings):
    """How one member is run with srun."""

    default_command = "srun"

    def set_het_group(self, het_group: Iterable[int]) -> None:
        """Run in these components of a heterogeneous job."""
        self._put("het_group", ",".join(str(int(group)) for group in het_group))


class MpirunSettings(RunSettings):
    """How one member is run with mpirun."""

    default_command = "mpirun"


class MpiexecSettings(RunSettings):
    """How one member is run with mpiexec."""

    default_command = "mpiexec"


class OrterunSettings(RunSettings):
    """How one member is run with orterun."""

    default_command = "orterun"


class PalsMpiexecSettings(RunSettings):
    """How one member is run with the mpiexec of HPE Cray's PALS."""

    default_command = "mpiexec"

    @property
    def launcher(self) -> Launcher:
        """The vocabulary of PALS, which differs from that of Open MPI's mpiexec."""
        return LAUNCHERS["palsmpiexec"]


class AprunSettings(RunSettings):
    """How one member is run with aprun."""

    default_command = "aprun"


class JsrunSettings(RunSettings):
    """How one member is run with jsrun."""

    default_command = "jsrun"


CLASSES: dict[str, type[RunSettings]] = {
    kind.default_command: kind
    for kind in (
        SrunSettings, MpirunSettings, MpiexecSettings, OrterunSettings, AprunSettings, JsrunSettings
    )
}  # fmt: skip


def run_settings(launcher: str, run_command: str | None, **arguments: Any) -> RunSettings:
    """Return the settings for a launcher: with ``auto``, what one uses there."""
    if run_command != "auto":
        name = Path(run_command or "none").name
        kind = CLASSES.get(name, RunSettings)
        return kind(run_command=run_command or "none", **arguments)
    if launcher == "slurm":
        return SrunSettings(**arguments)
    found = next((name for name in FOUND_ON[launcher] if shutil.which(name)), None)
    settings = CLASSES.get(found or "", RunSettings)(**arguments)
    # without options for it, which launcher is left to the place where the member runs
    settings.run_command = found if found and settings.run_args else "auto"
    return settings


@dataclass
class Singularity:
    """An Apptainer or Singularity image to run members in.

    Parameters
    ----------
    image
        File, or a URI such as docker://python:3.12.
    mount
        Folders to see inside: text, a list, or a dict of source and target.
    """

    image: str
    mount: str | list[str] | Mapping[str, str] = ""

    def as_config(self) -> dict[str, Any]:
        """Return the config's ``container``."""
        bind = self.mount
        if isinstance(bind, Mapping):
            bind = [f"{source}:{target}" if target else source for source, target in bind.items()]
        listed = [part for part in bind.split(",") if part] if isinstance(bind, str) else bind
        return Container(image=self.image, bind=listed).model_dump(exclude_defaults=True)


BATCH_OPTIONS = {
    "slurm": {"cpus_per_task": "cpus-per-task", "hostlist": "nodelist"},
    "pbs": {"cpus_per_task": "ncpus", "hostlist": "host"},
    "local": {},
}


class BatchSettings:
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
    launcher
        Whose words the setters write: slurm or pbs.
    """

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
    ) -> None:
        self.launcher = launcher
        self.batch_args: dict[str, OptionValue] = {}
        self.preamble: list[str] = []
        self.size = size
        self.nodes: int | None = None
        self.runtime: int | None = None
        self.queue = queue or None
        self.account = account or None
        for name, value in (batch_args or {}).items():
            self.batch_args[name.strip().lstrip("-")] = value
        self.set_nodes(nodes or 1)
        self.set_walltime(time or "")
        self.add_preamble(preamble or [])

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
        self._put("hostlist", _joined(host_list, separator))

    def _put(self, what: str, value: OptionValue) -> None:
        option = BATCH_OPTIONS[self.launcher].get(what)
        if option is None:
            return  # a batch on this machine has no queue to tell
        self.batch_args[option] = value

    def set_resource(self, resource_name: str, value: str | int) -> None:
        """Set a resource of a PBS job: ``-l name=value``."""
        if not isinstance(value, str | int):
            raise TypeError(f"{resource_name}: expected text or a whole number, not {value!r}")
        self.batch_args[resource_name] = value

    def add_preamble(self, lines: str | list[str]) -> None:
        """Append shell lines that come before the members."""
        self.preamble += [lines] if isinstance(lines, str) else lines

    def format_batch_args(self) -> list[str]:
        """Return the further options as words of the submit command."""
        if self.launcher == "pbs":
            return pbs_words(self.batch_args)
        return option_words("srun", self.batch_args)  # sbatch writes them as srun does

    def as_config(self) -> dict[str, Any]:
        """Return the config's ``batch_settings``."""
        keys = ("size", "nodes", "runtime", "queue", "account", "batch_args", "preamble")
        given = {key: copy.copy(getattr(self, key)) for key in keys}
        return {key: value for key, value in given.items() if value not in (None, [], {})}


def from_config(entity: Model) -> tuple[RunSettings, BatchSettings | None]:
    """Return settings that a script can change from those of a config."""
    run = entity.run_settings
    kind = CLASSES.get(run.run_command, RunSettings)
    settings = kind.__new__(kind)  # the program may be elsewhere: not looked for here
    container = run.container and Singularity(run.container.image, list(run.container.bind))
    vars(settings).update(
        exe=run.exe,
        exe_args=[str(word) for word in run.exe_args],
        run_command=run.run_command,
        run_args=dict(run.run_args),
        env_vars={name: str(value) for name, value in run.env_vars.items()},
        container=container,
        mpmd=[],
        resources={},
    )
    return settings, _batch_from_config(entity)


def _batch_from_config(entity: Model) -> BatchSettings | None:
    batch = entity.batch_settings
    if batch is None:
        return None
    settings = BatchSettings()
    vars(settings).update(batch.model_dump())
    return settings


def minutes(text: str | int) -> int:
    """Return a time limit in whole minutes, rounded up.

    As Slurm and PBS read it: HH:MM:SS, MM:SS, D-HH:MM:SS, or a number of minutes.
    """
    if isinstance(text, int) or text.isdigit():
        return int(text)
    found = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):)?(\d{1,3}):(\d{1,2})", text.strip())
    if not found:
        raise ValueError(f"{text!r} is no time limit; write HH:MM:SS")
    days, hours, mins, seconds = (int(part or 0) for part in found.groups())
    return max(1, math.ceil(((days * 24 + hours) * 60 + mins) + seconds / 60))


def megabytes(text: str | int) -> int:
    """Return a size in MB; from 2000, 2000M or 2G."""
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", str(text).strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"{text!r} is no size of memory; write 2000M or 2G")
    exponent = "KMGT".index((found[2] or "M").upper()) - 1
    return math.ceil(int(found[1]) * 1024.0**exponent)


def _size(name: str, value: Any) -> Any:
    if name == "runtime":
        return minutes(value)
    return megabytes(value) if name == "mem_mb" else int(value)


def _program(exe: str) -> str:
    """Return a program's name, or its whole path, after looking whether it can be run."""
    if not isinstance(exe, str):
        raise TypeError(f"exe is the name or the path of a program, not {exe!r}")
    if "/" not in exe and shutil.which(exe):
        return exe
    path = Path(exe).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no program {exe!r} on PATH or in {Path.cwd()}")
    if not os.access(path, os.X_OK):
        raise TypeError(f"{exe!r} is not executable: chmod +x {exe}, or name its interpreter")
    return os.path.abspath(path)


def _words(args: str | Iterable[str] | None) -> list[str]:
    if args is None:
        return []
    if isinstance(args, str):
        return args.split()
    if not isinstance(args, list | tuple):
        raise TypeError(f"arguments are text or a list of texts, not {args!r}")
    for word in args:
        if isinstance(word, bool) or not isinstance(word, str | int | float):
            raise TypeError(f"an argument is text or a number, not {word!r}")
    return [str(word) for word in args]


def _joined(items: str | list[str], separator: str = ",") -> str:
    listed = [items] if isinstance(items, str) else items
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise TypeError(f"expected text or a list of texts, not {items!r}")
    return separator.join(item.strip() for item in listed)
