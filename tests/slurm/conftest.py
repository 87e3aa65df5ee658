"""A real Slurm on this machine for the tests of this folder: two nodes of four CPUs."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from slurm_cluster import PROGRAMS, Cluster
from slurm_project import SlurmProject


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A running cluster; every test of the session shares it."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        reason = f"Slurm is not installed: no {', '.join(missing)} (Debian: slurm-wlm)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def project(slurm: Cluster, tmp_path: Path) -> SlurmProject:
    """A project that is run on the cluster; what a failed test left there is put right."""
    slurm.settle()
    return SlurmProject(tmp_path / "project", environ=slurm.environ)


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All on one worker of xdist: a second cluster would take the CPUs of the first."""
    for item in items:
        if item.get_closest_marker("slurm"):
            item.add_marker(pytest.mark.xdist_group("slurm"))
