"""Whose a connection from this machine is: the kernel lists them with their users."""

import os
import socket
import struct
from pathlib import Path

Address = tuple[str, int]

TABLE = Path("/proc/net/tcp")  # Linux
ESTABLISHED = "01"  # of one that is closing the kernel does not know whose it is


def is_own(source: Address, target: Address) -> bool:
    """Tell whether a process of our user on this machine has a connection between these ends."""
    here, there = _as_listed(source), _as_listed(target)
    try:
        lines = TABLE.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False
    return any(
        (own, other, state, int(user)) == (here, there, ESTABLISHED, os.geteuid())
        for _, own, other, state, _, _, _, user, *_ in map(str.split, lines)
    )


def _as_listed(address: Address) -> str:
    """``127.0.0.1``, 80 -> ``0100007F:0050``: as a number of this machine."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
