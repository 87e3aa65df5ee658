"""Vouches, on a node without the server, for what its user runs there; see `ensemake.store.gate`.

The agent of the node does so for the members of a batch. A member that has a store of its own and
several nodes has no agents: there each of its processes begins here, and the first of a node leaves
one behind that vouches.
"""

import os
import socket
import sys
import time
from contextlib import suppress
from threading import Thread
from urllib.parse import urlsplit

from ensemake.config.database import GATE
from ensemake.store.gate import WELCOME
from ensemake.store.link import PATIENCE_S, Link
from ensemake.store.peers import is_own

LOOK_S = 0.05


class Voucher:
    """Vouches in a thread until it is closed, or the server's keeper is gone.

    Raises
    ------
    OSError
        If the keeper does not take it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._line = socket.create_connection((link.address, link.gate), PATIENCE_S)
        self._line.sendall(link.password.encode() + b"\n")
        if self._line.recv(len(WELCOME)) != WELCOME:
            self._line.close()
            raise ConnectionRefusedError(f"{link.address}:{link.gate} takes no voucher")
        self._line.settimeout(None)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._here = self._line.getsockname()[0]
        self._thread = Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        server = self._link.address, self._link.port
        with suppress(OSError, ValueError):
            for port in self._line.makefile("rb"):
                self._line.sendall(b"1" if is_own((self._here, int(port)), server) else b"0")

    def wait(self) -> None:
        """Wait until the keeper is gone."""
        self._thread.join()

    def close(self) -> None:
        """Vouch no more."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._line.close()


def main(words: list[str]) -> int:
    """Become a program of a member, once the member's own store lets it in; only return if not.

    Returns
    -------
    int
        1: it is not let in, which is told.
    """
    url, gate = urlsplit(os.environ["ENSEMAKE_STORE"]), os.environ.pop(GATE, "")
    link = Link(url.hostname or "", url.port or 0, url.password or "", int(gate or 0))
    try:
        if gate and not is_let_in(link):
            _leave_voucher(link)
            _wait(link)
        os.execvp(words[0], words)
    except OSError as error:
        print(f"ensemake: {words[0]} on {socket.gethostname()}: {error}", file=sys.stderr)
    return 1


def is_let_in(link: Link) -> bool:
    """Tell whether our user's programs on this machine need no password.

    Raises
    ------
    OSError
        If the server is not there.
    """
    with socket.create_connection((link.address, link.port), PATIENCE_S) as trial:
        trial.sendall(b"PING\r\n")
        return trial.recv(5) == b"+PONG"


def _wait(link: Link) -> None:
    began = time.monotonic()
    while not is_let_in(link):
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError("the member's store does not let its programs in")
        time.sleep(LOOK_S)


def _leave_voucher(link: Link) -> None:
    """Leave a process that is no child of ours; what we are to become holds nothing of it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork() == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        with suppress(OSError), socket.socket(socket.AF_UNIX) as first:
            first.bind(f"\0ensemake {link.address}:{link.port}")  # one on each node is enough
            Voucher(link).wait()
    os._exit(0)
