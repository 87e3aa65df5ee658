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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from math import ceil
from pathlib import Path

from ensemake.atomic import write_atomically
from ensemake.batch.allocation import Node, allocation, own_node, workload_manager
from ensemake.batch.log import say
from ensemake.batch.node_agent import Agent, forget_step, serve
from ensemake.batch.placement import Needs, Room, Slot, slots
from ensemake.batch.processes import End, Processes, Task
from ensemake.batch.sharing import (
    Served,
    blame,
    close_store,
    going_on,
    own_shares,
    shared_store,
    store_locks,
    without_shares,
)
from ensemake.config.schema import Resource
from ensemake.member.command import member_outputs, resource
from ensemake.member.needs import THREADS, needed
from ensemake.member.plan import Inputs, Plan, Planned, Shared, read_plan
from ensemake.member.state import is_complete
from ensemake.paths import share

QUIET_S = 30.0  # a line of progress after this time at the latest
NAMED = 10  # how many failed members the last lines name
STATUSES = ("skipped", "completed", "failed", "cancelled", "killed", "lost", "blocked")
NODE_FILE = ".nodes"
# Open MPI 4, 5 and Intel MPI bind the processes of every launch to the same, a node's first, cores.
UNBOUND = {
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "I_MPI_PIN": "0",
}
CARRY_ON = "ENSEMAKE_CARRY_ON"  # others wait for the end of a job, whatever it is
GRACE_S = 60.0  # how long agents that were told to end may take


class Record:
    """The batch record, a JSON object on each line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)  # what a full disk refuses is not tried again
        self._is_lacking = False

    def write(self, event: str, **what: object) -> None:
        """Append an event with the time (seconds since 1970); on a full disk, go on without."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **what})
        try:
            self._file.write(f"{line}\n".encode())
        except OSError as error:
            if not self._is_lacking:
                say(f"{self.path}: {error.strerror}; the record of this batch lacks events")
            self._is_lacking = True


class Progress:
    """Lines in the log: one for each tenth of the members, and one if it was quiet for long."""

    def __init__(self, entity: str, total: int) -> None:
        self.entity, self._total = entity, total
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
            f"{self.entity}: {done} of {self._total} done, {running} running, "
            f"{over - done} failed, {self._total - over - running} left"
        )


@dataclass(frozen=True)
class Item:
    """A member of one of the plans that share the job."""

    number: int
    plan: Plan
    member: Planned

    @property
    def key(self) -> tuple[str, str]:
        """What others call it that take from it."""
        return self.plan.entity, self.member.name


class Leader:
    """Gives members room: starts them as processes of its own, or through agents on other nodes.

    Members of plans that follow start as soon as those that they take from have completed. Those
    that share a store start once it answers, and each plan keeps its share of the room.
    """

    def __init__(self, file: Path, plans: Sequence[Plan], nodes: list[Node]) -> None:
        self._file, self._stopped = file, False
        self._record = Record(file.with_name(file.name + ".record.jsonl"))
        self._needs = {plan.entity: needs_here(plan, nodes) for plan in plans}
        self._threads = {p.entity: threads_environ(p, self._needs[p.entity]) for p in plans}
        self._room, self._own = Room(nodes), own_node(os.environ, nodes)
        self._counts, self._failed = Counter[str](), list[tuple[Item, End, str]]()
        self._done: list[Item] = []
        self._running: dict[int, tuple[Slot, float]] = {}
        members = [(plan, member) for plan in plans for member in plan.members]
        self._items = [Item(number, *both) for number, both in enumerate(members)]
        self._progress = Progress(plans[0].entity, len(self._items))
        self._ready: dict[str, deque[Item]] = {plan.entity: deque() for plan in reversed(plans)}
        self._waiting: dict[tuple[str, str], list[Item]] = {}  # by whom they wait for
        self._held = Counter[int]()  # for how many each of those still waits
        forget_step()
        self._processes, self._selector = Processes(), selectors.DefaultSelector()
        self._selector.register(self._processes.wake, selectors.EVENT_READ, self._wake)
        self._agents: dict[str, Agent] = {}
        self._shared, self._fault = plans[0].stores, ""
        self._stores: list[tuple[Shared, Served]] = []
        self._lost: set[str] = set()
        self._sort(self._incomplete())
        self._open(nodes)
        for shared in self._shared if self._left else ():
            self._open_store(shared, nodes)

    @property
    def was_stopped(self) -> bool:
        """Whether a signal has ended it."""
        return self._stopped

    @property
    def _left(self) -> int:
        return sum(map(len, self._ready.values())) + len(self._held)

    def run(self) -> bool:
        """Run the members; True if all are complete."""
        began = time.monotonic()
        self._start_members()
        while self._running or (any(self._ready.values()) and self._is_opening()):
            for key, _ in self._selector.select(self._progress.remaining()):
                key.data()
            self._start_members()
            self._progress.show(self._counts, len(self._running))
        self._dismiss()
        self._close_stores()
        self._report(time.monotonic() - began)
        return not self._failed and not self._left

    @property
    def fault(self) -> str:
        """What went wrong with the store that the members share; "" if nothing did."""
        return self._fault

    def _is_opening(self) -> bool:
        agents = any(not agent.ready for agent in self._agents.values())
        return not self._stopped and (agents or self._awaits_store)

    @property
    def _awaits_store(self) -> bool:
        owed = any(agent.owed for agent in self._agents.values())
        return owed or any(not store.is_ready for _, store in self._stores)

    def _incomplete(self) -> list[Item]:
        """Skipping costs a read here, and a bash if run.sh were left to find out."""
        left = []
        for item in self._items:
            outputs = member_outputs(item.plan.settings, item.plan.known(item.member))
            if is_complete(Path(item.member.directory), item.member.digest, outputs):
                self._counts["skipped"] += 1
            else:
                left.append(item)
        return left

    def _sort(self, left: Sequence[Item]) -> None:
        """Put members aside whose inputs are still to come in this job."""
        coming = {item.key for item in left}
        for item in left:
            waits = [key for key in _keys(item.member.inputs) if key in coming]
            for key in waits:
                self._waiting.setdefault(key, []).append(item)
                self._held[item.number] += 1
            if not waits:
                self._ready[item.plan.entity].append(item)

    def _open(self, nodes: Sequence[Node]) -> None:
        """Start agents on the nodes where members of one node may come to run."""
        members = Counter(item.plan.entity for item in self._items)
        places = {name: slots(nodes, needs) for name, needs in self._needs.items()}
        self._record.write(
            "start",
            entity=self._progress.entity,
            members=self._left,
            skipped=self._counts["skipped"],
            slots=len(places[self._progress.entity]),
        )
        names = [name for slot in places[self._progress.entity] for name in slot.nodes]
        self._is_crowded = len(places) > 1 or len(names) > len(set(names))
        first = [slot for name, cut in places.items() for slot in cut[: members[name]]]
        used = {slot.nodes[0] for slot in first if len(slot.nodes) == 1}
        if self._shared:  # an agent vouches there
            used.update(name for slot in first for name in slot.nodes)
        by_name = {node.name: node for node in nodes}
        for name in sorted(used - {self._own}) if self._left else ():
            log = self._record.path.with_suffix(f".{name}.log")
            agent = self._agents[name] = Agent(by_name[name], os.environ, log)
            self._room.close(name)
            self._processes.others.add(agent.process.pid)
            self._selector.register(agent, selectors.EVENT_READ, partial(self._hear, agent))

    def _start_members(self) -> None:
        """Start what there is room for."""
        if not self._shared:
            for entity in self._ready:
                self._start_of(entity)
        elif not self._awaits_store:
            while self._start_in_turn():
                pass

    def _start_in_turn(self) -> bool:
        """Start a member of the plan that has fewest running: they talk, so each keeps its share.

        A plan of which none runs is waited for.
        """
        running = Counter(self._items[number].plan.entity for number in self._running)
        for entity in sorted(filter(self._ready.get, self._ready), key=running.__getitem__):
            if self._start_of(entity, 1):
                return True
            if not running[entity]:
                return False
        return False

    def _start_of(self, entity: str, most: int | None = None) -> int:
        """Start members of one plan, no more than `most`; return how many."""
        ready, started = self._ready[entity], 0
        while ready and not self._stopped and started != most:
            blocking = ready[0].plan.blocking(ready[0].member)
            if blocking:
                self._block(ready.popleft(), blocking)
                continue
            slot = self._room.take(self._needs[entity])
            if slot is None:
                break
            self._start(ready.popleft(), slot)
            started += 1
        return started

    def _block(self, item: Item, blocking: str) -> None:
        """Leave out a member that takes from one that has not completed."""
        self._counts["blocked"] += 1
        self._failed.append((item, End(item.number, None, "blocked"), f": needs {blocking}"))
        self._tell(item, "blocked", needs=blocking)
        self._release(item)

    def _release(self, item: Item) -> None:
        """Let members start, or be blocked, that have waited for the end of this one alone."""
        for other in self._waiting.pop(item.key, []):
            self._held[other.number] -= 1
            if not self._held[other.number]:
                del self._held[other.number]
                self._ready[other.plan.entity].append(other)

    def _tell(self, item: Item, status: str, **more: object) -> None:
        own = {"entity": item.plan.entity, "member": item.member.name, "status": status}
        self._record.write("end", **own, **more)

    def _start(self, item: Item, slot: Slot) -> None:
        member, needs = item.member, self._needs[item.plan.entity]
        self._running[item.number] = slot, time.monotonic()
        variables = slot_environ(slot, needs, os.environ) | self._threads[item.plan.entity]
        if needs.tasks > 1 and "SLURM_JOB_ID" not in os.environ:
            variables |= self._for_mpirun(slot, member)
        variables |= own_shares(self._stores, item.plan, member)
        command = gathering(item.plan, member, self._file)
        task = Task(item.number, member.directory, member.digest, variables, slot.gpus, command)
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
            self._room.open(agent.node)
            for end in ends:
                self._end(end)
            if agent.fault:
                for shared in self._shared:
                    self._lose_store(shared.name, agent.fault)

    def _lose(self, agent: Agent) -> None:
        """A node is gone: what ran there counts as failed, the others go on."""
        self._selector.unregister(agent)
        del self._agents[agent.node]
        self._room.lose(agent.node)
        if not self._stopped:
            say(f"the agent of node {agent.node} has ended{agent.last_words()}")
            self._record.write("lost", node=agent.node)
        for number in [n for n, (slot, _) in self._running.items() if slot.nodes == (agent.node,)]:
            self._end(End(number, None, "lost"))

    def _end(self, end: End) -> None:
        slot, began = self._running.pop(end.number)
        item = self._items[end.number]
        self._room.give_back(slot, self._needs[item.plan.entity])
        self._counts[end.status] += 1
        nodes = ",".join(slot.nodes)
        if end.status == "completed":
            self._done.append(item)
        else:
            code = "" if end.exit_code is None else f", exit code {end.exit_code}"
            self._failed.append((item, end, f"{code}, on {nodes}"))
            self._look_at_stores(item)
        seconds = round(time.monotonic() - began, 3)
        self._tell(item, end.status, exit_code=end.exit_code, nodes=nodes, elapsed_s=seconds)
        self._release(item)

    def _stop(self, name: str) -> None:
        """Start no more members and have the running ones end; they write their status."""
        say(f"{name}: ending {len(self._running)} members")
        self._record.write("stop", signal=name)
        self._end_members()

    def _end_members(self) -> None:
        self._stopped = True
        self._processes.stop()
        for agent in self._agents.values():
            agent.stop()

    def _open_store(self, given: Shared, nodes: Sequence[Node]) -> None:
        shared = going_on(given, self._counts["skipped"])
        try:
            store = shared_store(shared, nodes)
        except (OSError, ValueError) as error:
            self._lose_store(shared.name, str(error))
            return
        self._stores.append((shared, store))
        self._processes.others |= store.pids
        self._selector.register(store, selectors.EVENT_READ, partial(self._hear_store, store))
        if store.lacks:
            say(f"{store.name}: {store.lacks}")

    def _hear_store(self, store: Served) -> None:
        was_ready, fault = store.is_ready, store.hear()
        self._processes.others |= store.pids
        if store.is_ready and not was_ready:
            for agent in self._agents.values():
                for link in store.links:
                    agent.vouch(link)
        if fault:
            self._selector.unregister(store)
            self._lose_store(store.name, fault)

    def _look_at_stores(self, item: Item) -> None:
        """Members that fail as a store of theirs ends are told, though its keeper is silent yet."""
        for _, store in self._stores:
            is_shared = store.name in item.plan.settings.stores
            if is_shared and store.is_ready and not store.is_running:
                blame(item.member, f"{store.name}: the server has ended")

    def _lose_store(self, name: str, fault: str) -> None:
        """Without it members cannot go on."""
        self._lost.add(name)
        if not self._fault:
            self._fault = fault
            say(f"{name}: {fault}; all that share it are ended")
            self._record.write("store", fault=fault)
            self._end_members()

    def _close_stores(self) -> None:
        """Have them save what the members have left, and end them."""
        done = {f"{i.plan.entity}/{i.member.name}": i.member.digest for i in self._done}
        for shared, store in self._stores:
            fault = close_store(store, shared, done, is_lost=shared.name in self._lost)
            if fault:
                self._fault = fault
                say(f"{shared.name}: its data are not saved: {fault}")

    def _dismiss(self) -> None:
        for agent in self._agents.values():
            agent.stop()
        for agent in self._agents.values():
            agent.dismiss(GRACE_S)

    def _report(self, seconds: float) -> None:
        counts = {status: self._counts[status] for status in STATUSES}
        counts["not started"] = self._left
        self._record.write("finish", elapsed_s=round(seconds, 3), **counts)
        parts = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        say(f"{self._progress.entity}: {parts or 'no members'} in {seconds:.1f} s")
        for item, end, told in self._failed[:NAMED]:
            say(f"  {item.member.directory}: {end.status}{told}")
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
    given = needed(plan.settings)
    names = [field.name for field in fields(Needs) if field.name in given]
    return Needs(**{name: _most(given[name], plan) for name in names})


def _most(value: Resource, plan: Plan) -> int:
    if not isinstance(value, str):
        return int(value)
    return max(int(resource(value, {**plan.known(m), "attempt": 1})) for m in plan.members)


def gathering(plan: Plan, member: Planned, file: Path) -> list[str]:
    """Return the command of a member that gathers first; of others, none."""
    if not any(plan.settings.inputs[entity].members == "all" for entity, _ in member.inputs):
        return []
    return [sys.executable, str(share() / "scripts" / "gather.py"), str(file), member.name]


def needs_here(plan: Plan, nodes: Sequence[Node]) -> Needs:
    """Return what each member of a plan needs; on one machine no more than that has."""
    needs = needs_of(plan)
    if len(nodes) == 1 and workload_manager(os.environ, lambda _: None) == "none":
        return needs.on(nodes[0])  # as Snakemake does with threads
    return needs


def _keys(inputs: Inputs) -> Iterator[tuple[str, str]]:
    return ((entity, name) for entity, names in inputs for name in names)


def run_batch(path: Path) -> int:
    """Run the batch of a plan file and return the exit status.

    Where others wait for its end, whatever it is, failed members are not its failure.
    """
    carries_on = os.environ.pop(CARRY_ON, "")  # not for members
    plan, nodes = read_plan(path), allocation(os.environ)
    plans = [plan, *plan.followers]
    nodes = without_shares(plan.stores, nodes)
    for one in plans:
        needs = needs_here(one, nodes)
        if not Room(nodes).width(needs):
            say(f"{one.entity}: a member needs {_words(needs)}; it fits nowhere. There is:")
            _say_nodes(nodes)
            return 1
    if plan.stores and not _fit_together(plan.stores, plans, nodes):
        return 1
    with store_locks(plan.stores):
        leader = Leader(path, plans, nodes)
        all_complete = leader.run()
    ends_well = all_complete or (carries_on and not leader.was_stopped)
    return 0 if ends_well and not leader.fault else 1


def _fit_together(stores: Sequence[Shared], plans: Sequence[Plan], nodes: Sequence[Node]) -> bool:
    """Tell whether there is room for a member of each plan at once; they talk to each other."""
    room, needs = Room(nodes), {plan.entity: needs_here(plan, nodes) for plan in plans}
    if all(room.take(one) for one in needs.values()):
        return True
    names = ", ".join(store.name for store in stores)
    say(f"{names}: of each that shares it a member has to run at the same time, and they need")
    for entity, one in needs.items():
        say(f"  {entity}: {_words(one)}")
    say("together, which does not fit. There is:")
    _say_nodes(nodes)
    return False


def _say_nodes(nodes: Sequence[Node]) -> None:
    for node in nodes:
        say(f"  {_words(node)}")


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
