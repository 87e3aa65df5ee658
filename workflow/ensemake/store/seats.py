"""The seats of a cluster's servers: which keys each holds, and where the others are.

The ports are chosen before the servers start; their addresses each finds on its own node.
"""

import random
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

LOOPBACK = "127.0.0.1"
SLOTS = 16384
BUS = 10000  # the port at which servers talk among themselves is so much higher; see module.c
PORTS = range(10000, 22000)  # they and those of the bus lie below what systems give out
TRIES = 100
PATIENCE_MS = 2_000_000_000  # they never talk, so nobody is to be missed


@dataclass(frozen=True)
class Seat:
    """The place of one server among those of its cluster.

    Parameters
    ----------
    number
        Which it is, from 0.
    ports, ids, password
        Of all of them.
    addresses
        Of all of them, once they are known.
    """

    number: int
    ports: Sequence[int]
    ids: Sequence[str]
    password: str
    addresses: Sequence[str] = ()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.ports[self.number]

    def directives(self, folder: str) -> list[str]:
        """Return what its configuration says of the cluster."""
        return [
            "cluster-enabled yes",
            f"cluster-config-file {folder}/nodes.conf",
            f"cluster-announce-ip {self.addresses[self.number]}",
            f"cluster-node-timeout {PATIENCE_MS}",
        ]

    def nodes_file(self) -> str:
        """Return what it knows of the others from the beginning; no port (0) is to be asked."""
        slots = slot_ranges(len(self.ids))
        every = zip(self.ids, self.addresses, self.ports, slots, strict=True)
        lines = [
            f"{name} {address}:{port}@0 {'myself,' * (number == self.number)}master "
            f"- 0 0 {number + 1} connected {first}-{last}"
            for number, (name, address, port, (first, last)) in enumerate(every)
        ]
        return "\n".join([*lines, f"vars currentEpoch {len(lines)} lastVoteEpoch 0", ""])


def slot_ranges(count: int) -> list[tuple[int, int]]:
    """Return the first and last hash slot of each of so many servers."""
    ends = [SLOTS * number // count for number in range(count + 1)]
    return [(first, end - 1) for first, end in pairwise(ends)]


def seats(count: int, port: int) -> list[Seat]:
    """Return the seats of so many servers at this port and the next ones; 0 for any free ones."""
    first = port or _free_ports(count)
    ports, ids = [*range(first, first + count)], [secrets.token_hex(20) for _ in range(count)]
    password = secrets.token_hex(32)
    return [Seat(number, ports, ids, password) for number in range(count)]


def _free_ports(count: int) -> int:
    for _ in range(TRIES):
        first = random.choice(PORTS)
        if _are_free([*range(first, first + count), *range(first + BUS, first + BUS + count)]):
            return first
    raise OSError(f"no {count} free ports in a row between {PORTS.start} and {PORTS.stop}")


def _are_free(ports: Sequence[int]) -> bool:
    with ExitStack() as stack:
        for port in ports:
            trial = stack.enter_context(socket.socket())
            try:
                trial.bind((LOOPBACK, port))
            except OSError:
                return False
    return True
