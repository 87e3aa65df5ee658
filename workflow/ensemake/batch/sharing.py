"""The store that the members of a batch share: its room, its start and end."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from ensemake.atomic import write_atomically
from ensemake.batch.allocation import Node, own_node, workload_manager
from ensemake.batch.log import say
from ensemake.batch.node_agent import command
from ensemake.member.plan import Plan, Planned, Shared, key_prefix
from ensemake.member.state import read_status
from ensemake.store.checkpoint import add_kept
from ensemake.store.cluster import Cluster
from ensemake.store.joined import Joined
from ensemake.store.saved import forget_saved, read_saved, write_saved
from ensemake.store.store import KEEPER, Folders, Home, Store

Served = Store | Cluster | Joined


def without_shares(stores: Sequence[Shared], nodes: list[Node]) -> list[Node]:
    """Return what of the nodes stores leave to members.

    On a machine of one's own they take what members leave of its CPUs.
    """
    for store in stores:
        nodes = _without_share(store, nodes)
    return nodes


def _without_share(store: Shared, nodes: list[Node]) -> list[Node]:
    if store.checkpoint or workload_manager(os.environ, lambda _: None) == "none":
        return nodes
    homes = Counter(node.name for node in homes_of(store, nodes) if node)
    return [_without(node, store, homes[node.name]) for node in nodes]


def _without(node: Node, store: Shared, servers: int) -> Node:
    cpus, mem_mb = store.settings.cpus * servers, (store.settings.mem_mb or 0) * servers
    left = node.mem_mb and max(1, node.mem_mb - mem_mb) if servers else node.mem_mb
    return replace(node, cpus=max(0, node.cpus - cpus), mem_mb=left)


def homes_of(store: Shared, nodes: Sequence[Node]) -> list[Node | None]:
    """Return where each server of a store runs: our node first, then the others in turn.

    A single one is ours, though our node be none of these (None).
    """
    own = own_node(os.environ, list(nodes))
    if store.settings.nodes == 1:
        return [next((node for node in nodes if node.name == own), None)]
    turn = sorted(nodes, key=lambda node: node.name != own)
    return [turn[number % len(turn)] for number in range(store.settings.nodes)]


@contextmanager
def store_locks(stores: Sequence[Shared]) -> Iterator[None]:
    """Hold the places of stores: a job that was left running may still have them."""
    with ExitStack() as locks:
        for store in sorted(stores, key=lambda store: store.name):
            locks.enter_context(_store_lock(store))
        yield


@contextmanager
def _store_lock(store: Shared) -> Iterator[None]:
    if store.checkpoint:
        yield
        return
    state = Path(store.state)
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "store.lock", "ab") as lock:
        with suppress(OSError):  # a file system without locks
            _wait_for(lock, store.name)
        yield


def _wait_for(lock: IO[bytes], name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"{name}: another job has it, or a script that cannot be reached; waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)


def going_on(shared: Shared, skipped: int) -> Shared:
    """Have a store go on with its data where some of its members have completed meanwhile."""
    return replace(shared, is_loaded=shared.is_loaded or (shared.settings.save and skipped > 0))


def shared_store(shared: Shared, nodes: Sequence[Node]) -> Served:
    """Start the store of a batch, or join the one that a script holds.

    Raises
    ------
    OSError, ValueError
        If that cannot be.
    """
    if shared.checkpoint:
        return Joined(Path(shared.checkpoint))
    return own_store(shared, nodes)


def own_store(shared: Shared, nodes: Sequence[Node], reach: bool = False) -> Store | Cluster:
    """Start a store on these nodes.

    Parameters
    ----------
    reach
        Whether programs elsewhere use it too.

    Raises
    ------
    OSError, ValueError
        If that cannot be.
    """
    folders = Folders(Path(shared.data), Path(shared.state))
    has_others = reach or _has_others(nodes)
    given = (shared.name, shared.settings, folders, shared.is_loaded, has_others)
    if shared.settings.nodes == 1:
        return Store(*given)
    own, homes = own_node(os.environ, list(nodes)), filter(None, homes_of(shared, nodes))
    return Cluster(*given, [_home(node, own, folders.state) for node in homes])


def _has_others(nodes: Sequence[Node]) -> bool:
    return [node.name for node in nodes] != [own_node(os.environ, list(nodes))]


def _home(node: Node, own: str | None, state: Path) -> Home:
    if node.name == own:
        return Home(node.name)
    environ = {} if "SLURM_JOB_ID" in os.environ else dict(os.environ)
    log = (state / f"keeper.{node.name}.log").absolute()
    return Home(node.name, command(node, os.environ, log, KEEPER), environ)


def own_shares(
    served: Iterable[tuple[Shared, Served]], plan: Plan, member: Planned
) -> dict[str, str]:
    """Return the variables by which a member finds its stores: of several with their names."""
    settings, found = plan.settings, dict[str, str]()
    prefix = key_prefix(settings, plan.entity, member.name) if settings.key_prefixing else ""
    for shared, store in served:
        if shared.name in settings.stores:
            reads = [one for name in settings.reads_from for one in shared.prefixes.get(name, ())]
            suffix = f"_{shared.name}" if settings.has_named_stores else ""
            variables = store.environ(prefix, reads)
            found |= {f"{name}{suffix}": value for name, value in variables.items()}
    return found


def close_store(store: Served, shared: Shared, done: Mapping[str, str], is_lost: bool) -> str:
    """Save a store and end it; return why its data are not saved, "" if they are or need not be.

    That of a script is left as it is.

    Parameters
    ----------
    done
        The members that have completed in this job, with their digests.
    """
    if shared.checkpoint and not is_lost:
        with suppress(OSError, ValueError):  # it has ended just now
            add_kept(Path(shared.state), done)
    if is_lost or shared.checkpoint or not shared.settings.save:
        store.stop(save=False)
        return ""
    state = Path(shared.state)
    kept = read_saved(state, Path(shared.data)) if shared.is_loaded else {}
    forget_saved(state)
    fault = store.stop(save=True)
    if not fault:
        write_saved(state, {**kept, **done})
    return fault


def blame(member: Planned, reason: str) -> None:
    """Give a member that something ended its reason."""
    directory = Path(member.directory)
    status = read_status(directory)
    if status and status.status != "completed":
        told = replace(status, reason=f"{status.reason} ({reason})")
        write_atomically(directory / "status.json", (json.dumps(asdict(told)) + "\n").encode())
