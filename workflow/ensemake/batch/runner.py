"""Run a batch: many members in one allocation, each started when there is room, none beyond that.

``python -m ensemake.batch.runner PLAN`` exits with 1 if a member failed. The plan is the one
that the workflow wrote (`ensemake.member.plan`); members need what their resources say.
What happens is appended to PLAN.record.jsonl, a line each, so that it survives whatever ends us.
"""

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, fields
from math import ceil
from pathlib import Path

from ensemake.atomic import write_atomically
from ensemake.batch.allocation import Node, allocation, own_node, workload_manager
from ensemake.batch.node_agent import Agent, forget_step, serve
from ensemake.batch.placement import THREADS, Needs, Slot, slots
from ensemake.batch.processes import End, Processes, Task
from ensemake.config.schema import Resource
from ensemake.member.command import member_outputs, resource
from ensemake.member.plan import Plan, Planned, read_plan
from ensemake.member.state import is_complete

QUIET_S = 30.0  # a line of progress after this time at the latest
NAMED = 10  # how many failed members the last lines name
STATUSES = ("skipped", "completed", "failed", "cancelled", "killed", "lost")
NODE_FILE = ".nodes"
# Open MPI 4, 5 and Intel MPI bind the processes of every launch to the same, a node's first, cores.
UNBOUND = {
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "I_MPI_PIN": "0",
}
GRACE_S = 60.0  # how long agents that were told to end may take


class Record:
    """The batch record, a JSON object on each line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, event: str, **what: object) -> None:
        """Append an event with the time (seconds since 1970)."""
        print(json.dumps({"event": event, "time": round(time.time(), 3), **what}), file=self._file)


class Progress:
    """Lines in the log: one for each tenth of the members, and one if it was quiet for long."""

    def __init__(self, entity: str, total: int) -> None:
        self._entity, self._total = entity, total
        self._tenth, self._last = 0, time.monotonic()

    def remaining(self) -> float:
        """Return the seconds until a line is due anyway."""
        return max(0.0, self._last + QUIET_S - time.monotonic())

    def show(self, counts: Mapping[str, int], running: int) -> None:
        """Say where we are, if that is worth a line."""
        over = sum(counts.values())
        tenth = 10 * over // max(1, self._total)
        if tenth == self._tenth and self.remaining():
            return
        self._tenth, self._last = tenth, time.monotonic()
        done = counts["completed"] + counts["skipped"]
        say(
            f"{self._entity}: {done} of {self._total} done, {running} running, "
            f"{over - done} failed, {self._total - over - running} left"
        )


def say(text: str) -> None:
    """Print to the log."""
    print(f"ensemake: {text}", file=sys.stderr, flush=True)


class Leader:
    """Gives members to slots: to processes of its own, or through agents to other nodes."""

    def __init__(
        self, plan: Plan, needs: Needs, nodes: list[Node], places: list[Slot], record: Record
    ) -> None:
        self._needs, self._threads = needs, threads_environ(plan, needs)
        self._plan, self._record, self._stopped = plan, record, False
        self._own = own_node(os.environ, nodes)
        self._counts, self._failed = Counter[str](), list[tuple[Planned, End, Slot]]()
        self._running: dict[int, tuple[Slot, float]] = {}
        self._progress = Progress(plan.entity, len(plan.members))
        self._pending = self._incomplete()
        forget_step()
        self._processes, self._selector = Processes(), selectors.DefaultSelector()
        self._selector.register(self._processes.wake, selectors.EVENT_READ)
        # Slots that are free, and those of nodes whose agent is not up yet.
        self._free, self._waiting = deque[Slot](), dict[str, list[Slot]]()
        self._agents: dict[str, Agent] = {}
        used = Counter(name for slot in places for name in slot.nodes)
        self._is_crowded = any(times > 1 for times in used.values())
        self._take(places[: len(self._pending)], {node.name: node for node in nodes})

    def run(self) -> bool:
        """Run the members; True if all are complete."""
        began = time.monotonic()
        self._start_members()
        while self._running or (self._pending and self._waiting):
            for key, _ in self._selector.select(self._progress.remaining()):
                self._hear(key.data) if key.data else self._wake()
            self._start_members()
            self._progress.show(self._counts, len(self._running))
        self._dismiss()
        self._report(time.monotonic() - began)
        return not self._failed and not self._pending

    def _incomplete(self) -> deque[tuple[int, Planned]]:
        """Skipping costs a read here, and a bash if run.sh were left to find out."""
        left = deque[tuple[int, Planned]]()
        settings = self._plan.settings
        for number, member in enumerate(self._plan.members):
            outputs = member_outputs(settings, member.values)
            if is_complete(Path(member.directory), member.digest, outputs):
                self._counts["skipped"] += 1
            else:
                left.append((number, member))
        return left

    def _take(self, places: list[Slot], nodes: Mapping[str, Node]) -> None:
        """Slots on another node wait until its agent is up; wide members start here."""
        self._record.write(
            "start",
            entity=self._plan.entity,
            members=len(self._pending),
            skipped=self._counts["skipped"],
            slots=len(places),
        )
        for slot in places:
            if len(slot.nodes) > 1 or slot.nodes[0] == self._own:
                self._free.append(slot)
            else:
                self._waiting.setdefault(slot.nodes[0], []).append(slot)
        for name in self._waiting:
            log = self._record.path.with_suffix(f".{name}.log")
            agent = self._agents[name] = Agent(nodes[name], os.environ, log)
            self._processes.others.add(agent.process.pid)
            self._selector.register(agent, selectors.EVENT_READ, agent)

    def _start_members(self) -> None:
        while self._pending and self._free and not self._stopped:
            self._start(*self._pending.popleft(), self._free.popleft())

    def _start(self, number: int, member: Planned, slot: Slot) -> None:
        self._running[number] = slot, time.monotonic()
        variables = slot_environ(slot, self._needs, os.environ) | self._threads
        if self._needs.tasks > 1 and "SLURM_JOB_ID" not in os.environ:
            variables |= self._for_mpirun(slot, member)
        task = Task(number, member.directory, member.digest, variables, slot.gpus)
        agent = self._agents.get(slot.nodes[0]) if len(slot.nodes) == 1 else None
        (agent or self._processes).start(task)

    def _for_mpirun(self, slot: Slot, member: Planned) -> dict[str, str]:
        wanted = UNBOUND if self._is_crowded else {}
        variables = {name: os.environ.get(name, value) for name, value in wanted.items()}
        if "PBS_NODEFILE" in os.environ:
            file = write_node_file(slot, Path(member.directory))
            variables["ENSEMAKE_NODEFILE"] = str(file)
        return variables

    def _wake(self) -> None:
        for number in self._processes.signals():
            self._stop(signal.Signals(number).name)
        for end in self._processes.ended():
            self._end(end)

    def _hear(self, agent: Agent) -> None:
        ends = agent.ended()
        if ends is None:
            self._lose(agent)
        elif agent.ready:
            self._free.extend(self._waiting.pop(agent.node, []))
            for end in ends:
                self._end(end)

    def _lose(self, agent: Agent) -> None:
        """A node is gone: what ran there counts as failed, the others go on."""
        self._selector.unregister(agent)
        self._waiting.pop(agent.node, None)
        del self._agents[agent.node]
        if not self._stopped:
            say(f"the agent of node {agent.node} has ended{agent.last_words()}")
            self._record.write("lost", node=agent.node)
        for number in [n for n, (slot, _) in self._running.items() if slot.nodes == (agent.node,)]:
            self._end(End(number, None, "lost"))
        self._free = deque(slot for slot in self._free if slot.nodes != (agent.node,))

    def _end(self, end: End) -> None:
        slot, began = self._running.pop(end.number)
        member = self._plan.members[end.number]
        self._free.append(slot)
        self._counts[end.status] += 1
        if end.status != "completed":
            self._failed.append((member, end, slot))
        self._record.write(
            "end",
            member=member.name,
            status=end.status,
            exit_code=end.exit_code,
            nodes=",".join(slot.nodes),
            elapsed_s=round(time.monotonic() - began, 3),
        )

    def _stop(self, name: str) -> None:
        """Start no more members and have the running ones end; they write their status."""
        say(f"{name}: ending {len(self._running)} members")
        self._record.write("stop", signal=name)
        self._stopped = True
        self._waiting.clear()
        self._processes.stop()
        for agent in self._agents.values():
            agent.stop()

    def _dismiss(self) -> None:
        for agent in self._agents.values():
            agent.stop()
        for agent in self._agents.values():
            agent.dismiss(GRACE_S)

    def _report(self, seconds: float) -> None:
        counts = {status: self._counts[status] for status in STATUSES}
        counts["not started"] = len(self._pending)
        self._record.write("finish", elapsed_s=round(seconds, 3), **counts)
        parts = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        say(f"{self._plan.entity}: {parts or 'no members'} in {seconds:.1f} s")
        for member, end, slot in self._failed[:NAMED]:
            code = "" if end.exit_code is None else f", exit code {end.exit_code}"
            say(f"  {member.directory}: {end.status}{code}, on {','.join(slot.nodes)}")
        if len(self._failed) > NAMED:
            say(f"  and {len(self._failed) - NAMED} more, see {self._record.path}")


def slot_environ(slot: Slot, needs: Needs, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell a member where it may run.

    Inside Slurm they describe a job of just that size: launchers that read them (``mpirun``)
    then keep to the slot, and ``srun`` takes them for defaults. Memory 0 means as much as the job
    has; without it the first step would hold all of it and the next ones wait.
    """
    names, width = ",".join(slot.nodes), len(slot.nodes)
    if "SLURM_JOB_ID" not in environ:
        return {"ENSEMAKE_NODELIST": names}
    times = f"(x{width})" if width > 1 else ""
    variables: dict[str, object] = {
        "ENSEMAKE_NODELIST": names,
        "SLURM_JOB_NODELIST": names,
        "SLURM_NODELIST": names,
        "SLURM_JOB_NUM_NODES": width,
        "SLURM_NNODES": width,
        "SLURM_NTASKS": needs.tasks,
        "SLURM_NPROCS": needs.tasks,
        "SLURM_TASKS_PER_NODE": f"{slot.tasks_per_node}{times}",
        "SLURM_NTASKS_PER_NODE": slot.tasks_per_node,
        "SLURM_CPUS_PER_TASK": needs.cpus_per_task,
        "SLURM_JOB_CPUS_PER_NODE": f"{slot.tasks_per_node * needs.cpus_per_task}{times}",
        "SLURM_MEM_PER_NODE": 0,
    }
    if needs.gpu:
        variables["SLURM_GPUS_PER_NODE"] = ceil(needs.gpu / width)
    return {name: str(value) for name, value in variables.items()}


def threads_environ(plan: Plan, needs: Needs) -> dict[str, str]:
    """Return the variables by which a process knows how many threads to start: its own CPUs.

    Those that the batch's preamble names are left as it set them. A member's ``env_vars`` come
    later, in its run.sh.
    """
    batch = plan.settings.batch_settings
    said = "\n".join(batch.preamble if batch else ())
    return {name: str(needs.cpus_per_task) for name in THREADS if name not in said}


def write_node_file(slot: Slot, directory: Path) -> Path:
    """Write a slot's part of PBS's node file; that itself stays, PBS's own tools count its lines.

    Returns
    -------
    Path
        Absolute; in the member's directory, which all nodes see.
    """
    path = directory.absolute() / NODE_FILE
    with contextlib.suppress(OSError):  # without the directory the member fails by itself
        text = "".join(f"{node}\n" * slot.tasks_per_node for node in slot.nodes)
        write_atomically(path, text.encode())
    return path


def needs_of(plan: Plan) -> Needs:
    """Return what each member of a plan needs: where they differ, the most of any."""
    given = plan.settings.resources
    names = [field.name for field in fields(Needs) if field.name in given]
    return Needs(**{name: _most(given[name], plan) for name in names})


def _most(value: Resource, plan: Plan) -> int:
    if not isinstance(value, str):
        return int(value)
    return max(int(resource(value, {**m.values, "attempt": 1})) for m in plan.members)


def run_batch(path: Path) -> int:
    """Run the batch of a plan file and return the exit status."""
    plan, nodes = read_plan(path), allocation(os.environ)
    needs = needs_of(plan)
    if len(nodes) == 1 and workload_manager(os.environ, lambda _: None) == "none":
        needs = needs.on(nodes[0])  # as Snakemake does with threads
    places = slots(nodes, needs)
    if not places:
        say(f"{plan.entity}: a member needs {_words(needs)}; it fits nowhere. There is:")
        for node in nodes:
            say(f"  {_words(node)}")
        return 1
    record = Record(path.with_name(path.name + ".record.jsonl"))
    return 0 if Leader(plan, needs, nodes, places, record).run() else 1


def _words(thing: Needs | Node) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(thing).items() if value)


def main(arguments: list[str]) -> int:
    """Run a batch, or be the agent of a node for one."""
    if arguments == ["--agent"]:
        return serve()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    return run_batch(Path(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
