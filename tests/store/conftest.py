"""Stores of the servers that are here: the packaged one, and one on PATH."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.database import Database
from ensemake.store.program import _packaged
from ensemake.store.store import Folders, Store

SERVERS = {"packaged": _packaged(), "on PATH": shutil.which("redis-server")}
Begin = Callable[..., Store]


@pytest.fixture(params=[name for name, path in SERVERS.items() if path])
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
