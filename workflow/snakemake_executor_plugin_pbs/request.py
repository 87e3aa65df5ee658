"""From Snakemake's resources to the arguments of qsub. Pure functions."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from ensemake.submit.resources import Resources, positive

# What qsub refuses as an option of its own beside a select statement.
PER_CHUNK = frozenset({"ncpus", "mem", "mpiprocs", "ompthreads", "ngpus", "vmem", "pmem", "pvmem"})


def tasks_per_chunk(tasks: int, nodes: int) -> list[tuple[int, int]]:
    """Spread `tasks` evenly over `nodes`: pairs (number of nodes, tasks on each of them)."""
    few, more = divmod(tasks, nodes)
    return [(n, size) for n, size in ((more, few + 1), (nodes - more, few)) if n and size]


def chunk(
    tasks: int, cpus: int, mem_mb: int | None, gpus: int | None, changes: Mapping[str, str]
) -> str:
    """Return what one node of a select statement has to offer."""
    parts: dict[str, object] = {"ncpus": tasks * cpus, "mpiprocs": tasks}
    parts |= {"mem": f"{mem_mb}mb"} if mem_mb else {}
    parts |= {"ngpus": gpus} if gpus else {}
    return ":".join(f"{name}={value}" for name, value in {**parts, **changes}.items())


def select(resources: Resources, threads: int, changes: Mapping[str, str]) -> str:
    """Return the select statement for a job.

    Parameters
    ----------
    resources
        ``nodes`` (1), ``tasks`` (one per node), ``cpus_per_task`` (the job's threads),
        ``mem_mb`` (per node, as with Slurm) and ``gpu`` (whole job) are looked at.
    threads
        The job's threads.
    changes
        What every chunk shall say instead, such as ``mem=8gb``.

    Raises
    ------
    ValueError
        If a value is no positive integer, or there are fewer tasks than nodes.
    """
    nodes = positive(resources, "nodes", 1) or 1
    tasks = positive(resources, "tasks", nodes) or nodes
    if tasks < nodes:
        raise ValueError(f"resources tasks={tasks}, nodes={nodes}: a node would have no task")
    cpus = positive(resources, "cpus_per_task", max(threads, 1)) or 1
    mem_mb = positive(resources, "mem_mb")
    # No gpu is the usual meaning of 0, and default-resources may well say so.
    gpu = positive(resources, "gpu") if resources.get("gpu") else None
    gpus = math.ceil(gpu / nodes) if gpu else None
    return "+".join(
        f"{count}:{chunk(of_node, cpus, mem_mb, gpus, changes)}"
        for count, of_node in tasks_per_chunk(tasks, nodes)
    )


def walltime(minutes: int) -> str:
    """Return `minutes` as PBS's ``HH:MM:SS``; hours may exceed 24, days are not understood."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def extra_arguments(resources: Resources) -> list[str]:
    """Return the words of the resource ``pbs_extra``."""
    return shlex.split(str(resources.get("pbs_extra") or ""))


def per_chunk(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split words of qsub into resources that belong into a select statement, and the others."""
    changes: dict[str, str] = {}
    others: list[str] = []
    for word in words:
        name, _, value = word.partition("=")
        if name in PER_CHUNK and others[-1:] == ["-l"]:
            others.pop()
            changes[name] = value
        else:
            others.append(word)
    return changes, others


def placement(resources: Resources, extra: list[str]) -> list[str]:
    """Ask for distinct nodes where several are wanted, unless `extra` says otherwise."""
    several = (positive(resources, "nodes", 1) or 1) > 1
    chosen = any("place=" in word for word in extra)
    return ["-l", "place=scatter"] if several and not chosen else []


def qsub_arguments(resources: Resources, threads: int) -> list[str]:
    """Return the arguments of qsub that say what a job needs.

    Raises
    ------
    ValueError
        If a resource makes no sense.
    """
    changes, extra = per_chunk(extra_arguments(resources))
    minutes = positive(resources, "runtime")
    own = any(word.startswith("select=") for word in extra)  # qsub takes only one
    words = [] if own else ["-l", f"select={select(resources, threads, changes)}"]
    words += placement(resources, extra)
    words += ["-l", f"walltime={walltime(minutes)}"] if minutes else []
    for option, name in (("-q", "queue"), ("-A", "account")):
        words += [option, str(resources[name])] if resources.get(name) else []
    return words + extra
