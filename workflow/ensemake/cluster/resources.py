"""What members and batches ask a cluster for, in the names of Snakemake's executor plugins."""

from collections.abc import Mapping
from math import ceil
from shlex import join, quote

from ensemake.config.batch import BatchSettings
from ensemake.config.schema import Model, Resource
from ensemake.member.launchers import option_words
from ensemake.member.needs import needed

PLUGIN_NAMES = {"queue": "slurm_partition", "account": "slurm_account"}
SIZES = {"exclusive", "oversubscribe", "ntasks", "n", "ntasks-per-node", "cpus-per-task", "c"}


def named(resources: Mapping[str, Resource]) -> dict[str, Resource]:
    """Add the names that the Slurm plugin has for queue and account."""
    others = {PLUGIN_NAMES[key]: resources[key] for key in PLUGIN_NAMES.keys() & resources.keys()}
    return {**resources, **others}


def member_resources(settings: Model) -> dict[str, Resource]:
    """Return what a member's job asks for.

    A member that starts its tasks itself (srun, mpirun) has the resource ``mpi``: it keeps the
    Slurm plugin from making the job's shell a step, in which no further step finds room. Of one
    task it is the empty text: the plugin believes ``srun`` only of several. ``tasks_per_gpu`` keeps
    it from taking ``tasks`` for those of each GPU, ``cpus_per_task`` from asking for as many CPUs
    for each task as the member has threads in all.
    """
    asked = needed(settings)
    tasks = asked.get("tasks", 1)
    mpi: dict[str, Resource] = {}
    if isinstance(tasks, str) or tasks > 1:
        mpi = {"mpi": "srun", "cpus_per_task": 1}
    elif any(run.run_command not in ("auto", "none") for run in settings.run_settings):
        mpi = {"mpi": ""}
    gpu: dict[str, Resource] = {"tasks_per_gpu": 0} if "gpu" in asked else {}
    return {**mpi, **gpu, **named(asked)}


def batch_resources(batch: BatchSettings, member: Mapping[str, Resource]) -> dict[str, Resource]:
    """Return what a batch's job asks for: whole nodes, unless ``batch_args`` give a size.

    Two tasks per node are what the Slurm plugin wants of a job that starts steps itself. PBS has no
    word for all CPUs of a node: ``ncpus`` in ``batch_args`` says how many.
    """
    arguments = {name.lstrip("-"): value for name, value in batch.batch_args.items()}
    for_slurm = {name: value for name, value in arguments.items() if name != "ncpus"}
    given = {"runtime": batch.runtime, "queue": batch.queue, "account": batch.account}
    return {
        "nodes": batch.nodes,
        "mpi": "srun",
        "tasks_per_node": 2,
        "cpus_per_task": 1,
        "slurm_extra": " ".join(map(_disguised, _slurm_words(for_slurm))),
        "pbs_extra": join(pbs_words({**_pbs_node(arguments, member), **arguments})),
        **named({key: value for key, value in given.items() if value is not None}),
    }


def _pbs_node(
    arguments: Mapping[str, object], member: Mapping[str, Resource]
) -> dict[str, Resource]:
    """Return the size of a node: room for one member unless told, memory for all that fit.

    ``mpiprocs`` makes an ``mpirun`` in the job take every CPU for a slot.
    """
    # What differs from member to member, a template, says nothing of a node.
    sizes = {name: int(value) for name, value in member.items() if not isinstance(value, str)}
    tasks = ceil(sizes.get("tasks", 1) / sizes.get("nodes", 1))
    cpus = tasks * sizes.get("cpus_per_task", 1)
    ncpus = int(str(arguments.get("ncpus") or cpus))
    at_once = max(1, ncpus // cpus)
    size: dict[str, Resource] = {"ncpus": ncpus, "mpiprocs": ncpus}
    memory = max(sizes.get("mem_mb", 0), sizes.get("mem_mb_per_cpu", 0) * cpus)
    if memory:
        size["mem"] = f"{memory * at_once}mb"
    if "gpu" in sizes:
        size["ngpus"] = ceil(sizes["gpu"] / sizes.get("nodes", 1)) * at_once
    return size


def _slurm_words(arguments: Mapping[str, object]) -> list[str]:
    dashed = {name.replace("_", "-"): value for name, value in arguments.items()}
    whole = {} if SIZES & dashed.keys() else {"exclusive": None}
    memory = {} if {"mem", "mem-per-cpu"} & dashed.keys() else {"mem": 0}
    return option_words("srun", {**whole, **memory, **dashed})


def _disguised(word: str) -> str:
    """Quote a word so that the Slurm plugin does not know it; for the shell it is the same.

    It refuses options that it has resources for, but has none for memory 0, all of a node's. The
    last option counts for sbatch, and these are the last.
    """
    name, equals, value = word.partition("=")
    if not name.startswith("-"):
        return quote(word)
    return f"'{name}'" + (f"={quote(value)}" if equals else "")


def pbs_words(arguments: Mapping[str, object]) -> list[str]:
    """One letter is an option of qsub, a longer name a resource; Slurm's flags mean nothing."""
    words: list[str] = []
    for name, value in arguments.items():
        if len(name) == 1:
            words += [f"-{name}"] if value is None else [f"-{name}", str(value)]
        elif value is not None:
            words += ["-l", f"{name}={value}"]
    return words
