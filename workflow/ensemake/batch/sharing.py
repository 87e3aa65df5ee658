"""The store that the members of a batch share: its room, its start and end."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from ensemake.atomic import write_atomically
from ensemake.batch.allocation import Node, own_node, workload_manager
from ensemake.member.plan import Plan, Planned, Shared, key_prefix
from ensemake.member.state import read_status
from ensemake.store.checkpoint import add_kept
from ensemake.store.joined import Joined
from ensemake.store.saved import forget_saved, read_saved, write_saved
from ensemake.store.store import Folders, Store


def without_share(store: Shared | None, nodes: list[Node]) -> list[Node]:
    """Return what of the nodes a store leaves to members.

    It runs on ours. On a machine of one's own it takes what members leave of its CPUs.
    """
    if store is None or store.checkpoint or workload_manager(os.environ, lambda _: None) == "none":
        return nodes
    own, settings = own_node(os.environ, nodes), store.settings
    return [
        replace(
            node,
            cpus=max(0, node.cpus - settings.cpus),
            mem_mb=node.mem_mb and max(1, node.mem_mb - (settings.mem_mb or 0)),
        )
        if node.name == own
        else node
        for node in nodes
    ]


@contextmanager
def store_lock(store: Shared | None) -> Iterator[None]:
    """Hold a store's place: a job that was left running may still have it."""
    if store is None or store.checkpoint:
        yield
        return
    state = Path(store.state)
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "store.lock", "ab") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def going_on(shared: Shared, skipped: int) -> Shared:
    """Have a store go on with its data where some of its members have completed meanwhile."""
    return replace(shared, is_loaded=shared.is_loaded or (shared.settings.save and skipped > 0))


def shared_store(shared: Shared, nodes: Sequence[Node]) -> Store | Joined:
    """Start the store of a batch, or join the one that a script holds.

    Raises
    ------
    OSError, ValueError
        If that cannot be.
    """
    folders = Folders(Path(shared.data), Path(shared.state))
    has_others = [node.name for node in nodes] != [own_node(os.environ, list(nodes))]
    if shared.checkpoint:
        return Joined(Path(shared.checkpoint), has_others)
    return Store(shared.name, shared.settings, folders, shared.is_loaded, has_others)


def own_share(store: Store | Joined, shared: Shared, plan: Plan, member: Planned) -> dict[str, str]:
    """Return the variables by which a member finds the store."""
    settings = plan.settings
    prefix = key_prefix(plan.entity, member.name) if settings.key_prefixing else ""
    reads = [prefix for name in settings.reads_from for prefix in shared.prefixes.get(name, ())]
    return store.environ(prefix, reads)


def close_store(
    store: Store | Joined, shared: Shared, done: Mapping[str, str], is_lost: bool
) -> str:
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
