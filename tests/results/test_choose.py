"""Members chosen by results."""

import json
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.inputs import Choice
from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.plan import Work
from ensemake.results.choose import choose


def work(base: Path, losses: list[Any], states: dict[int, str] | None = None) -> Work:
    """Members x = 0, 1, ... in groups of two, with a loss each."""
    config = Config.model_validate(
        {
            "experiment": "e",
            "ensembles": {
                "s": {
                    "params": {"g, x": [[x % 2, x] for x in range(len(losses))]},
                    "run_settings": {"exe": "true"},
                    "metrics": {"loss": {"file": "out.json", "key": "loss"}},
                }
            },
        }
    )
    made = expand_work(config, "s", base)
    for place, (member, loss) in enumerate(zip(made.planned, losses, strict=True)):
        directory = base / member.directory
        directory.mkdir(parents=True)
        state = (states or {}).get(place, "completed")
        status = {"status": state, "exit_code": 0, "digest": member.digest}
        (directory / "status.json").write_text(json.dumps(status))
        (directory / "out.json").write_text("{}" if loss is None else json.dumps({"loss": loss}))
    return made


def chosen(made: Work, is_over: bool = True, **keys: Any) -> list[int] | None:
    names = choose(made, Choice(members="s", **keys), is_over)
    return None if names is None else [int(made.by_name[name].values["x"]) for name in names]


def test_sorted_and_cut(tmp_path: Path) -> None:
    made = work(tmp_path, [3, 1, 2, 1, float("nan"), None])
    assert chosen(made) == [0, 1, 2, 3, 4, 5]
    assert chosen(made, sort_by="loss") == [1, 3, 2, 0]
    assert chosen(made, sort_by="loss", first=2) == [1, 3]
    assert chosen(made, sort_by="loss", descending=True, first=1) == [0]
    assert chosen(made, sort_by="loss", first=1, per=["g"]) == [1, 2]
    assert chosen(made, sort_by="x", descending=True, first=1) == [5]
    assert chosen(made, where="loss < 3 and g == 1") == [1, 3]


def test_only_completed_ones_unless_the_condition_is_about_that(tmp_path: Path) -> None:
    made = work(tmp_path, [1, 2, 3], {1: "failed"})
    assert chosen(made) == [0, 2]
    assert chosen(made, where="status == 'failed'") == [1]
    assert choose(made, None, is_over=True) == [made.planned[0].name, made.planned[2].name]


def test_nobody_knows_before_the_end(tmp_path: Path) -> None:
    assert chosen(work(tmp_path, [1, 2], {1: "failed"}), is_over=False) is None


def test_a_condition_that_cannot_be_computed_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for member"):
        chosen(work(tmp_path, [1, 2]), where="1 / (x - 1) > 0")
