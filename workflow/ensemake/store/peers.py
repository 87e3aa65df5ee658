"""Who is at the other end of a connection from this machine."""

import os
import socket
import struct
from pathlib import Path

TABLE = Path("/proc/net/tcp")  # Linux
ESTABLISHED = "01"  # of one that is closing the kernel does not know whose it is


def is_own(connection: socket.socket) -> bool:
    """Tell whether a process of our user is at the other end of a connection over loopback."""
    here, there = map(_as_listed, (connection.getsockname(), connection.getpeername()))
    try:
        lines = TABLE.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False
    return any(
        (source, target, state, int(user)) == (there, here, ESTABLISHED, os.getuid())
        for _, source, target, state, _, _, _, user, *_ in map(str.split, lines)
    )


def _as_listed(address: tuple[str, int]) -> str:
    """``127.0.0.1``, 80 -> ``0100007F:0050``: as a number of this machine."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
