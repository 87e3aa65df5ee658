"""Two experiments, or two runs of one, beside each other."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ensemake.cli import ensemake
from ensemake.member.plan import Work, save_work

from ..show.test_preview import work
from .test_outcomes import ended

METRICS = {"y": {"file": "out.json", "key": "y"}, "same": {"file": "out.json", "key": "same"}}


def told(*words: str | Path) -> str:
    return CliRunner().invoke(ensemake, ["compare", *map(str, words)]).output


def record(root: Path, run: str, **more: Any) -> None:
    folder = root / ".ensemake/runs"
    folder.mkdir(exist_ok=True)
    data = {"run": run, "host": "here", "packages": {"numpy": "2.1"}, "git": None, **more}
    (folder / f"{run}.json").write_text(json.dumps(data))
    (folder / "latest").write_text(run)


def left(directory: Path, y: float) -> None:
    (directory / "out.json").write_text(json.dumps({"y": y, "same": 1}))


def experiment(base: Path, xs: list[int], factor: float, run: str) -> Work:
    sweep = work(base, params={"x": xs}, metrics=METRICS)
    save_work(sweep)
    root = base / sweep.layout.root
    config = {"experiment": root.name, "ensembles": {"sweep": sweep.settings.model_dump()}}
    (root / ".ensemake/config.json").write_text(json.dumps(config))
    for member in sweep.planned:
        left(ended(base, member, run=run), factor * float(member.values["x"]))
    return sweep


@pytest.fixture
def one(tmp_path: Path) -> Work:
    sweep = experiment(tmp_path / "one", [1, 2, 3], 1, "20260101T000000-aaaa")
    record(sweep.base / sweep.layout.root, "20260101T000000-aaaa")
    return sweep


def test_experiments_are_matched_by_parameters(tmp_path: Path, one: Work) -> None:
    other = experiment(tmp_path / "two", [2, 3, 4], 1.5, "20260102T000000-bbbb")
    root = other.base / other.layout.root
    git = {"commit": "f" * 40, "dirty": True}
    record(root, "20260102T000000-bbbb", packages={"numpy": "2.2"}, git=git)
    lines = told(one.base / one.layout.root, root).splitlines()
    assert "commit ffffffffffff and changes" in lines[1]
    assert "  packages.numpy: 2.1 -> 2.2" in lines
    start = lines.index("sweep: 2 members in both, 2 of the same recipe, 1 only in A, 1 only in B")
    assert lines[start + 1 : start + 4] == [
        "  status: the same in all",
        "  y: differs in 2 of 2; B - A is 1.25 on average, 1 to 1.5",
        "  same: the same in all",
    ]
    assert [line.split() for line in lines[start + 5 :]] == [
        ["x", "y", "A", "y", "B"],
        ["2", "2", "3"],
        ["3", "3", "4.5"],
    ]


def test_a_run_and_what_followed_it(one: Work) -> None:
    root = one.base / one.layout.root
    member = one.planned[0]
    directory = one.base / member.directory
    older = directory / "previous/1"
    older.mkdir(parents=True)
    for name in ("status.json", "out.json"):
        (directory / name).rename(older / name)
    left(ended(one.base, member, run="20260103T000000-cccc"), 7.0)
    record(root, "20260103T000000-cccc")
    output = told(f"{root}@20260101T000000-aaaa", root)
    assert "y: differs in 1 of 3; B - A is 2 on average, 0 to 6" in output
    assert "config, code and environment are the same" in output


def test_what_is_not_there(one: Work, tmp_path: Path) -> None:
    root = one.base / one.layout.root
    assert "no experiment was run here" in told(tmp_path, root)
    assert "there are 20260101T000000-aaaa" in told(f"{root}@yesterday", root)
