"""Keys of files that are set, files under other names, values as other languages write them."""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.check.config import check_config
from ensemake.config.faults import ConfigError
from ensemake.config.yamlfile import Document
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Work
from ensemake.member.setting import set_value
from ensemake.member.tags import WRITE, substitute
from ensemake.show.preview import suspicions


def work(params: dict[str, Any] | None = None, **files: Any) -> Work:
    settings = {
        "params": params or {"dt": ["1.0d-3", 0.5], "case": "warm"},
        "run_settings": {"exe": "true"},
        "files": files,
    }
    data = {"experiment": "exp", "ensembles": {"sweep": settings}}
    return expand_work(check_config(Document("config.yaml", data)), "sweep")


def written(made: Work) -> list[Path]:
    assert generate(made.plan(made.planned), Path()) == []
    return [Path(member.directory) for member in made.planned]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "case.nml": "&run\n  dt = 1.0  ! step\n  name = 'x'\n/\n",
        "conf/run.json": '{"dt": 1, "tags": ["a"]}\n',
        "conf/system/solver.yaml": "dt:   1   # step\n",
        "conf/system/raw.bin": "\0;x;\1",
        "inputs/cold.in": "T = ;dt; cold\n",
        "inputs/warm.in": "T = ;dt; warm\n",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


def test_keys_are_set_wherever_the_file_comes_from() -> None:
    made = work(
        to_copy=["conf"],
        to_configure=[{"inputs/{{ case }}.in": "system/start.in"}],
        set={
            "case.nml": {"run.dt": "{{ dt }}", "run.name": "{{ case }}s"},
            "run.json": {"dt": "{{ 2 * dt }}", "tags": ["{{ case }}", 1, True]},
            "system/solver.yaml": {"dt": "{{ dt }}"},
        },
    )
    one, two = written(made)
    assert (one / "case.nml").read_text() == "&run\n  dt = 0.001  ! step\n  name = 'warms'\n/\n"
    assert json.loads((one / "run.json").read_text()) == {"dt": 0.002, "tags": ["warm", 1, True]}
    assert (two / "system/solver.yaml").read_text() == "dt:   0.5   # step\n"
    assert (one / "system/start.in").read_text() == "T = 1.0d-3 warm\n"
    assert (one / "system/raw.bin").read_text() == "\0;x;\1"  # untouched beside them
    assert suspicions(made, 1) == []


def test_what_a_key_is_set_to_is_in_the_digest() -> None:
    def digests(**keys: Any) -> list[str]:
        return [
            one.digest for one in work(set={"case.nml": {"run.dt": "{{ dt }}"}}, **keys).planned
        ]

    before = digests()
    assert digests(create=True) == before
    assert digests(values="fortran") != before
    Path("case.nml").write_text("&run dt = 2, name = 'x' /\n")
    assert set(digests()).isdisjoint(before)


def test_a_named_file_takes_the_place_of_a_copied_one() -> None:
    Path("conf/system/start.in").write_text("default\n")
    files = {"to_copy": ["conf"], "to_configure": [{"inputs/cold.in": "system/start.in"}]}
    one, _ = written(work(**files))
    assert (one / "system/start.in").read_text() == "T = 1.0d-3 cold\n"
    one, _ = written(work(to_copy=[{"conf": "deep/er"}], to_symlink=[{"inputs": "in"}]))
    assert (one / "deep/er/system/solver.yaml").exists()
    assert os.readlink(one / "in").endswith("/inputs")


def test_a_directory_that_is_configured_keeps_its_folders() -> None:
    Path("conf/system/start.in").write_text("T = ;dt;\n")
    Path("conf/system/raw.bin").write_bytes(b"\0\xff\1")
    one, _ = written(work(to_configure=["conf"]))
    assert (one / "system/start.in").read_text() == "T = 1.0d-3\n"
    assert (one / "system/raw.bin").read_bytes() == b"\0\xff\1"


@pytest.mark.parametrize(
    ("files", "key", "told"),
    [
        ({"set": {"case.nml": {"run.dtt": 1}}}, "set.case.nml.run.dtt", "did you mean 'run.dt'?"),
        ({"set": {"cas.nml": {"run.dt": 1}}}, "set.cas.nml", "did you mean 'case.nml'?"),
        ({"set": {"case.nml": {"run.dt": "{{ dtt }}"}}}, "set.case.nml", "'dtt' is no parameter"),
        ({"set": {"conf": {"a": 1}}}, "set.conf", "is a directory; name a file"),
        (
            {"to_symlink": ["case.nml"], "set": {"case.nml": {"run.dt": 1}}},
            "set.case.nml",
            "put the file into to_copy",
        ),
        ({"to_copy": [{"case.nml": "../x"}]}, "to_copy[0]", "is no name in the member's directory"),
        ({"to_copy": [{"inputs/*.in": "x"}]}, "to_copy[0]", "fits 2 files; one can have a name"),
        ({"to_copy": [{"a": "b", "c": "d"}]}, "to_copy[0]", "a mapping"),
    ],
)
def test_faults_name_the_key(files: dict[str, Any], key: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        work(**files)
    assert f"ensembles.sweep.files.{key}" in str(error.value)
    assert told in str(error.value)
    assert len(error.value.faults) == 1


def test_a_value_alone_keeps_its_type() -> None:
    values = {"x": 2, "name": "a", "flag": True}
    texts = ["{{ x }}", "{{ x }}{{ x }}", "{{ flag }}", "{{ name }}", "{{ [x, name] }}", "-{{ x }}"]
    assert [set_value(text, values) for text in texts] == [2, "22", True, "a", [2, "a"], "-2"]


@pytest.mark.parametrize(
    ("value", "as_fortran", "as_json"),
    [
        (True, ".true.", "true"),
        (3, "3", "3"),
        (1e-5, "1.0d-05", "1e-05"),
        (-0.1, "-1.0d-01", "-0.1"),
        (0.0, "0.0d+00", "0.0"),
        (1234.5, "1.2345d+03", "1234.5"),
        (1e-103, "1.0d-103", "1e-103"),
        ("it's é", "'it''s é'", '"it\'s é"'),
        ("1d-3", "1d-3", "0.001"),
    ],
)
def test_values_as_other_languages_write_them(value: Any, as_fortran: str, as_json: str) -> None:
    written = [WRITE[form](value) for form in ("fortran", "json", "python")]
    assert written == [as_fortran, as_json, str(value)]
    assert substitute(b"x=;v;", {"v": value}, (";", ";"), "error", "fortran")[0] == (
        b"x=" + as_fortran.encode()
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_fortran_has_every_digit(value: float) -> None:
    assert float(WRITE["fortran"](value).replace("d", "e")) == value
    assert Decimal(WRITE["fortran"](value).replace("d", "e")) == Decimal(repr(value))
