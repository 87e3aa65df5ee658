"""What each launcher calls things: the options of its command, and the sizes they stand for."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    bare: tuple[str, ...] = ()  # options without a value: the next word would be the program

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
    bare=("preload-binary",),
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
            "hostlist_from_file": "hostfile",
            "binding": "cpu-bind",
            "broadcast": "transfer",
        },
        {"n": "tasks"},
        ("wd", "wdir"),
        colon=True,
        bare=("transfer",),
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
            "verbose_launch": "debug",
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


def vocabulary(run_command: str) -> Launcher:
    """Return what a launcher calls things; of an unknown one, the config's own words."""
    return LAUNCHERS.get(Path(run_command).name, LAUNCHERS[""])


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


def as_resource(name: str, value: Any) -> int:
    """Return the value of an option in the unit of the resource that it stands for."""
    if name == "runtime":
        return minutes(value)
    return megabytes(value) if name == "mem_mb" else int(value)
