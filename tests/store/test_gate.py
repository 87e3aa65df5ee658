"""Who comes into a server without a password, from this machine and from another."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import redis

from ensemake.config.database import Database
from ensemake.store import gate
from ensemake.store.link import Link
from ensemake.store.store import Folders, Store
from ensemake.store.voucher import Voucher

from ..machines import Machine, machines
from .conftest import NOBODY, needs_root

VOUCH = """\
import sys
from ensemake.store.link import Link
from ensemake.store.voucher import Voucher
voucher = Voucher(Link(**{link}))
print("vouches", flush=True)
sys.stdin.read()
"""
ASK = """\
import os, socket, sys
"load it now".encode("idna")
os.setuid(int(sys.argv[1]))
client = socket.create_connection({address})
client.sendall(b"PING\\r\\n")
print(client.recv(100).split(b" ")[0].decode().strip())
"""


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[str, Machine]]:
    """This machine's address in a network, and another machine there."""
    with machines(tmp_path, "far") as (address, (machine,)):
        yield address, machine


@pytest.fixture
def store(far: tuple[str, Machine], server: str, tmp_path: Path) -> Iterator[Store]:
    """A store that others reach."""
    settings = Database(server=server, interface=far[0])
    folders = Folders(tmp_path / "data", tmp_path / "state")
    begun = Store("store", settings, folders, False, has_others=True)
    begun.wait()
    yield begun
    begun.stop(save=False)


def asked(store: Store, machine: Machine, user: int = 0) -> str:
    code = ASK.format(address=(store.address, store.port))
    words = machine.command(sys.executable, "-c", code, str(user))
    return subprocess.check_output(words, text=True, timeout=30).strip()


def vouching(store: Store, machine: Machine, code: str = VOUCH) -> subprocess.Popen[str]:
    words = machine.command(sys.executable, "-c", code.format(link=asdict(store.links[0])))
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "vouches\n"
    return process


def test_another_machine_needs_somebody_who_vouches(store: Store, far: tuple[str, Machine]) -> None:
    _, machine = far
    assert asked(store, machine) == "-NOAUTH"
    voucher = vouching(store, machine)
    assert asked(store, machine) == "+PONG"
    second = vouching(store, machine)
    voucher.communicate()
    assert asked(store, machine) == "+PONG"
    second.communicate()
    assert asked(store, machine) == "-NOAUTH"


@needs_root
def test_nobody_vouches_for_other_users(store: Store, far: tuple[str, Machine]) -> None:
    _, machine = far
    voucher = vouching(store, machine)
    assert asked(store, machine, NOBODY) == "-NOAUTH"
    assert asked(store, machine) == "+PONG"
    voucher.communicate()


def test_one_that_does_not_answer_is_not_waited_for_twice(
    store: Store, far: tuple[str, Machine]
) -> None:
    _, machine = far
    voucher = vouching(store, machine)
    voucher.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert asked(store, machine) == "-NOAUTH"
    assert asked(store, machine) == "-NOAUTH"
    assert time.monotonic() - began > gate.PATIENCE_S  # that it is stopped
    voucher.send_signal(signal.SIGCONT)
    voucher.communicate()
    assert redis.Redis.from_url(store.url).ping()


def test_a_voucher_has_to_know_the_password(store: Store) -> None:
    own = store.links[0]
    with pytest.raises(ConnectionRefusedError, match="takes no voucher"):
        Voucher(Link(own.address, own.port, "another", own.gate))
    with socket.create_connection((own.address, own.gate)) as silent:
        Voucher(own).close()  # while it says nothing
        silent.sendall(b"x" * 10_000)
    assert redis.Redis(own.address, own.port).ping()


def test_its_voucher_ends_with_it(store: Store) -> None:
    voucher = Voucher(store.links[0])
    store.stop(save=False)
    voucher.wait()
