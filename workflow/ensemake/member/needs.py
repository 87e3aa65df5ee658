"""What a member's job needs: what its config says, and the room of a store of its own."""

from math import ceil

from ensemake.config.database import Colocated
from ensemake.config.schema import Model, Resource

# By which processes know how many threads to start: what Snakemake tells a job of its CPUs.
THREADS = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# A number that is a template is only known with the values of a member.
SUM = (
    "{%% set _tasks %%}%s{%% endset %%}{%% set _each %%}%s{%% endset %%}"
    "{%% set _tasks, _each = ceil(_tasks | float), ceil(_each | float) %%}{{ %s }}"
)
MEMORY = "{%% set _memory %%}%s{%% endset %%}{{ _memory | float + %d }}"


def needed(entity: Model) -> dict[str, Resource]:
    """Return the resources of a member, with those of its store.

    The store's CPUs are added to those of a member of one task. One of several gets more tasks, as
    many as have its CPUs: more for each task would be too much.
    """
    given, own = entity.resources, entity.colocated_db
    if own is None:
        return given
    return {**given, **_cpus(given, own), **_memory(given, own)}


def _cpus(given: dict[str, Resource], own: Colocated) -> dict[str, Resource]:
    tasks, each = given.get("tasks", 1), given.get("cpus_per_task", 1)
    if not isinstance(tasks, str) and not isinstance(each, str):
        if tasks > 1:
            return {"tasks": int(tasks) + ceil(own.cpus / each)}
        return {"cpus_per_task": int(each) + own.cpus}
    more = f"_tasks + (ceil({own.cpus} / _each) if _tasks > 1 else 0)"
    wider = f"_each + (0 if _tasks > 1 else {own.cpus})"
    found: dict[str, Resource] = {"cpus_per_task": SUM % (tasks, each, wider)}
    return found | ({"tasks": SUM % (tasks, each, more)} if "tasks" in given else {})


def _memory(given: dict[str, Resource], own: Colocated) -> dict[str, Resource]:
    memory = given.get("mem_mb")
    if memory is None or own.mem_mb is None:
        return {}
    if isinstance(memory, str):
        return {"mem_mb": MEMORY % (memory, own.mem_mb)}
    return {"mem_mb": int(memory) + own.mem_mb}
