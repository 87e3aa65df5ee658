"""Who comes into a server without a password: its user's programs, for SmartRedis has none.

The server's module (`module.c`) asks at a socket about each connection from the network. Those from
this machine the kernel knows. Those from other nodes are known to a process there that has the
password and vouches for its user's programs (`ensemake.store.voucher`), so that they speak to the
server itself, with nothing in between.
"""

import hmac
import socket
from collections import defaultdict
from contextlib import suppress
from threading import Thread

from ensemake.store.peers import Address, is_own

PATIENCE_S = 2.0  # the server waits as long; see module.c
LONGEST = 200  # bytes of a password and its line end
WELCOME = b"ok\n"


class Gate:
    """Answers the server's module, for as long as this process lives.

    Parameters
    ----------
    path
        Of the socket at which the module asks, in a folder of its user's alone.
    served
        Where the server listens.
    password
        Of the server.
    """

    def __init__(self, path: str, served: Address, password: str) -> None:
        self._served, self._password = served, password.encode()
        self._vouchers: dict[str, list[socket.socket]] = defaultdict(list)
        self._asked, self._entry = socket.socket(socket.AF_UNIX), socket.socket()
        self._asked.bind(path)
        self._entry.bind((served[0], 0))
        self.port: int = self._entry.getsockname()[1]
        for way, attend in ((self._asked, self._answer), (self._entry, self._enter)):
            way.listen(128)
            Thread(target=attend, daemon=True).start()

    def _enter(self) -> None:
        while True:
            voucher, (address, _) = self._entry.accept()
            Thread(target=self._welcome, args=[voucher, address], daemon=True).start()

    def _welcome(self, voucher: socket.socket, address: str) -> None:
        """Take a voucher that knows the password; a stranger may be slow, or never speak."""
        voucher.settimeout(PATIENCE_S)
        with suppress(OSError):
            said = voucher.makefile("rb").readline(LONGEST)
            if hmac.compare_digest(said.strip(), self._password):
                voucher.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self._vouchers[address].append(voucher)
                voucher.sendall(WELCOME)
                return
        voucher.close()

    def _answer(self) -> None:
        """One question after another: the server waits for each."""
        while True:
            server, _ = self._asked.accept()
            with server, suppress(OSError, ValueError):
                server.settimeout(PATIENCE_S)
                address, port = server.makefile("rb").readline(LONGEST).decode("ascii").split()
                server.sendall(b"1" if self._is_known((address, int(port))) else b"0")

    def _is_known(self, client: Address) -> bool:
        if is_own(client, self._served):
            return True
        vouchers = self._vouchers.get(client[0], [])
        return any(self._vouches(voucher, client) for voucher in list(vouchers))

    def _vouches(self, voucher: socket.socket, client: Address) -> bool:
        """Ask it; one that is gone, or silent, is not asked again."""
        answer = b""
        with suppress(OSError):
            voucher.sendall(f"{client[1]}\n".encode())
            answer = voucher.recv(1)
        if not answer:
            self._vouchers[client[0]].remove(voucher)
            voucher.close()
        return answer == b"1"
