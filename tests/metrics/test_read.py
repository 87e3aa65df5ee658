"""Metrics: read from JSON, text and CSV; what is absent is told, never a crash."""

import gzip
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import netCDF4
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.atomic import read_end
from ensemake.config.metric import Metric
from ensemake.metrics import left as files
from ensemake.metrics import texts
from ensemake.metrics.read import Reader

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
    "log.jsonl": '{"loss": 3, "e": 1}\n{"loss": 1.5}\n\n{"lr": 1}\n{"loss": NaN}\n',
    "one.jsonl": '{"loss": 2}\n',
    "cut.jsonl": '{"loss": 2}\n{"loss": 2}\n{"lo',
    "blank.dat": "% made by x\n time   T\n   s    K\n 0.0 1.5d2\n 1.0   -Inf\n",
    "xvg.dat": '# made by\n@ title "T"\n0 280.5\n1 281.5\n2 282.0\n',
    "pipe.dat": "junk\njunk, more\na|b\n1|2\n3|4\n",
    "wide.csv": "a\n1\n***\n",
    "words.csv": "a\n1\nx\n3\n",
    "log.lammps": "LAMMPS\nStep Temp Press\n0 1 2\n10 1 3\nLoop time of 1\n"
    "Step Temp\n10 1.5\nWARNING: slow\n20 2.5\nLoop time of 1\n1 2\n",
    "flux.out": "FLUX =  1.0\nFLUX =\n  (b) 0.25-102 erg\nN3 = *****\nE: nan\nF none",
    "deep.json": "[" * 200_000,
    "digits.json": f'{{"a": {"1" * 5000}}}',
}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what programs leave."""
    tmp_path = tmp_path_factory.mktemp("left")
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode("latin-1" if name == "run.out" else "utf-8"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "link.json").symlink_to("out.json")
    for name, of in (("packed.csv.gz", "t.csv"), ("packed.json.gz", "out.json")):
        (tmp_path / name).write_bytes(gzip.compress(FILES[of].encode()))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(FILES["long.out"].encode())[:-9])
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"0" * (65 << 20), 1))
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def read(folder: Path, **keys: Any) -> tuple[dict[str, Any], list[str]]:
    with Reader({"m": Metric.model_validate(keys)}) as reader:
        return reader.read(folder)


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
        ({"file": "out.json", "key": "losses", "reduce": "min"}, 1),
        ({"file": "out.json", "key": "losses", "row": 0}, 3),
        ({"file": "log.jsonl", "key": "loss", "row": 1}, 1.5),
        ({"file": "log.jsonl", "key": "loss", "rows": ":2", "reduce": "mean"}, 2.25),
        ({"file": "log.jsonl", "key": "loss", "reduce": "count"}, 3),
        ({"file": "log.jsonl", "key": "e"}, 1),
        ({"file": "one.jsonl", "key": "loss", "reduce": "max"}, 2),
        ({"file": "packed.csv.gz", "column": "loss"}, "0.1"),
        ({"file": "packed.json.gz", "key": "ok"}, True),
        ({"file": "packed.csv.gz", "regex": r"(\S+)$"}, "2,0.1"),
        ({"file": "blank.dat", "column": "T", "delimiter": "blank", "comment": "%"}, "-Inf"),
        (
            {"file": "blank.dat", "column": "T", "delimiter": "blank", "comment": "%", "row": 0},
            "1.5e2",
        ),
        (
            {
                "file": "xvg.dat",
                "column": 1,
                "delimiter": "blank",
                "comment": ["#", "@"],
                "reduce": "median",
            },
            281.5,
        ),
        ({"file": "pipe.dat", "column": "b", "delimiter": "|", "skip": 2}, "4"),
        ({"file": "log.lammps", "column": "Temp", "table": "Step"}, "2.5"),
        ({"file": "log.lammps", "column": "Step", "table": "Step", "reduce": "sum"}, 30),
        ({"file": "flux.out", "after": "FLUX ="}, "0.25e-102"),
        ({"file": "flux.out", "after": "FLUX =", "row": 0}, "1.0"),
        ({"file": "flux.out", "after": "E:"}, "nan"),
        ({"file": "flux.out", "regex": "FLUX", "reduce": "count"}, 2),
        ({"file": "run.out", "regex": "loss ([0-9.]+)", "reduce": "max"}, 0.9),
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
        ({"file": "run.out", "regex": "x(y)|loss"}, "has no part in its match 'loss'"),
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
        ({"file": "out.json", "key": "losses"}, "is not a single value; give row, or reduce"),
        ({"file": "cut.jsonl", "key": "loss"}, "cut.jsonl: line 3: "),
        ({"file": "log.jsonl", "key": "x"}, "no key 'x'"),
        ({"file": "log.jsonl", "key": "loss", "row": 7}, "no line 7, it has 3"),
        ({"file": "t.csv", "column": "loss", "rows": "5:", "reduce": "mean"}, "no rows to reduce"),
        (
            {"file": "words.csv", "column": "a", "reduce": "mean"},
            "row 1 of those to reduce: 'x' is",
        ),
        ({"file": "wide.csv", "column": "a"}, "'***' stands for a number that did not fit"),
        ({"file": "flux.out", "after": "N3 ="}, "'*****' stands for a number"),
        ({"file": "flux.out", "after": "F none"}, "no number follows 'F none'"),
        ({"file": "flux.out", "after": "G"}, "there is no 'G'"),
        (
            {"file": "log.lammps", "column": "E", "table": "Step"},
            "no column 'E', it has Step, Temp",
        ),
        ({"file": "run.out", "column": "E", "table": "Step"}, "no table begins with 'Step'"),
        ({"file": "xvg.dat", "column": 7, "comment": ["#", "@"]}, "no column 7, it has 1"),
        ({"file": "cut.gz", "regex": "x"}, "is no gzip file, or not all of it is there"),
        ({"file": "bomb.gz", "regex": "x"}, "has more than 64 MB, which is not read"),
        ({"file": "t.csv", "variable": "x"}, "t.csv: "),
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
    monkeypatch.setattr(texts, "SEARCH_S", 0.4)
    (tmp_path / "run.out").write_text("a" * 50 + "!\n")
    hangs = {"m": Metric.model_validate({"file": "run.out", "regex": "(a|aa)+$"})}
    began = time.monotonic()
    with Reader(hangs) as reader:
        told = [reader.read(tmp_path)[1][0] for _ in range(6)]
    assert time.monotonic() - began < 10
    assert "searched for 0.4 s, which is too long; write it simpler" in told[0]
    assert "searched for 0.1 s" in told[-1]


def test_large_files(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST", 24)
    assert read(left, file="run.out", regex=r"loss ([0-9.]+)")[0] == {"m": "0.1"}  # at the end
    assert "nothing matches" in read(left, file="run.out", regex="step 1")[1][0]
    assert "which is not read" in read(left, file="out.json", key="ok")[1][0]
    assert read(left, file="t.csv", column="loss")[0] == {"m": "0.1"}


def test_a_file_is_read_once_for_all_metrics(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(path: Path, most: int) -> tuple[bytes, bool]:
        asked.append(path.name)
        return read_end(path, most)

    monkeypatch.setattr(files, "read_end", counted)
    keys = [
        {"file": "out.json", "key": "ok"},
        {"file": "out.json", "key": "a.b"},
        {"file": "out.json", "regex": "loss.: ([0-9.]+)"},
        {"file": "half.json", "key": "a"},
        {"file": "half.json", "key": "b"},
    ]
    with Reader({f"m{i}": Metric.model_validate(one) for i, one in enumerate(keys)}) as reader:
        values, faults = reader.read(left)
    assert values == {"m0": True, "m1": 7, "m2": "0.5"}
    assert len(faults) == 2
    assert asked == ["out.json", "half.json"]


@given(st.lists(st.floats(width=32) | st.integers(-(10**6), 10**6), min_size=1, max_size=8))
def test_reduced_as_numpy_does(values: list[float]) -> None:
    with TemporaryDirectory() as folder, np.errstate(all="ignore"):
        Path(folder, "t.csv").write_text("a\n" + "".join(f"{value!r}\n" for value in values))
        for how in ("mean", "min", "max", "std", "sum", "median"):
            found, _ = read(Path(folder), file="t.csv", column="a", reduce=how)
            wanted = getattr(np, how)(np.array(values, float))
            assert found["m"] == pytest.approx(wanted, nan_ok=True, rel=1e-6, abs=1e-6)


def test_variables_of_netcdf_and_hdf5(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "out.nc", "w") as data:
        data.createDimension("t", None)
        data.createDimension("x", 2)
        data.createVariable("E", "f8", ("t",))[:] = [3.0, 1.0, 2.0]
        data.createVariable("u", "i2", ("t", "x"), fill_value=-1)[:] = [[1, 2], [3, -1], [5, 6]]
        data.createVariable("name", str, ("x",))
        data.createGroup("end").createVariable("loss", "f4")[...] = 0.5
    asked: list[dict[str, Any]] = [
        {"variable": "E"},
        {"variable": "E", "rows": "1:", "reduce": "mean"},
        {"variable": "end/loss"},
        {"variable": "u", "rows": "-1:", "reduce": "sum"},
        {"variable": "u", "rows": ":1", "reduce": "count"},
    ]
    found = [read(tmp_path, file="out.nc", **keys) for keys in asked]
    assert found == [({"m": value}, []) for value in (2.0, 1.5, 0.5, 11, 2)]
    (lost,) = read(tmp_path, file="out.nc", variable="u", reduce="sum")[0].values()
    assert math.isnan(lost)
    with h5py.File(tmp_path / "out.h5", "w") as data:  # no dimensions, no order, a group
        data["run/loss"] = [0.5, 0.25]
    assert read(tmp_path, file="out.h5", variable="run/loss") == ({"m": 0.25}, [])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"variable": "e"}, "it has E, u, name"),
        ({"variable": "u"}, "of shape (2,); give reduce"),
        ({"variable": "name"}, "holds no numbers"),
        ({"variable": "E", "row": 5}, "no row 5, it has 3"),
    ]
    for keys, words in wrong:
        assert words in read(tmp_path, file="out.nc", **keys)[1][0]


def test_a_missing_extra_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemake.metrics.arrays.find_spec", lambda name: None)
    assert "pip install 'ensemake[netcdf]'" in read(tmp_path, file="a.nc", variable="E")[1][0]


READERS = """\
import os, sys, time

def fit(directory, values):
    text = (directory / "out.txt").read_text()
    print("noise")
    if text == "crash":
        os.kill(os.getpid(), 11)
    if text == "hang":
        time.sleep(60)
    return {"exit": lambda: sys.exit(3), "list": list, "nan": lambda: float("nan")}.get(
        text, lambda: float(text) * values["x"]
    )()
"""


def test_a_function_costs_no_more_than_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemake.metrics.functions.CALL_S", 3.0)
    (tmp_path / "readers.py").write_text(READERS)
    found: dict[str, Any] = {}
    metrics = {"m": Metric.model_validate({"function": "readers.py:fit"})}
    with Reader(metrics, tmp_path) as reader:
        for text in ("2", "crash", "3", "hang", "exit", "list", "word", "nan"):
            (tmp_path / text).mkdir()
            (tmp_path / text / "out.txt").write_text(text)
            values, faults = reader.read(tmp_path / text, {"x": 10})
            found[text] = (*values.values(), *faults)[0]
    assert (found["2"], found["3"]) == (20.0, 30.0)
    assert math.isnan(found["nan"])
    assert found["crash"] == "metric m: readers.py:fit: its process was killed by SIGSEGV"
    assert "ran for 3 s, which is too long" in found["hang"]
    assert "SystemExit: 3" in found["exit"]
    assert "returned a list, not a number or a text" in found["list"]
    assert "could not convert string to float: 'word'" in found["word"]


def test_a_function_that_hangs_ends_with_who_asked(tmp_path: Path) -> None:
    (tmp_path / "readers.py").write_text(
        "import os, time\n"
        "def fit(directory, values):\n"
        "    (directory / 'pid').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    code = (
        "from ensemake.metrics.functions import Caller\n"
        "from ensemake.metrics.texts import Patience\n"
        "from pathlib import Path\n"
        "Caller(Path(), Patience()).call('readers.py:fit', Path(), {})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    pid, until = tmp_path / "pid", time.monotonic() + 30
    while not (pid.exists() and pid.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    while is_alive(int(pid.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(int(pid.read_text()))


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_of_a_running_member_only_whole_lines_count(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("step,loss\n1,0.75\n2,0.")
    metrics = {"m": Metric.model_validate({"file": "t.csv", "column": "loss"})}
    with Reader(metrics) as reader:
        assert reader.read(tmp_path, is_running=True) == ({"m": "0.75"}, [])
        assert reader.read(tmp_path) == ({"m": "0."}, [])


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
