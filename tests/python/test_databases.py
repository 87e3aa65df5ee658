"""Stores in Python: what is written into the config, and run."""

from pathlib import Path
from typing import Any

import pytest

from ensemake import Experiment
from ensemake.check import check_config
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
