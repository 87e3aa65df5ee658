"""Ways to a store on the other nodes of a job, for SmartRedis, which knows no password.

A socket in a folder of its user's alone, or, to a server of a cluster, a door: a port of the node's
loopback that lets in what the same user runs. Threads of the node's agent or of a keeper there, so
that nothing is left when that ends.
"""

import fcntl
import os
import shutil
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from ensemake.store.peers import is_own
from ensemake.store.seats import LOOPBACK

BLOCK, PIPE, SMALL = 1 << 16, 1 << 20, 1 << 14  # bytes
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Link:
    """What there is to connect: a way in on this node, and a server.

    Parameters
    ----------
    address, port, password
        Of the server.
    path
        Of a socket, in a folder of its user's alone; "" for a door.
    door
        Its port.
    id
        Of the server in its cluster.
    """

    address: str
    port: int
    password: str
    path: str = ""
    door: int = 0
    id: str = ""


class Relay:
    """Hands on what programs on this node say to a store, until it is closed.

    Raises
    ------
    OSError
        If the way in cannot be made.
    """

    def __init__(self, link: Link) -> None:
        self._link, self._folder = link, Path()
        self._socket = self._door() if link.door else self._in_folder()
        if self._socket:
            self._socket.listen(128)
            Thread(target=self._accept, args=[self._socket], daemon=True).start()

    def _in_folder(self) -> socket.socket | None:
        path = self._link.path
        way = socket.socket(socket.AF_UNIX)
        try:
            Path(path).parent.mkdir(mode=0o700)
        except FileExistsError:  # the same machine under another name
            with way:
                way.connect(path)
            return None
        self._folder = Path(path).parent
        way.bind(path)
        return way

    def _door(self) -> socket.socket | None:
        way = socket.socket()
        way.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            way.bind((LOOPBACK, self._link.door))
        except OSError:
            way.close()
            if not _is_there(self._link):
                raise
            return None
        return way

    def close(self) -> None:
        """Take the way in away."""
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes who waits there
            self._socket.close()
        if self._folder.name:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self, way: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = way.accept()
                Thread(target=self._admit, args=[client], daemon=True).start()

    def _admit(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if not self._link.door or is_own(client):
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        with connected(self._link) as server:
            back = Thread(target=_pump, args=[server, client], daemon=True)
            back.start()
            _pump(client, server)
            back.join()


def _is_there(link: Link) -> bool:
    """Tell whether the server itself is where its door would be: this is its machine."""
    with suppress(OSError), socket.create_connection((LOOPBACK, link.door), PATIENCE_S) as trial:
        trial.sendall(b"CLUSTER MYID\r\n")  # a stranger does not know, and hears no password
        return trial.makefile("rb").read(45) == f"$40\r\n{link.id}".encode()
    return False


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
    """Hand on until one side ends: words through a buffer, large values within the kernel.

    That halves the CPU time of these, and would double that of words.
    """
    block = memoryview(bytearray(BLOCK))
    with suppress(OSError), ExitStack() as stack:
        pipe: tuple[int, int] | None = None
        while count := one.recv_into(block):
            other.sendall(block[:count])
            if count == BLOCK:
                pipe = pipe or _pipe(stack)
                _splice(one.fileno(), other.fileno(), pipe)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _pipe(stack: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    with suppress(OSError):  # as large as its user may still have
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE)
    return ends


def _splice(source: int, target: int, pipe: tuple[int, int]) -> None:
    """Hand on as long as much comes at once."""
    count = SMALL
    while count >= SMALL:
        count = left = os.splice(source, pipe[1], PIPE)
        while left:
            left -= os.splice(pipe[0], target, left)
