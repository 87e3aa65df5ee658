"""The module that gives a server tensors: what RedisAI's clients ask, and what is no tensor."""

import struct
from typing import Any

import pytest
import redis

from .conftest import Begin

SIZES = {
    **{"FLOAT": 4, "DOUBLE": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8},
    **{"UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "BOOL": 1},
}


@pytest.fixture
def client(begin: Begin, server: str) -> redis.Redis:
    return redis.Redis.from_url(begin(server=server).url)


def put(client: redis.Redis, *words: Any) -> Any:
    return client.execute_command("AI.TENSORSET", *words)


def get(client: redis.Redis, *words: Any) -> Any:
    return client.execute_command("AI.TENSORGET", *words)


def test_every_type_and_shape(client: redis.Redis) -> None:
    for name, size in SIZES.items():
        for shape in ((), (3,), (2, 3), (1, 2, 3, 4), (0,), (2, 0)):
            count = 1
            for length in shape:
                count *= length
            blob = bytes(i % 256 for i in range(count * size))
            assert put(client, "t", name.lower(), *shape, "blob", blob) == b"OK"
            whole = [b"dtype", name.encode(), b"shape", list(shape), b"blob", blob]
            assert get(client, "t", "META", "BLOB") == whole
            assert get(client, "t", "META") == get(client, "t") == whole[:4]
            assert get(client, "t", "BLOB") == blob


def test_tensors_are_values_like_others(client: redis.Redis) -> None:
    blob = struct.pack("3d", 1, 2, 3)
    put(client, "a", "DOUBLE", 3, "BLOB", blob)
    client.copy("a", "b")
    client.rename("b", "c")
    assert get(client, "c", "BLOB") == blob
    assert client.memory_usage("c") > len(blob)
    put(client, "c", "DOUBLE", 1, "BLOB", blob[:8])  # in place of a larger one
    assert get(client, "c", "META", "BLOB")[3:] == [[1], b"blob", blob[:8]]
    client.rpush("list", 1)
    put(client, "list", "DOUBLE", 1, "BLOB", blob[:8])  # in place of something else
    assert get(client, "list", "BLOB") == blob[:8]
    assert client.delete("a", "c", "list") == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["t"], "wrong number of arguments"),
        (["t", "COMPLEX", 1, "BLOB", b"1234"], "invalid data type"),
        (["t", "FLOAT", 1, "VALUES", 1], "BLOB"),
        (["t", "FLOAT", -1, "BLOB", b"1234"], "tensor shape"),
        (["t", "FLOAT", "1e0", "BLOB", b"1234"], "tensor shape"),
        (["t", "FLOAT", "", "BLOB", b"1234"], "tensor shape"),
        (["t", "FLOAT", 2, "BLOB", b"1234"], "data length"),
        (["t", "FLOAT", 10**14, 10**14, "BLOB", b""], "too large"),
        (["t", "INT8", *[1] * 65, "BLOB", b"1"], "too many dimensions"),
    ],
)
def test_what_is_refused(client: redis.Redis, words: list[Any], message: str) -> None:
    with pytest.raises(redis.ResponseError, match=message):
        put(client, *words)
    assert client.exists("t") == 0


def test_what_is_no_tensor(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="tensor key is empty"):
        get(client, "none", "META", "BLOB")
    header = b"\x01TNS" + struct.pack("<III", 0, 2, 0)
    unsound = [b"", b"text", header, header[:12], b"\x01TNS" + struct.pack("<III", 99, 0, 0)]
    for value in [*unsound, b"\x01TNS" + struct.pack("<III", 0, 2**32 - 1, 0)]:
        client.set("x", value)
        with pytest.raises(redis.ResponseError, match="holds no tensor"):
            get(client, "x", "META", "BLOB")
    client.delete("x")
    client.hset("x", "a", "1")
    with pytest.raises(redis.ResponseError, match="holds no tensor"):
        get(client, "x", "META", "BLOB")
    with pytest.raises(redis.ResponseError, match="META, BLOB or both"):
        get(client, "x", "VALUES")


def test_models_are_refused_with_what_to_do(client: redis.Redis) -> None:
    commands = ("AI.MODELSTORE m TF CPU", "AI.SCRIPTRUN s f", "AI.MODELEXECUTE m", "AI.INFO m")
    for command in commands:
        with pytest.raises(redis.ResponseError, match="keeps data alone"):
            client.execute_command(*command.split())
    assert client.execute_command("AI.INFO") == []
    assert client.execute_command("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE") > 0
