"""Metrics: read from JSON, text and CSV; what is absent is told, never a crash."""

from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Metric
from ensemake.results.metrics import read_metrics

FILES = {
    "out.json": '{"final": {"loss": 0.5}, "losses": [3, 2, 1], "a.b": 7, "ok": true, "none": null}',
    "run.out": "step 1 loss 0.9\nstep 2 loss 0.1 \u00e9\n",
    "t.csv": "step,loss\n1,0.9\n2,0.1\n",
    "short.csv": "a,b\n1\n",
    "empty": "",
    "half.json": '{"final": ',
}


def read(folder: Path, **keys: Any) -> tuple[dict[str, Any], list[str]]:
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode("latin-1"))
    return read_metrics(folder, {"m": Metric.model_validate(keys)})


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"file": "out.json", "key": "final.loss"}, 0.5),
        ({"file": "out.json", "key": "losses.-1"}, 1),
        ({"file": "out.json", "key": "a.b"}, 7),
        ({"file": "out.json", "key": "ok"}, True),
        ({"file": "out.json", "key": "none"}, None),
        ({"file": "run.out", "regex": "loss ([0-9.]+)"}, "0.1"),
        ({"file": "run.out", "regex": "step \\d"}, "step 2"),
        ({"file": "t.csv", "column": "loss"}, "0.1"),
        ({"file": "t.csv", "column": "loss", "row": 0}, "0.9"),
        ({"file": "short.csv", "column": "b"}, ""),
    ],
)
def test_found(tmp_path: Path, keys: dict[str, Any], wanted: object) -> None:
    assert read(tmp_path, **keys) == ({"m": wanted}, [])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"file": "no.json", "key": "a"}, "metric m: no file no.json"),
        ({"file": "out.json", "key": "final.x"}, "no key 'final.x'"),
        ({"file": "out.json", "key": "losses.9"}, "no key 'losses.9'"),
        ({"file": "out.json", "key": "final"}, "'final' is not a single value"),
        ({"file": "half.json", "key": "final"}, "half.json: "),
        ({"file": "empty", "key": "a"}, "empty: "),
        ({"file": "run.out", "regex": "nowhere"}, "nothing matches 'nowhere'"),
        ({"file": "t.csv", "column": "x"}, "no column 'x', it has step, loss"),
        ({"file": "t.csv", "column": "loss", "row": 9}, "no row 9, it has 2"),
        ({"file": "empty", "column": "x"}, "no row -1, it has 0"),
    ],
)
def test_absent(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    values, faults = read(tmp_path, **keys)
    assert values == {}
    assert len(faults) == 1
    assert told in faults[0]
