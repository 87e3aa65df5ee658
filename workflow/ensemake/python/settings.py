"""Run settings as SmartSim has them: a thin face on the config's section.

What a script sets is checked as the config is and stands in the config's form at once; nothing is
kept twice. A launcher's option that says how large a member is (``--ntasks``, ``-n``) becomes a
resource in the config, so that a cluster job, a batch and the launcher's own command all go by one
number.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from ensemake.config import run
from ensemake.errors import UnsupportedError
from ensemake.member.launcher_options import (
    SIZES,
    Launcher,
    OptionValue,
    as_resource,
    minutes,
    vocabulary,
)
from ensemake.member.launchers import option_words
from ensemake.python import values
from ensemake.python.container import Singularity
from ensemake.python.face import Face, Key


class RunSettings(Face):
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

    section = run.RunSettings
    home = ("models", "models", "run_settings")
    default_command = "auto"

    exe: Key[str] = Key(lambda own, exe: exe if own.container else values.program_path(exe))
    exe_args: Key[list[Any]] = Key(lambda own, args: values.argument_words(args))
    run_command: Key[str] = Key()
    stdin: Key[str | None] = Key()  # text for a command that asks
    env_vars: Key[dict[str, Any]] = Key(lambda own, env_vars: values.env_texts(env_vars))

    def __init__(
        self,
        exe: str,
        exe_args: str | Iterable[str] | None = None,
        run_command: str | None = None,
        run_args: Mapping[str, OptionValue] | None = None,
        env_vars: Mapping[str, Any] | None = None,
        container: Singularity | None = None,
    ) -> None:
        super().__init__()
        self.mpmd: list[RunSettings] = []
        self.resources: dict[str, Any] = {}  # sizes that are no option of the launcher
        self.kept: set[str] = set()  # options that a config file has: no sizes
        self.container = container
        self.exe = exe
        self.exe_args = exe_args
        self.run_command = run_command or self.default_command
        self.assign("run_args", self._options(run_args))
        self.env_vars = env_vars

    @property
    def container(self) -> Singularity | None:
        """The image that the program runs in."""
        found = self.data.get("container")
        return None if found is None else Singularity.of(found)

    @container.setter
    def container(self, image: Singularity | None) -> None:
        self.assign("container", image.as_config() if isinstance(image, Singularity) else image)

    @property
    def launcher(self) -> Launcher:
        """The launcher's vocabulary."""
        return vocabulary(self.run_command)

    # ---- options ----

    def set(self, arg: str, value: str | None = None, condition: bool = True) -> None:
        """Set any option of the launcher; ``None`` for a bare flag."""
        if not isinstance(arg, str):
            raise TypeError(f"the name of an option is text, not {arg!r}")
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{arg}: expected text or None, not {value!r}")
        for name, given in self._options({arg: value} if condition else {}).items():
            self._option(name, given)

    def _options(self, given: Mapping[str, OptionValue] | None) -> dict[str, OptionValue]:
        """Return options by their names without dashes, those left out that ensemake sets."""
        options = values.option_names(given)
        for name in self.launcher.reserved:
            if name in options:
                warnings.warn(f"{name} is set by ensemake and was left out", stacklevel=3)
                del options[name]
        return options

    run_args: Key[dict[str, OptionValue]] = Key(_options)

    def _option(self, name: str, value: OptionValue) -> None:
        self.run_args[name] = value
        self.kept.discard(name)

    def _put(self, what: str, value: OptionValue) -> None:
        option = self.launcher.options.get(what)
        if option in self.launcher.bare and value is not None:
            warnings.warn(f"{self.run_command} --{option} takes no value; left out", stacklevel=3)
            value = None
        if option:
            self._option(option, value)
        elif what in SIZES:
            self.resources[what] = as_resource(what, value)
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
        self._put("hostlist", values.joined(host_list))

    def set_hostlist_from_file(self, file_path: str) -> None:
        """Run on the hosts that a file lists."""
        self._put("hostlist_from_file", str(file_path))

    def set_excluded_hosts(self, host_list: str | list[str]) -> None:
        """Do not run on these hosts."""
        self._put("excluded_hosts", values.joined(host_list))

    def set_binding(self, binding: str) -> None:
        """Bind tasks to CPUs, in the launcher's words."""
        self._put("binding", str(binding))

    set_cpu_binding_type = set_binding

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
        self._put("node_feature", values.joined(feature_list))

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
        self.assign("exe_args", [*self.exe_args, *values.argument_words(args)])

    def update_env(self, env_vars: Mapping[str, Any]) -> None:
        """Set environment variables of the member; values become text."""
        self.assign("env_vars", {**self.env_vars, **values.env_texts(env_vars)})

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
        return [
            name if isinstance(value, Mapping) else f"{name}={value}"
            for name, value in self.env_vars.items()
        ]

    @property
    def needs(self) -> dict[str, Any]:
        """The member's size in the config's resources: tasks, nodes, runtime (minutes) ..."""
        own = {name: value for name, value in self.run_args.items() if name not in self.kept}
        found = {self.launcher.size(name): value for name, value in own.items()}
        sizes = {name: as_resource(name, value) for name, value in found.items() if name}
        needs = {**self.resources, **sizes}
        per_node = own.get(self.launcher.options.get("tasks_per_node", ""))
        if per_node and "tasks" not in sizes:
            needs["tasks"] = int(per_node) * int(needs.get("nodes", 1))
        others = sum(other.tasks for other in self.mpmd)
        if others and isinstance(needs.setdefault("tasks", 1), int):  # a template is of all
            needs["tasks"] += others
        return needs

    @property
    def tasks(self) -> int:
        """How many tasks the program has."""
        return int(self.needs.get("tasks", 1))

    def as_config(self) -> dict[str, Any]:
        """Return the config's ``run_settings``; the sizes are in `needs`."""
        options, parts = self.run_args.items(), [self, *self.mpmd]
        return self.pruned(
            {
                **self.data,
                "run_args": {
                    name: value
                    for name, value in options
                    if name in self.kept or not self.launcher.size(name)
                },
                "env_vars": {k: v for part in parts for k, v in part.env_vars.items()},
                "mpmd": [other._as_program() for other in self.mpmd],
            }
        )

    def _as_program(self) -> dict[str, Any]:
        """Return the entry of another's ``mpmd``."""
        config = {**self.as_config(), **self.needs}
        return {key: config[key] for key in run.Program.model_fields if key in config}

    def __str__(self) -> str:
        words = [*self.format_run_args(), self.exe, *map(str, self.exe_args)]
        return " ".join([*([] if self.run_command == "auto" else [self.run_command]), *words])
