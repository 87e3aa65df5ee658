"""A store's socket on the other nodes of a job: SmartRedis knows no password, a socket needs none.

Threads of the node's agent, so that nothing is left when that ends.
"""

import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

BLOCK = 1 << 20  # bytes
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Link:
    """What there is to connect: a socket here, in a folder of its user's alone, and a server."""

    path: str
    address: str
    port: int
    password: str


class Relay:
    """Hands on what programs on this node say to a store, until it is closed.

    Raises
    ------
    OSError
        If the socket cannot be made.
    """

    def __init__(self, link: Link) -> None:
        self._link, self._folder = link, Path(link.path).parent
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._folder.mkdir(mode=0o700)
        except FileExistsError:  # the same machine under another name
            self._folder = Path()
            self._socket.connect(link.path)
            return
        self._socket.bind(link.path)
        self._socket.listen(128)
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take the socket away."""
        self._socket.close()
        if self._folder.name:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._socket.accept()
                Thread(target=self._join, args=[client], daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with suppress(OSError), client, connected(self._link) as server:
            back = Thread(target=_pump, args=[server, client], daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def reached(link: Link) -> socket.socket:
    """Return a connection through the server's socket, where that is, or else the network.

    Raises
    ------
    OSError
        If there is none, or it does not let us in.
    """
    if not Path(link.path).is_socket():
        return connected(link)
    server = socket.socket(socket.AF_UNIX)
    server.connect(link.path)
    return _let_in(server, link.password)


def connected(link: Link) -> socket.socket:
    """Return a connection through the network; raise as `reached`."""
    server = socket.create_connection((link.address, link.port), PATIENCE_S)
    server.settimeout(None)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Hand on until one side ends."""
    block = memoryview(bytearray(BLOCK))
    with suppress(OSError):
        while count := one.recv_into(block):
            other.sendall(block[:count])
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
