"""What a client of redis-py gets out of stores: ``store_client.py FILE NAME=URL ...``.

Writes ``{name: {"small": [puts a second, ...], "large": [GB/s, ...]}}``, the stores in turn.
"""

import json
import os
import sys
import time
from pathlib import Path

import redis

ROUNDS = 7
SMALL_S, TENSORS = 0.4, 12  # of a round: seconds of small puts; tensors, put and got
NUMBERS = 1 << 20  # of a tensor, 8 MB


def small(store: "redis.Redis") -> float:
    """Return puts of a few bytes, each answered before the next, in a second."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SMALL_S:
        for _ in range(100):
            store.set("small", b"12345678")
        count += 100
    return count / (time.perf_counter() - began)


def large(store: "redis.Redis") -> float:
    """Return GB/s of tensors that are put and got."""
    data = os.urandom(8 * NUMBERS)
    began = time.perf_counter()
    for number in range(TENSORS):
        store.execute_command("AI.TENSORSET", f"t{number}", "DOUBLE", NUMBERS, "BLOB", data)
        store.execute_command("AI.TENSORGET", f"t{number}", "BLOB")
    seconds = time.perf_counter() - began
    store.flushdb()
    return 2 * TENSORS * len(data) / seconds / 1e9


def rates(urls: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    """Measure all stores in turn: the machine's speed drifts."""
    stores = {name: redis.Redis.from_url(url, socket_timeout=60) for name, url in urls.items()}
    found: dict[str, dict[str, list[float]]] = {n: {"small": [], "large": []} for n in stores}
    for _ in range(ROUNDS):
        for name, store in stores.items():
            found[name]["small"].append(small(store))
            found[name]["large"].append(large(store))
    return found


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[2:])
    urls = {name: os.environ.get(url, url) for name, url in given.items()}
    Path(sys.argv[1]).write_text(json.dumps(rates(urls)))
