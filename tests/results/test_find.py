"""Which members an expression holds for, also where values are missing."""

import json
from pathlib import Path

import pytest

from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.plan import Work
from ensemake.metrics.read import Reader
from ensemake.results.find import find

SETTINGS = {
    "params": {"x": [1, 2, 3, 4], "mode": "fast"},
    "derived": {"twice": "2 * x"},
    "run_settings": {"exe": "true"},
    "metrics": {
        "loss": {"file": "out.json", "key": "loss"},
        "told": {"file": "run.out", "regex": "told (.*)"},
    },
}


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Two members completed, the second without the metric `loss`, one failed, one never ran."""
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": SETTINGS}})
    work = expand_work(config, "sweep", tmp_path)
    for member, status in zip(work.planned, ["completed", "completed", "failed"], strict=False):
        folder = tmp_path / member.directory
        folder.mkdir(parents=True)
        told = {"status": status, "exit_code": int(status == "failed"), "digest": member.digest}
        (folder / "status.json").write_text(json.dumps(told))
        (folder / "run.out").write_text(f"told {member.values['x']}.5\n")
    (tmp_path / work.planned[0].directory / "out.json").write_text('{"loss": 0.25}')
    return work


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("true", [1, 2, 3, 4]),
        ("x > 2", [3, 4]),
        ("twice == 4 or mode == 'slow'", [2]),
        ("status == 'failed' and exit_code == 1", [3]),
        ("status == 'missing'", [4]),
        ("exit_code == 0", [1, 2]),
        ("loss < 1", [1]),
        ("not (loss > 1)", [1]),
        ("loss != 7", [1]),
        ("loss * 2 + 1 < 9 and -loss < 0", [1]),
        ("loss in [0.25, 1]", [1]),
        ("sqrt(loss) < 1", [1]),
        ("loss", [1]),
        ("not loss", []),
        ("loss > 1 or x == 2", [2]),
        ("x == 2 or loss > 1", [2]),
        ("loss < 1 or loss >= 1", [1]),
        ("loss is not defined", [2, 3, 4]),
        ("told > 2", [2]),
    ],
)
def test_expressions_over_parameters_status_and_metrics(
    work: Work, text: str, held: list[int]
) -> None:
    directories = {member.directory: member.values["x"] for member in work.planned}
    assert [directories[directory] for directory in find(work, text)] == held


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("los > 1", "'los' is no column of results.csv; did you mean 'loss'?"),
        ("x >", "x >: "),
        ("x > mode", "TypeError.* for member [0-9a-f]{12}"),
    ],
)
def test_what_cannot_be_asked_is_told(work: Work, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        find(work, text)


def test_only_metrics_that_are_asked_for_are_read(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(reader: Reader, *arguments: object) -> tuple[dict[str, object], list[str]]:
        asked.append(list(reader._metrics))
        return {}, []

    monkeypatch.setattr(Reader, "read", read)
    find(work, "x > 2")
    find(work, "told > 2")
    assert asked == [["told"], ["told"]]
