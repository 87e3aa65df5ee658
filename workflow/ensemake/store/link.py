"""What it takes to connect to a server of a store, and a connection."""

import socket
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 10.0


@dataclass(frozen=True)
class Link:
    """Where a server is.

    Parameters
    ----------
    address, port, password
        Of the server.
    gate
        The port at which its keeper hears who vouches for programs; see `ensemake.store.gate`.
    path
        Of its Unix socket.
    """

    address: str
    port: int
    password: str
    gate: int
    path: str = ""


def reached(link: Link) -> socket.socket:
    """Return a connection through the server's socket, where that is, or else the network.

    Raises
    ------
    OSError
        If there is none, or it does not let us in.
    """
    if Path(link.path).is_socket():
        server = socket.socket(socket.AF_UNIX)
        server.connect(link.path)
    else:
        server = socket.create_connection((link.address, link.port), PATIENCE_S)
        server.settimeout(None)
    return _let_in(server, link.password)


def _let_in(server: socket.socket, password: str) -> socket.socket:
    server.sendall(f"AUTH {password}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n"):
        part = server.recv(1)
        if not part:
            break
        answer += part
    if answer != b"+OK\r\n":
        server.close()
        raise ConnectionRefusedError(answer)
    return server
