"""Machines of their own for tests of nodes: Linux keeps their networks, names and hosts apart."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

NET, OWN = "10.213.{}.{}", 254
# Its file of hosts, its name, then a command in it.
INSIDE = 'mount --bind "$0" /etc/hosts && hostname "$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Machine:
    """What looks like another machine, with the same files and processes."""

    name: str
    address: str
    space: str
    hosts: Path

    def command(self, *words: str) -> list[str]:
        """Return what runs a command there."""
        there = ["nsenter", f"--net=/run/netns/{self.space}", "unshare", "--mount", "--uts"]
        return [*there, "sh", "-c", INSIDE, str(self.hosts), self.name, *words]


@contextmanager
def machines(folder: Path, *names: str) -> Iterator[tuple[str, list[Machine]]]:
    """Make machines in a network with this one; also return this one's address.

    Tests are skipped where that may not be done.
    """
    with ExitStack() as stack:
        try:
            yield _linked(stack, folder, names)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or error
            pytest.skip(f"no machines of our own here: {str(said).strip()}")


def _linked(stack: ExitStack, folder: Path, names: Sequence[str]) -> tuple[str, list[Machine]]:
    mark, third = f"e{os.getpid()}", os.getpid() % 250
    here = NET.format(third, OWN)
    _ip(f"link add {mark} type bridge")
    stack.callback(_ip, f"link del {mark}")
    _ip(f"addr add {here}/24 dev {mark}")
    _ip(f"link set {mark} up")
    hosts = folder / "hosts"
    made = [
        Machine(name, NET.format(third, number), f"{mark}-{name}", hosts)
        for number, name in enumerate(names, 1)
    ]
    hosts.write_text("".join(f"{one.address} {one.name}\n" for one in made))
    for number, machine in enumerate(made):
        _ip(f"netns add {machine.space}")
        stack.callback(_ip, f"netns del {machine.space}")
        _ip(f"link add {mark}{number} type veth peer name eth0 netns {machine.space}")
        _ip(f"link set {mark}{number} master {mark} up")
        for own in (
            f"addr add {machine.address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
        ):
            _ip(f"-n {machine.space} {own}")
    return here, made


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)
