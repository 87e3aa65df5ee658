"""Members with stores of their own in the workflow: alone, in a batch, beside a shared one."""

from typing import Any

import pytest

from ..conftest import Project
from .test_store import servers

pytestmark = pytest.mark.workflow

CODE = """\
import os, sys, redis
store = redis.Redis.from_url(os.environ["ENSEMAKE_STORE"])
print(store.incr("n"), os.environ["SSDB"].partition(":")[0], os.environ.get("SSKEYOUT"))
if sys.argv[2:] == ["die"]:
    os.kill(store.info()["process_id"], 9)
"""


@pytest.fixture
def own(project: Project) -> Project:
    project.write("code.py", CODE)
    run = {"exe": "python", "exe_args": ["code.py", "{{ x }}"]}
    settings: dict[str, Any] = {"run_settings": run, "files": {"to_copy": ["code.py"]}}
    project.ensemble("a", params={"x": [1, 2, 3]}, outputs=[], colocated_db={}, **settings)
    return project


@pytest.mark.parametrize("batch", [None, {}])
def test_each_has_its_own(own: Project, batch: dict[str, Any] | None) -> None:
    ensemble = own.config["ensembles"]["a"]
    ensemble["key_prefixing"] = True
    if batch is not None:
        ensemble["batch_settings"] = batch
    done = own.run("--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    for x in (1, 2, 3):
        member = own.member("a", x=x)
        assert (member / "run.out").read_text() == f"1 unix a_{member.name}\n"
    assert servers(own) == []
    ensemble["colocated_db"] = {"unix_socket": False, "cpus": 2, "mem_mb": 30}
    assert own.run().returncode == 0  # where it is reached, and its size, run nothing again
    assert (own.member("a", x=1) / "run.out").read_text().startswith("1 unix")


@pytest.mark.parametrize("batch", [None, {}])
def test_one_that_dies_fails_its_member_alone(own: Project, batch: dict[str, Any] | None) -> None:
    ensemble = own.config["ensembles"]["a"]
    ensemble["run_settings"]["exe_args"] += ["{% if x == 2 %}die{% endif %}"]
    if batch is not None:
        ensemble["batch_settings"] = batch
    done = own.run("--cores", "4", "--keep-going")
    assert done.returncode == 1
    rows = {row["x"]: row for row in own.table("a")}
    assert [rows[x]["status"] for x in "123"] == ["completed", "failed", "completed"]
    assert rows["2"]["reason"] == "its store: the server was killed by SIGKILL"
    assert servers(own) == []
