"""From Snakemake's resources to the options of sbatch. Pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ensemake.submit.resources import UNKNOWN, Resources, positive

# Resources that are options under these names, the first that is set; a site's words.
NAMED = {
    "partition": ("queue", "slurm_partition", "partition"),
    "account": ("account", "slurm_account"),
    "constraint": ("constraint",),
    "qos": ("qos",),
    "reservation": ("reservation",),
    "licenses": ("licenses",),
    "gres": ("gres",),
}
# Of these sbatch takes one; what `slurm_extra` says counts.
RIVALS = (
    {"mem", "mem-per-cpu", "mem-per-gpu"},
    {"ntasks", "ntasks-per-node", "ntasks-per-gpu"},
    {"cpus-per-task", "cpus-per-gpu"},
    {"gpus", "gpus-per-node", "gpus-per-task", "gres"},
)
SHORT = {"A": "account", "C": "constraint", "G": "gpus", "L": "licenses", "N": "nodes"}
SHORT |= {"c": "cpus-per-task", "n": "ntasks", "p": "partition", "q": "qos", "t": "time"}
SHORT_RUN = 20  # minutes; Slurm's clock is too coarse to warn jobs of less
WARNING = 0.05  # of the time limit, and
WARNING_S = 120  # not more than this


def sbatch_arguments(resources: Resources, threads: int) -> list[str]:
    """Return the options of sbatch that say what a job needs.

    Parameters
    ----------
    resources
        ``nodes``, ``tasks``, ``tasks_per_node``, ``cpus_per_task`` (the job's threads), ``mem_mb``
        (per node) or ``mem_mb_per_cpu``, ``gpu`` (whole job) and ``gpu_model``, ``runtime``,
        ``exclusive``, those of `NAMED`, and ``slurm_extra``, which has the last word.
    threads
        The job's threads.

    Raises
    ------
    ValueError
        If a resource makes no sense.
    """
    extra = shlex.split(str(resources.get("slurm_extra") or ""))
    given = {
        **size(resources, threads),
        **memory(resources),
        **gpus(resources),
        **limit(resources),
        **site_options(resources),
    }
    taken = overruled(extra)
    return [
        f"--{name}={value}" if value != "" else f"--{name}"
        for name, value in given.items()
        if name not in taken
    ] + extra


def size(resources: Resources, threads: int) -> dict[str, object]:
    """Return nodes, tasks and CPUs."""
    nodes, tasks = positive(resources, "nodes"), positive(resources, "tasks")
    of_node = positive(resources, "tasks_per_node")
    cpus = positive(resources, "cpus_per_task", max(threads, 1))
    found: dict[str, object] = {"nodes": nodes} if nodes else {}
    if of_node and not tasks:
        found["ntasks-per-node"] = of_node
    else:
        found["ntasks"] = tasks or nodes or 1
    return {**found, "cpus-per-task": cpus}


def memory(resources: Resources) -> dict[str, object]:
    """Return the memory, of each CPU or of each node."""
    of_cpu, of_node = positive(resources, "mem_mb_per_cpu"), positive(resources, "mem_mb")
    if of_cpu:
        return {"mem-per-cpu": f"{of_cpu}M"}
    return {"mem": f"{of_node}M"} if of_node else {}


def gpus(resources: Resources) -> dict[str, object]:
    """Return the GPUs; no gpu is the usual meaning of 0, and default-resources may well say so."""
    number = positive(resources, "gpu") if resources.get("gpu") else None
    model = resources.get("gpu_model")
    return {"gpus": f"{model}:{number}" if model else number} if number else {}


def limit(resources: Resources) -> dict[str, object]:
    """Return the time limit, and that the job's shell is to be warned of it."""
    minutes = positive(resources, "runtime")
    if not minutes:
        return {}
    early = min(WARNING_S, round(WARNING * 60 * minutes))
    warning = {"signal": f"B:USR1@{early}"} if minutes >= SHORT_RUN else {}
    return {"time": minutes, **warning}


def site_options(resources: Mapping[str, object]) -> dict[str, object]:
    """Return what sites have words for."""
    found: dict[str, object] = {}
    for option, names in NAMED.items():
        values = (resources.get(name) for name in names)
        value = next((value for value in values if value not in (None, "", UNKNOWN)), None)
        found |= {} if value is None else {option: value}
    exclusive = resources.get("exclusive")
    if exclusive:
        found["exclusive"] = exclusive if isinstance(exclusive, str) else ""
    return found


def overruled(extra: list[str]) -> set[str]:
    """Return the options that `extra` gives, and those that it rules out."""
    words = [word for word in extra if word.startswith("-")]
    long = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
    short = {SHORT.get(word[1:2], "") for word in words if not word.startswith("--")}
    rivals = [options for options in RIVALS if options & (long | short)]
    return (long | short).union(*rivals)
