"""Where members fit: what is free of an allocation, and what of it a member gets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from ensemake.batch.allocation import Node


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


class Room:
    """An allocation, and what of it is free.

    No node is given more CPUs, memory or GPUs than it has; what is not known of a node (memory) is
    not counted. A closed node takes no members of one node: its agent is not up yet.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._free = dict(self._nodes)
        self._gpus = {node.name: list(range(node.gpus)) for node in nodes}
        self._closed: set[str] = set()
        self._widths: dict[Needs, int] = {}

    def width(self, needs: Needs) -> int:
        """Return how many nodes a member gets: as few as will do, not fewer than it asks for.

        0 says that not even one member fits into all of it.
        """
        if needs not in self._widths:
            nodes = list(self._nodes.values())
            widths = range(needs.nodes, len(nodes) + 1)
            fits = (w for w in widths if len(_fitting(nodes, needs, w)) >= w)
            self._widths[needs] = next(fits, 0)
        return self._widths[needs]

    def take(self, needs: Needs) -> Slot | None:
        """Take room for a member, on the nodes with most of it; None if there is none now."""
        width = self.width(needs)
        closed = self._closed if width == 1 else ()
        free = [node for name, node in self._free.items() if name not in closed]
        chosen = _fitting(free, needs, width)[:width]
        if not width or len(chosen) < width:
            return None
        for name in chosen:
            self._change(name, needs, width, -1)
        count = ceil(needs.gpu / width)
        # GPUs on several nodes are the launcher's to give out.
        gpus = tuple(self._gpus[chosen[0]].pop(0) for _ in range(count)) if width == 1 else ()
        return Slot(tuple(chosen), ceil(needs.tasks / width), gpus)

    def give_back(self, slot: Slot, needs: Needs) -> None:
        """Free what a member had."""
        for name in slot.nodes:
            if name in self._free:
                self._change(name, needs, len(slot.nodes), 1)
        if slot.nodes[0] in self._gpus:
            self._gpus[slot.nodes[0]] = sorted([*self._gpus[slot.nodes[0]], *slot.gpus])

    def close(self, name: str) -> None:
        """Let a node take no members of one node."""
        self._closed.add(name)

    def open(self, name: str) -> None:
        """Let a node take them again."""
        self._closed.discard(name)

    def lose(self, name: str) -> None:
        """Forget a node."""
        for known in (self._nodes, self._free, self._gpus):
            known.pop(name, None)
        self._widths.clear()

    def _change(self, name: str, needs: Needs, width: int, sign: int) -> None:
        node = self._free[name]
        cpus = ceil(needs.tasks / width) * needs.cpus_per_task
        memory = None if node.mem_mb is None else node.mem_mb + sign * needs.memory(cpus)
        gpus = node.gpus + sign * ceil(needs.gpu / width)
        self._free[name] = replace(node, cpus=node.cpus + sign * cpus, mem_mb=memory, gpus=gpus)


def _fitting(nodes: Sequence[Node], needs: Needs, width: int) -> list[str]:
    """Return the nodes that a member's share fits on, those with most room first."""
    if not width:
        return []
    cpus, gpus = ceil(needs.tasks / width) * needs.cpus_per_task, ceil(needs.gpu / width)
    room = {node.name: _times(node, needs, cpus, gpus) for node in nodes}
    return sorted((name for name, times in room.items() if times), key=lambda name: -room[name])


def slots(nodes: Sequence[Node], needs: Needs) -> list[Slot]:
    """Return where members fit at once, as many as can; none if not one fits."""
    room, found = Room(nodes), list[Slot]()
    while slot := room.take(needs):
        found.append(slot)
    return found


def _times(node: Node, needs: Needs, cpus: int, gpus: int) -> int:
    """How often a member's share of one node fits there."""
    times = [node.cpus // cpus]
    memory = needs.memory(cpus)
    if memory and node.mem_mb is not None:
        times.append(node.mem_mb // memory)
    if gpus:
        times.append(node.gpus // gpus)
    return min(times)
