"""Folders of servers: those of the dead are cleared, nothing else is."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ensemake.store import private

from .conftest import Begin

HOLDER = """\
import sys
from ensemake.store.private import hold_private
hold_private(sys.argv[1])
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(private, "PLACES", (str(tmp_path),))
    return tmp_path


def left(place: Path, name: str, *files: str) -> Path:
    folder = place / f"{private.PREFIX}{name}"
    folder.mkdir()
    for file in files:
        (folder / file).touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
    os.utime(folder, (0, 0))
    return folder


def test_what_the_dead_left_is_cleared_and_nothing_else(place: Path) -> None:
    dead = left(place, "dead", "log", "nodes.conf")
    held, others = left(place, "held"), left(place, "other", "thesis.tex")
    user = place / f"{private.PREFIX}analysis"
    user.mkdir()
    (user / "log").write_text("mine")
    empty = place / f"{private.PREFIX}empty"
    empty.mkdir()
    for folder in (user, empty):
        os.utime(folder, (0, 0))
    new = Path(private.private_folder())
    (place / f"{private.PREFIX}link").symlink_to(others)
    command = [sys.executable, "-c", HOLDER, str(held)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        holder.stdout.readline()
        private.clear_private()
        assert not dead.exists()
        assert held.exists()
        assert (others / "thesis.tex").exists()
        assert new.exists()
        assert (user / "log").exists()
        assert empty.exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        private.clear_private()
        assert not held.exists()


def test_a_server_that_runs_has_its_folder(begin: Begin, server: str) -> None:
    store = begin(server=server)
    os.utime(store.order.folder, (0, 0))
    private.clear_private()
    assert Path(store.order.socket).is_socket()
