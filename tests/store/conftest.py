"""Stores of the servers that are here: the packaged one, and one on PATH."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.database import Database
from ensemake.store.cluster import Cluster
from ensemake.store.program import _packaged
from ensemake.store.store import Folders, Home, Store

SERVERS = {"packaged": _packaged(), "on PATH": shutil.which("redis-server")}
Begin = Callable[..., Store]
BeginCluster = Callable[..., Cluster]
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


# What differs from server to server; all else is tried with the first that is here.
OF_SERVERS = ("test_tensors", "test_smartredis", "test_cluster")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try each server where it may matter which it is."""
    if "server" in metafunc.fixturenames:
        here = [name for name, path in SERVERS.items() if path]
        is_of_servers = metafunc.module.__name__.endswith(OF_SERVERS)
        metafunc.parametrize("server", here if is_of_servers else here[:1], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> str:
    """Path of a server's program."""
    return str(SERVERS[request.param])


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts stores in a folder; those that still run are ended with the test."""
    begun: list[Store] = []
    folders = Folders(tmp_path / "results" / "store", tmp_path / "results" / ".ensemake" / "store")

    def start(is_loaded: bool = False, **settings: Any) -> Store:
        store = Store("store", Database(**settings), folders, is_loaded)
        begun.append(store)
        store.wait()
        return store

    yield start
    for store in begun:
        store.stop(save=False)


@pytest.fixture
def begin_cluster(tmp_path: Path) -> Iterator[BeginCluster]:
    """As `begin`, of several servers on this machine."""
    begun: list[Cluster] = []
    folders = Folders(tmp_path / "results" / "store", tmp_path / "results" / ".ensemake" / "store")

    def start(is_loaded: bool = False, nodes: int = 3, **settings: Any) -> Cluster:
        own = Database(nodes=nodes, **settings)
        begun.append(Cluster("store", own, folders, is_loaded, False, [Home("n1")] * nodes))
        begun[-1].wait()
        return begun[-1]

    yield start
    for store in begun:
        store.stop(save=False)


@contextmanager
def another_user() -> Iterator[None]:
    """The sockets that are made in it are another user's."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
