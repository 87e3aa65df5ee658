"""Where members fit: an allocation cut into slots, each with room for one member."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from math import ceil

from ensemake.batch.allocation import Node

# By which processes know how many threads to start: what Snakemake tells a job of its CPUs.
THREADS = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True)
class Needs:
    """What one member needs.

    Parameters
    ----------
    nodes
        How many nodes at least.
    tasks, cpus_per_task
        Processes, and CPUs for each.
    mem_mb
        Memory in MB on each of its nodes, as ``sbatch --mem``; ``None`` to not count memory.
    gpu
        GPUs in all.
    mem_mb_per_cpu
        Memory in MB for each of its CPUs; with ``mem_mb`` the larger counts.
    """

    nodes: int = 1
    tasks: int = 1
    cpus_per_task: int = 1
    mem_mb: int | None = None
    gpu: int = 0
    mem_mb_per_cpu: int = 0

    def memory(self, cpus: int) -> int:
        """Return the memory, in MB, of a node's share of so many CPUs; 0 to not count it."""
        return max(self.mem_mb or 0, self.mem_mb_per_cpu * cpus)

    def on(self, node: Node) -> "Needs":
        """Return the same, scaled down to what one node has."""
        cpus = min(self.cpus_per_task, node.cpus)
        tasks = max(1, min(self.tasks, node.cpus // cpus))
        least = replace(self, nodes=1, tasks=tasks, cpus_per_task=cpus)
        if node.mem_mb is None or least.memory(tasks * cpus) <= node.mem_mb:
            return least
        return replace(least, mem_mb=node.mem_mb, mem_mb_per_cpu=0)


@dataclass(frozen=True)
class Slot:
    """Room for one member: on these nodes; on a single one, with these of its GPUs."""

    nodes: tuple[str, ...]
    tasks_per_node: int
    gpus: tuple[int, ...] = ()


def slots(nodes: list[Node], needs: Needs) -> list[Slot]:
    """Cut an allocation into slots; the first ones lie on different nodes.

    A member gets as few nodes as will do, not fewer than it asks for. No node is given more
    CPUs, memory or GPUs than it has; what is not known of a node (memory) is not counted.
    An empty list says that not even one member fits.
    """
    for width in range(needs.nodes, len(nodes) + 1):
        cut = list(_cut(nodes, needs, width))
        if cut:
            return cut
    return []


def _cut(nodes: list[Node], needs: Needs, width: int) -> Iterator[Slot]:
    """Wide members take the nodes with most room each time, so that none is stranded alone."""
    tasks, gpus = ceil(needs.tasks / width), ceil(needs.gpu / width)
    whole = {node.name: _times(node, needs, tasks * needs.cpus_per_task, gpus) for node in nodes}
    heap = [(-times, place, name) for place, (name, times) in enumerate(whole.items()) if times]
    heapify(heap)
    while len(heap) >= width:
        chosen = [heappop(heap) for _ in range(width)]
        names = tuple(name for _, _, name in chosen)
        first = (whole[names[0]] + chosen[0][0]) * gpus
        # GPUs on several nodes are the launcher's to give out.
        yield Slot(names, tasks, tuple(range(first, first + gpus)) if width == 1 else ())
        for room, place, name in chosen:
            if room + 1:
                heappush(heap, (room + 1, place, name))


def _times(node: Node, needs: Needs, cpus: int, gpus: int) -> int:
    """How often a member's share of one node fits there."""
    times = [node.cpus // cpus]
    memory = needs.memory(cpus)
    if memory and node.mem_mb is not None:
        times.append(node.mem_mb // memory)
    if gpus:
        times.append(node.gpus // gpus)
    return min(times)
