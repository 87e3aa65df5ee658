"""Metrics: read from JSON, text and CSV; what is absent is told, never a crash."""

import json
import math
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake import atomic
from ensemake.config.metric import Metric
from ensemake.results import metrics
from ensemake.results.metrics import read_metrics

FILES = {
    "out.json": '{"final": {"loss": 0.5}, "losses": [3, 2, 1], "a.b": 7, "ok": true, "none": null,'
    ' "nan": NaN, "inf": -Infinity, "blank": " ", "half": "\\ud800x\\u0000"}',
    "bom.json": "\ufeff{}",
    "run.out": "step 1 loss 0.9\nstep 2 loss 0.1 \u00e9\n",
    "bar.out": "loss 0.9\rloss 0.5\r\n",
    "fortran.out": "F =  0.6346D-08\nG = .634600-101\nH = 12.5 kg\nI = -3.5\n1.5.2\n",
    "t.csv": "step,loss\n1,0.9\n2,0.1\n",
    "blanks.csv": "\ufeffstep, loss\n# restart\n1, 0.9\n2, 0.1 \n",
    "commas.csv": "step;loss\ns;eV\n1;0,9\n2;0,1\n",
    "short.csv": "a,b\n1,2\n1",
    "bad.csv": 'a,b\n1,"2\n',
    "cell.csv": f"a,b\n1,{'x' * 200_000}\n",
    "long.out": "x" * 20_000,
    "empty": "",
    "half.json": '{"final": ',
    "deep.json": "[" * 200_000,
    "digits.json": f'{{"a": {"1" * 5000}}}',
}


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A directory with what programs leave."""
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode("latin-1" if name == "run.out" else "utf-8"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "link.json").symlink_to("out.json")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def read(folder: Path, **keys: Any) -> tuple[dict[str, Any], list[str]]:
    return read_metrics(folder, {"m": Metric.model_validate(keys)})


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"file": "out.json", "key": "final.loss"}, 0.5),
        ({"file": "link.json", "key": "final.loss"}, 0.5),
        ({"file": "out.json", "key": "losses.-1"}, 1),
        ({"file": "out.json", "key": "a.b"}, 7),
        ({"file": "out.json", "key": "ok"}, True),
        ({"file": "out.json", "key": "nan"}, pytest.approx(math.nan, nan_ok=True)),
        ({"file": "out.json", "key": "inf"}, -math.inf),
        ({"file": "out.json", "key": "half"}, "?x\ufffd"),
        ({"file": "run.out", "regex": "loss ([0-9.]+)"}, "0.1"),
        ({"file": "run.out", "regex": "step \\d"}, "step 2"),
        ({"file": "bar.out", "regex": r"^loss (\S+)$"}, "0.5"),
        ({"file": "fortran.out", "regex": r"F =\s*(\S+)"}, "0.6346e-08"),
        ({"file": "fortran.out", "regex": r"G =\s*(\S+)"}, ".634600e-101"),
        ({"file": "fortran.out", "regex": r"^(\d\.\d)"}, "1.5"),
        ({"file": "t.csv", "column": "loss"}, "0.1"),
        ({"file": "t.csv", "column": "loss", "row": 0}, "0.9"),
        ({"file": "blanks.csv", "column": "loss"}, "0.1"),
        ({"file": "blanks.csv", "column": "step", "row": 0}, "1"),
        ({"file": "commas.csv", "column": "loss"}, "0.1"),
        ({"file": "commas.csv", "column": "loss", "row": 0}, "0.9"),
        ({"file": "short.csv", "column": "b", "row": 0}, "2"),
    ],
)
def test_found(left: Path, keys: dict[str, Any], wanted: object) -> None:
    assert read(left, **keys) == ({"m": wanted}, [])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"file": "no.json", "key": "a"}, "metric m: no file no.json"),
        ({"file": "out.json", "key": "final.x"}, "no key 'final.x'"),
        ({"file": "out.json", "key": "losses.9"}, "no key 'losses.9'"),
        ({"file": "out.json", "key": "final"}, "'final' is not a single value"),
        ({"file": "out.json", "key": "none"}, "'none' is null"),
        ({"file": "out.json", "key": "blank"}, "the value is empty"),
        ({"file": "bom.json", "key": "a"}, "no key 'a'"),
        ({"file": "half.json", "key": "final"}, "half.json: "),
        ({"file": "deep.json", "key": "a"}, "deep.json: is nested too deep to be read"),
        ({"file": "digits.json", "key": "a"}, "a whole number of more than 4300 digits"),
        ({"file": "empty", "key": "a"}, "empty: "),
        ({"file": "run.out", "regex": "nowhere"}, "nothing matches 'nowhere'"),
        ({"file": "run.out", "regex": "x(y)|loss"}, "has no part in its last match, 'loss'"),
        ({"file": "run.out", "regex": "step (x*)"}, "the value is empty"),
        ({"file": "long.out", "regex": "x+"}, "the value has 20000 characters"),
        ({"file": "t.csv", "column": "x"}, "no column 'x', it has step, loss"),
        ({"file": "t.csv", "column": "loss", "row": 9}, "no row 9, it has 2"),
        ({"file": "short.csv", "column": "b"}, "line 3: 1 values in 2 columns"),
        ({"file": "bad.csv", "column": "b"}, "line 2: unexpected end of data"),
        ({"file": "cell.csv", "column": "b"}, "a cell has more than 131072 characters"),
        ({"file": "empty", "column": "x"}, "no row -1, it has 0"),
        ({"file": "folder", "key": "a"}, "folder: is no regular file"),
        ({"file": "pipe", "column": "a"}, "pipe: is no regular file"),
        ({"file": "zero", "regex": "a"}, "zero: is no regular file"),
    ],
)
def test_absent(left: Path, keys: dict[str, Any], told: str) -> None:
    values, faults = read(left, **keys)
    assert values == {}
    assert len(faults) == 1
    assert told in faults[0]


@pytest.mark.parametrize(
    ("text", "regex", "number"),
    [
        ("E = 0.6346D-08\n", "E = ([-0-9.e+]+)", "0.6346D-08"),
        ("E = 0.6346E-08\n", "E = ([-0-9.e+]+)", "0.6346E-08"),
        ("E = 0.6346-101\n", "E = ([0-9.]+)", "0.6346-101"),
        ("E = 12.5\n", r"E = (\d+)", "12.5"),
        ("E = 12.5\n", r"E.*(\d+\.\d+)", "12.5"),
        ("E = 12.5\n", r"E.*\.(\d+)", "12.5"),
        ("E = 1.5e-08\n", r"(-?\d+)$", "1.5e-08"),
        ("E = -12.5\n", r"E\D*(\d+\.\d+)", "-12.5"),
        ("E = .5\n", r"E\D*(\d+)", ".5"),
        ("12345", r"\d{2}", "2345"),
    ],
)
def test_a_number_that_is_cut_is_told(tmp_path: Path, text: str, regex: str, number: str) -> None:
    (tmp_path / "run.out").write_text(text)
    values, (fault,) = read(tmp_path, file="run.out", regex=regex)
    assert not values
    assert "is cut out of the number" in fault
    assert number in fault or regex == r"\d{2}"


@pytest.mark.parametrize(
    ("text", "regex", "value"),
    [
        ("took 12s.\n", r"took (\d+)", "12"),
        ("from 10-20\n", r"(-?\d+)$", "-20"),
        ("at 12:30\n", r":(\d+)", "30"),
        ("day 2024-01-02\n", r"day (\d+)", "2024"),
        ("a = 1, 2\n", r"= (\d+)", "1"),
        ("mesh_64x32\n", r"mesh_(\d+)", "64"),
        ("end 5.\n", r"end (\d+)", "5"),
        ("out.5\n", r"out\.(\d+)", "5"),
        ("x = -5 \n", r"=(.*)", "-5"),
    ],
)
def test_a_number_that_is_whole_is_left_alone(
    tmp_path: Path, text: str, regex: str, value: str
) -> None:
    (tmp_path / "run.out").write_text(text)
    assert read(tmp_path, file="run.out", regex=regex) == ({"m": value}, [])


def test_a_regular_expression_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SEARCH_S", 0.4)
    (tmp_path / "run.out").write_text("a" * 50 + "!\n")
    patience = metrics.Patience()
    hangs = {"m": Metric.model_validate({"file": "run.out", "regex": "(a|aa)+$"})}
    began = time.monotonic()
    told = [read_metrics(tmp_path, hangs, patience)[1][0] for _ in range(6)]
    assert time.monotonic() - began < 10
    assert "searched for 0.4 s, which is too long; write it simpler" in told[0]
    assert "searched for 0.1 s" in told[-1]


def test_large_files(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LARGEST", 24)
    assert read(left, file="run.out", regex=r"loss ([0-9.]+)")[0] == {"m": "0.1"}  # at the end
    assert "nothing matches" in read(left, file="run.out", regex="step 1")[1][0]
    assert "which is not read" in read(left, file="out.json", key="ok")[1][0]
    assert read(left, file="t.csv", column="loss")[0] == {"m": "0.1"}


def test_a_file_is_read_once_for_all_metrics(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(path: Path, most: int) -> bytes:
        asked.append(path.name)
        return atomic.read_whole(path, most)

    monkeypatch.setattr(metrics, "read_whole", counted)
    keys = [("out.json", "ok"), ("out.json", "a.b"), ("half.json", "a"), ("half.json", "b")]
    many = {
        f"m{i}": Metric.model_validate({"file": file, "key": key})
        for i, (file, key) in enumerate(keys)
    }
    values, faults = read_metrics(left, many)
    assert values == {"m0": True, "m1": 7}
    assert len(faults) == 2
    assert asked == ["out.json", "half.json"]


@given(
    st.binary(max_size=60) | st.text('{}[]":,ab01.-eD\n ', max_size=40).map(str.encode),
    st.sampled_from([{"key": "a.0"}, {"column": "a"}, {"regex": r"a*([-\d.]*)"}]),
)
def test_any_file_is_a_value_or_a_reason(data: bytes, keys: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "f").write_bytes(data)
        values, faults = read(Path(folder), file="f", **keys)
        assert len(values) + len(faults) == 1
        json.dumps(values, ensure_ascii=False).encode()
