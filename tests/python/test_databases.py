"""Stores in Python: what is written into the config, and run."""

from pathlib import Path
from typing import Any

import pytest

from ensemake import Experiment, UnsupportedError
from ensemake.check.config import check_config
from ensemake.config.yamlfile import Document

CODE = """\
import os, sys, redis
store = redis.Redis.from_url(os.environ["ENSEMAKE_STORE"], socket_timeout=None)
key = os.environ.get("SSKEYOUT", "")
store.rpush("x", key) if len(sys.argv) > 1 else print(*sorted(
    store.blpop("x", 60)[1].decode() for _ in range(2)), os.environ["SSKEYIN"])
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "code.py").write_text(CODE)
    exp = Experiment("exp")
    db = exp.create_database(interface="lo", mem_mb=50)
    db.set_db_conf("hash-max-listpack-entries", 64)

    def settings(*words: str) -> Any:
        return exp.create_run_settings("python", ["code.py", *words])

    sims = exp.create_ensemble("sims", {"x": [1, 2]}, run_settings=settings("put"), database=db)
    sims.enable_key_prefixing()
    look = exp.create_model("look", settings(), database=db)
    look.register_incoming_entity(sims)
    look.register_incoming_entity(sims)
    for one in (sims, look):
        one.attach_generator_files(to_copy=["code.py"])
    return exp


def test_what_is_written(experiment: Experiment) -> None:
    data = experiment.as_config()
    assert data["databases"] == {
        "orchestrator": {
            "mem_mb": 50,
            "interface": "lo",
            "settings": {"hash-max-listpack-entries": 64},
        }
    }
    assert data["models"]["look"]["reads_from"] == ["sims"]
    assert data["ensembles"]["sims"]["key_prefixing"] is True
    assert experiment.entities["sims"].query_key_prefixing()
    check_config(Document("exp", data))
    assert Experiment.load(experiment.save()).as_config() == data


@pytest.mark.workflow
def test_those_that_share_it_run_together(experiment: Experiment) -> None:
    experiment.start(*experiment.entities.values())
    told = Path(experiment.entities["look"].path, "run.out").read_text()
    assert told == "sims_0 sims_1 sims_0,sims_1\n"
    assert [status.value for status in experiment.get_status()] == ["Completed"] * 3


def test_a_store_of_each_members_own(experiment: Experiment) -> None:
    sims, look = experiment.entities["sims"], experiment.entities["look"]
    sims.colocate_db_uds(db_cpus=2, maxclients=100, hash_max_listpack_entries=64, debug=False)
    look.colocate_db_tcp(mem_mb=30, ifname="ib0")
    data = experiment.as_config()
    settings = {"maxclients": 100, "hash-max-listpack-entries": 64}
    assert data["ensembles"]["sims"]["colocated_db"] == {"cpus": 2, "settings": settings}
    own = {"cpus": 1, "mem_mb": 30, "unix_socket": False, "interface": "ib0"}
    assert data["models"]["look"]["colocated_db"] == own
    assert Experiment.load(experiment.save()).as_config() == data
    refused: dict[str, tuple[Any, str]] = {
        "unix_socket": ("/tmp/s", "programs find it by SSDB"),
        "custom_pinning": ([1, 2], "bind programs by run_args"),
        "db_identifier": ("colo", "stores that are shared have names"),
        "inter_op_parallelism": (2, "keeps data alone"),
    }
    for key, (value, message) in refused.items():
        with pytest.raises(UnsupportedError, match=message):
            look.colocate_db_uds(**{key: value})
    with pytest.raises(UnsupportedError, match="a port is any that is free"):
        look.colocate_db(6780, "lo")
    with pytest.raises(UnsupportedError, match="listens on one interface; name one"):
        look.colocate_db_tcp(ifname=["ib0", "ib1"])
    with pytest.raises(ValueError, match="interface says where it listens"):
        look.colocate_db_tcp(bind="0.0.0.0")


def test_a_store_of_each_members_own_member_by_member(experiment: Experiment) -> None:
    sims = experiment.entities["sims"]
    for member in sims.models:
        member.colocate_db_uds()
    assert experiment.as_config()["ensembles"]["sims"]["colocated_db"] == {"cpus": 1}
