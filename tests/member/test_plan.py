"""What a run worked on is known afterwards, from its own file."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config
from ensemake.member.expansion import Expansion, expand_work, known_work
from ensemake.member.layout import root
from ensemake.member.plan import read_work, save_work


def config(**keys: Any) -> Config:
    settings = {
        "params": {"x": {"logspace": [0, 2, 3]}, "n, name": [[1, "a"], [2, "b"]], "flag": True},
        "derived": {"y": "x * 2"},
        "where": "x < 100",
        "run_settings": {"exe": "echo", "exe_args": ["{{ x }}", 3]},
        "replicas": 2,
        **keys,
    }
    return Config.model_validate({"experiment": "exp", "ensembles": {"sweep": settings}})


def test_saved_and_read_it_is_the_same(tmp_path: Path) -> None:
    work = expand_work(config(), "sweep", tmp_path)
    save_work(work)
    assert read_work(Path("results/exp"), "sweep", tmp_path) == work
    assert [type(value) for value in work.planned[0].values.values()] == [
        type(value)
        for value in read_work(Path("results/exp"), "sweep", tmp_path).planned[0].values.values()
    ]


def test_results_may_be_moved(tmp_path: Path) -> None:
    save_work(expand_work(config(), "sweep", tmp_path))
    shutil.move(tmp_path / "results" / "exp", tmp_path / "elsewhere")
    work = read_work(Path("elsewhere"), "sweep", tmp_path)
    assert work.planned[0].directory == f"elsewhere/sweep/{work.planned[0].name}"


def test_what_was_run_is_known_without_its_inputs(tmp_path: Path) -> None:
    (tmp_path / "in.cfg").write_text("x = 1")
    given = config(files={"to_copy": ["in.cfg"]})
    work = expand_work(given, "sweep", tmp_path)
    save_work(work)
    assert known_work(Expansion(given, tmp_path), "sweep") == work
    (tmp_path / "in.cfg").unlink()
    assert known_work(Expansion(given, tmp_path), "sweep") == work


def test_an_edit_is_seen(tmp_path: Path) -> None:
    (tmp_path / "in.cfg").write_text("x = 1")
    given = config(files={"to_copy": ["in.cfg"]})
    work = expand_work(given, "sweep", tmp_path)
    save_work(work)
    (tmp_path / "in.cfg").write_text("x = 2")
    assert (
        known_work(Expansion(given, tmp_path), "sweep").planned[0].digest != work.planned[0].digest
    )
    assert len(known_work(Expansion(config(replicas=3), tmp_path), "sweep").planned) == 12


def test_what_never_ran_is_made_from_the_config(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_work(root(config()), "sweep", tmp_path)
    assert len(known_work(Expansion(config(), tmp_path), "sweep").planned) == 8
