"""The real SmartRedis client on our stores: what it does on RedisAI, but models and scripts.

It has no place in our environment: it wants an older NumPy. A Python that has it (3.11 or older:
`python3.11 -m venv E; E/bin/pip install smartredis 'numpy<2'`) is named by SMARTREDIS_PYTHON.
"""

import os
import subprocess

import pytest

from .conftest import Begin, BeginCluster

PYTHON = os.environ.get("SMARTREDIS_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="SMARTREDIS_PYTHON names no Python with it")

SCRIPT = """\
import numpy as np
from smartredis import Client, Dataset
client = Client(None)
TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16")
for name in TYPES:
    array = np.arange(24).reshape(2, 3, 4).astype(name)
    client.put_tensor(name, array)
    found = client.get_tensor(name)
    assert found.dtype == array.dtype and (found == array).all()
large = np.random.rand(1024, 1024)
client.put_tensor("large", large)
assert (client.get_tensor("large") == large).all()
client.copy_tensor("int8", "copy")
client.rename_tensor("copy", "renamed")
assert client.poll_tensor("renamed", 10, 3)
client.delete_tensor("renamed")
assert not client.tensor_exists("renamed")
data = Dataset("data")
data.add_tensor("t", array)
data.add_meta_scalar("s", 1.5)
data.add_meta_string("n", "text")
client.put_dataset(data)
again = client.get_dataset("data")
assert (again.get_tensor("t") == array).all()
assert again.get_meta_scalars("s")[0] == 1.5 and again.get_meta_strings("n") == ["text"]
client.append_to_list("list", data)
assert client.get_list_length("list") == len(client.get_datasets_from_list("list")) == 1
assert client.poll_list_length("list", 1, 10, 3)
try:
    client.set_script("script", "def f(x): return x")
except Exception as error:
    assert "keeps data alone" in str(error), error
else:
    raise AssertionError("models are not told")
"""
WRITES = "import numpy, smartredis; smartredis.Client(None).put_tensor('x', numpy.ones(3))"
READS = """\
import smartredis
client = smartredis.Client(None)
client.set_data_source("sims_0")
print(client.get_tensor("x").sum())
"""


def run(script: str, environ: dict[str, str]) -> str:
    quiet = {"SR_LOG_LEVEL": "QUIET", "SR_CONN_TIMEOUT": "5"}
    done = subprocess.run(
        [PYTHON, "-c", script],
        env={**os.environ, **quiet, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_that_it_does_with_data(begin: Begin, server: str) -> None:
    run(SCRIPT, begin(server=server).environ())


def test_on_a_cluster(begin_cluster: BeginCluster, server: str) -> None:
    store = begin_cluster(server=server)
    run(SCRIPT, store.environ())
    run(WRITES, store.environ(prefix="sims_0"))
    assert run(READS, store.environ(reads=["sims_0"])) == "3.0\n"
    assert store.stop(save=True) == ""
    again = begin_cluster(server=server, is_loaded=True)
    assert run(READS, again.environ(reads=["sims_0"])) == "3.0\n"


def test_keys_with_names(begin: Begin, server: str) -> None:
    store = begin(server=server)
    run(WRITES, store.environ(prefix="sims_0"))
    run(WRITES, store.environ(prefix="sims_1"))
    assert run(READS, store.environ(reads=["sims_0", "sims_1"])) == "3.0\n"
