"""A member's own store: run.sh starts this process beside the member and speaks with it by lines.

It ends the server when its standard input does: then run.sh is gone. It says ``set NAME VALUE`` for
each variable of the member, ``ready``, ``alive`` to each line that it is told while the server
runs, and ``failed REASON`` when that has ended.
"""

import os
import select
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from secrets import token_hex

from ensemake.config.database import GATE, Colocated, Database
from ensemake.store.address import listening_address
from ensemake.store.gate import Gate
from ensemake.store.keeper import LOOK_S, Order, Server
from ensemake.store.private import clear_private, hold_private
from ensemake.store.program import find_server, tensor_module

TOLD = 3  # exit code of who has said why


def main(settings: str, folder: str, spread: str = "") -> int:
    """Keep a store until nobody wants it; return `TOLD` if it ended by itself.

    Parameters
    ----------
    settings
        A `Colocated` as JSON.
    folder
        Path of the folder for its socket, which is made, and its user's alone.
    spread
        Says that the member has other nodes as well; "" if not.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    clear_private()
    try:
        os.mkdir(folder, 0o700)
        hold_private(folder)
    except OSError as error:
        return _failed(str(error))
    try:
        return _keep(_order(Colocated.model_validate_json(settings), folder, bool(spread)))
    except (OSError, ValueError) as error:
        return _failed(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _order(own: Colocated, folder: str, is_spread: bool) -> Order:
    return Order(
        name="own",
        settings=Database(mem_mb=own.mem_mb, settings=own.settings, save=False),
        program=find_server(),
        modules=_tensors(),
        address=listening_address(own.interface if is_spread else None, is_spread),
        folder=folder,
        data=folder,
        log=f"{folder}/log",
        news=f"{folder}/news",
        password=token_hex(32) if is_spread or not own.unix_socket else "",
        checkpoint="",
    )


def _tensors() -> list[list[str]]:
    """Without the module all else works."""
    try:
        return [[str(tensor_module())]]
    except OSError as error:
        told = f"ensemake: its store is without tensors, so not for SmartRedis: {error}"
        print(told, file=sys.stderr, flush=True)
        return []


def _keep(order: Order) -> int:
    server = Server(order)
    try:
        for line in (*_variables(order, server.port), "ready"):
            _say(line)
        return _attend(server)
    finally:
        server.stop()


def _variables(order: Order, port: int) -> Iterator[str]:
    yield "set SR_DB_TYPE Standalone"
    if not port:
        yield f"set SSDB unix://{order.socket}"
        yield f"set ENSEMAKE_STORE unix://{order.socket}"
        return
    there = f"{order.address}:{port}"
    yield f"set SSDB {there}"
    yield f"set ENSEMAKE_STORE redis://:{order.password}@{there}/0"
    yield f"set {GATE} {Gate(order.gate, (order.address, port), order.password).port}"


def _attend(server: Server) -> int:
    while not server.has_ended:
        if select.select([sys.stdin], [], [], LOOK_S)[0]:
            if not sys.stdin.readline():
                return 0
            if not server.has_ended:
                _say("alive")
    return _failed(server.how_ended())


def _failed(reason: str) -> int:
    _say(f"failed {' '.join(reason.split())}")
    return TOLD


def _say(line: str) -> None:
    """Nobody may be there to hear it."""
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())
