"""Curves: read on as files grow, in any pieces as at once; thinned, and faults told."""

import gzip
import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import netCDF4
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemake.config.metric import Series
from ensemake.metrics.curve import Curve, Curves, known_curves
from ensemake.metrics.curves import CurveReader

NUMBERS = [(n, 10.0 - n / 2) for n in range(12)]
CSV = "# made here\nstep, loss\n" + "".join(f"{x}, {y}\n" for x, y in NUMBERS)
UNITS = "step;loss\ns;eV\n" + "".join(f"{x};{y}\n".replace(".", ",") for x, y in NUMBERS)
BLANK = "\n   step loss\n" + "".join(f" {x}   {y}D0\n" for x, y in NUMBERS)
BARE = "".join(f"{x} {y}\n" for x, y in NUMBERS)
JSONL = "".join(json.dumps({"step": x, "a": {"loss": y}}) + '\n{"lr": 1}\n' for x, y in NUMBERS)
PRINTED = "".join(f"step {x}: loss = {y} ok\nnoise\n" for x, y in NUMBERS)
LOG = (
    "LAMMPS\nStep Loss Vol\n0 9 9\n1 9 9\nLoop time\n   Step    Loss\n"
    + "".join(f"{x:8} {y:8}\nWARNING: slow\n" for x, y in NUMBERS)
    + "Loop time of 1\n5 5\n"
)
FORMS: list[tuple[str, dict[str, Any]]] = [
    (CSV, {"column": "loss", "index": "step"}),
    (UNITS, {"column": "loss", "index": "step"}),
    (BLANK, {"column": "loss", "index": "step", "delimiter": "blank"}),
    (BARE, {"column": 1, "index": 0, "delimiter": "blank"}),
    (JSONL, {"file": "log.jsonl", "key": "a.loss", "index": "step"}),
    (PRINTED, {"regex": r"step (?P<n>\d+): loss = (\S+)", "index": "n"}),
    (LOG, {"column": "Loss", "index": "Step", "table": "Step"}),
]


def look(
    folder: Path, known: Curves, keys: dict[str, Any], is_running: bool = True, most: int = 1000
) -> tuple[Sequence[float], Sequence[float]]:
    series = {"s": Series.model_validate({"file": "log.csv", **keys})}
    CurveReader(series, most).read(known, folder, is_running)
    return known.curves["s"].points()


def again(known: Curves) -> Curves:
    """As what was read is kept from one look to the next."""
    points = [curve for one in known.curves.values() for curve in (one.index, one.value)]
    about = json.loads(json.dumps(known.about()))
    return known_curves(about, lambda size: (points.pop(0)[:size], points.pop(0)[:size]))


@pytest.mark.parametrize(("text", "keys"), FORMS, ids=lambda one: str(one)[:15])
@given(cuts=st.lists(st.integers(0, 700), max_size=6).map(sorted))
@settings(max_examples=30)
def test_in_pieces_as_at_once(text: str, keys: dict[str, Any], cuts: list[int]) -> None:
    with TemporaryDirectory() as name:
        file, known = Path(name, keys.get("file", "log.csv")), Curves()
        for cut in cuts:
            file.write_text(text[:cut])
            look(Path(name), known, keys)
            known = again(known)
        file.write_text(text)
        index, value = look(Path(name), known, keys, is_running=False)
        assert list(zip(index, value, strict=True)) == NUMBERS
        assert known.faults == {}


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def block(file: Any, is_running: bool) -> bytes:
        data: bytes = file.read()
        read.append(len(data))
        return data

    monkeypatch.setattr("ensemake.metrics.curves._block", block)
    known = Curves()
    (tmp_path / "log.csv").write_text(CSV)
    look(tmp_path, known, FORMS[0][1])
    with (tmp_path / "log.csv").open("a") as file:
        file.write("12, 4.0\n")
    assert look(tmp_path, known, FORMS[0][1])[1][-1] == 4.0
    assert read == [len(CSV), 0, len("12, 4.0\n"), 0]


def test_a_file_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    known = Curves()
    for text in (CSV, CSV[:60], "loss,step\n1,2\n"):
        (tmp_path / "log.csv").write_text(text)
        look(tmp_path, known, FORMS[0][1], is_running=False)
    assert known.curves["s"].points() == ([2.0], [1.0])


def test_what_is_no_number_is_told_and_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n0,1.5\n1,oops\n2,****\n3,nan\n4,-inf\n")
    known = Curves()
    _, value = look(tmp_path, known, FORMS[0][1])
    assert [value[0], value[4]] == [1.5, -math.inf]
    assert all(map(math.isnan, value[1:4]))
    assert known.faults == {"s": "series s: log.csv: point 1: 'oops' is no number"}
    assert look(tmp_path, known, FORMS[0][1])[1][0] == 1.5  # and is still told
    assert known.faults


@pytest.mark.parametrize(
    ("text", "keys", "told"),
    [
        (None, {"column": "loss"}, "series s: no file log.csv"),
        (CSV, {"column": "lose"}, "no column 'lose', it has step, loss"),
        (CSV, {"file": "log.csv", "key": "a"}, "log.csv: "),
        (JSONL + "{oops\n", {"file": "log.jsonl", "key": "a.loss"}, "log.jsonl: "),
        (CSV, {"variable": "E"}, "log.csv: "),
        ('{"a": 1}', {"file": "log.json", "key": "a"}, "'a' is no list"),
        ('{"a": [1], "b": [1, 2]}', {"file": "log.json", "key": "a", "index": "b"}, "log.json: "),
        (CSV, {"file": "log.csv.gz", "column": "loss"}, "is no gzip file"),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, text: str | None, keys: dict[str, Any], told: str
) -> None:
    if text is not None:
        (tmp_path / keys.get("file", "log.csv")).write_text(text)
    known = Curves()
    assert look(tmp_path, known, keys, is_running=False) == ([], [])
    assert told in known.faults["s"]


def test_files_that_are_read_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "log.json").write_text('{"x": [0, 1], "a": {"loss": [2.5, NaN]}}')
    with netCDF4.Dataset(tmp_path / "out.nc", "w") as data:
        data.createDimension("t", 2)
        data.createVariable("E", "f8", ("t",))[:] = [3.0, 1.0]
        data.createVariable("t", "f8", ("t",))[:] = [0.0, 0.5]
    packed = look(tmp_path, Curves(), {**FORMS[0][1], "file": "log.csv.gz"})
    assert list(zip(*packed, strict=True)) == NUMBERS
    index, value = look(tmp_path, Curves(), {"file": "log.json", "key": "a.loss", "index": "x"})
    assert (index, value[0], math.isnan(value[1])) == ([0, 1], 2.5, True)
    known = Curves()
    for _ in range(2):
        read = look(tmp_path, known, {"file": "out.nc", "variable": "E", "index": "t"})
        assert read == ([0.0, 0.5], [3.0, 1.0])


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(4, 20))
def test_thinned_evenly_with_first_and_last(sizes: list[int], most: int) -> None:
    curve, count = Curve(), sum(sizes)
    for size in sizes:
        curve.add(None, [float(curve.count + n) for n in range(size)], most)
    index, value = curve.points()
    assert list(index) == list(value)
    assert len(value) <= most + 1
    assert len(value) >= min(count, most // 2)
    if count:
        assert (value[0], value[-1]) == (0, count - 1)
        assert len({b - a for a, b in pairwise(index[:-1])}) <= 1
