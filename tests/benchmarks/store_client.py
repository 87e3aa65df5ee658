"""What a client of redis-py gets out of stores: ``store_client.py FILE NAME=URL ...``.

A URL may be the name of a variable that has it, or ``HOST:PORT``, as SmartRedis finds it.
Writes ``{name: {"small": [puts a second, ...], "large": [GB/s, ...]}}``, the stores in turn.
"""

import json
import os
import sys
import time
from pathlib import Path

import redis

ROUNDS, PUTS = 60, 300  # many short ones: some of them nothing else on the machine disturbs
NUMBERS = 1 << 20  # of a tensor, 8 MB
DATA = os.urandom(8 * NUMBERS)


def small(store: "redis.Redis") -> float:
    """Return puts of a few bytes, each answered before the next, in a second."""
    began = time.perf_counter()
    for _ in range(PUTS):
        store.set("small", b"12345678")
    return PUTS / (time.perf_counter() - began)


def large(store: "redis.Redis") -> float:
    """Return GB/s of a tensor that is put and got."""
    began = time.perf_counter()
    store.execute_command("AI.TENSORSET", "t", "DOUBLE", NUMBERS, "BLOB", DATA)
    store.execute_command("AI.TENSORGET", "t", "BLOB")
    return 2 * len(DATA) / (time.perf_counter() - began) / 1e9


def rates(urls: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    """Measure all stores in turn, there and back: the machine's speed drifts."""
    stores = {name: redis.Redis.from_url(url, socket_timeout=60) for name, url in urls.items()}
    found: dict[str, dict[str, list[float]]] = {n: {"small": [], "large": []} for n in stores}
    for number in range(ROUNDS):
        turn = list(stores.items())
        for name, store in turn if number % 2 else reversed(turn):
            found[name]["small"].append(small(store))
            found[name]["large"].append(large(store))
    return found


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[2:])
    told = {name: os.environ.get(url, url) for name, url in given.items()}
    urls = {name: url if "://" in url else f"redis://{url}" for name, url in told.items()}
    Path(sys.argv[1]).write_text(json.dumps(rates(urls)))
