"""As much of a client as it takes to look after a server: words there, one answer back."""

import socket
from typing import Any, BinaryIO


class ServerError(Exception):
    """The server's own words for why it does not do something."""


class Client:
    """A connection to a server through its Unix socket.

    Parameters
    ----------
    path
        Of the socket.
    password
        Of the run; "" for none.
    patience
        Seconds to wait for an answer; None for as long as it takes.
    """

    def __init__(self, path: str, password: str, patience: float | None = 10) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience)
        try:
            self._socket.connect(path)
            self._answers: BinaryIO = self._socket.makefile("rb")
            if password:
                self.ask("AUTH", password)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, *words: str) -> Any:
        """Return the answer to a command.

        Raises
        ------
        ServerError
            If the answer is an error.
        OSError
            If there is none.
        """
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded)]
        self._socket.sendall(b"".join(parts))
        return self._answer()

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ServerError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._answers.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        return rest.decode()


def info(client: Client) -> dict[str, str]:
    """Return what a server tells of itself."""
    lines = (line.partition(":") for line in client.ask("INFO").splitlines())
    return {name: value for name, colon, value in lines if colon}
