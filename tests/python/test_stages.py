"""Entities that take from others, in Python."""

from pathlib import Path

import pytest

from ensemake import Experiment
from ensemake.errors import NotYetKnownError

CODE = "import sys; open('out.txt', 'w').write(sys.argv[1])"
READ = "print(open('start.txt').read(), '{{ first.T }}')"


def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(tmp_path)
    return Experiment("stages", launcher="local")


@pytest.mark.workflow
def test_entities_take_from_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exp = stages(tmp_path, monkeypatch)
    run = exp.create_run_settings("python", ["-c", CODE, "{{ T }}"])
    first = exp.create_ensemble(
        "first", params={"T": [1, 2]}, run_settings=run, outputs=["out.txt"]
    )
    second = exp.create_ensemble(
        "second",
        params={"start": {"members": first}, "p": [7]},
        run_settings=exp.create_run_settings("python", ["-c", READ]),
        inputs={first: {"files": {"out.txt": "start.txt"}}},
    )
    last = exp.create_model(
        "last",
        run_settings=exp.create_run_settings("cat", ["second/members.csv"]),
        inputs={"second": {"members": "all", "files": ["run.out"]}},
    )
    best = exp.create_ensemble(
        "best",
        params={"one": {"members": "second", "first": 1}},
        run_settings=exp.create_run_settings("echo", ["{{ T }}"]),
    )
    assert [member.values["T"] for member in second.members()] == [1, 2]
    assert len(second) == 2
    with pytest.raises(NotYetKnownError, match="known once second has finished"):
        best.members()
    assert exp.get_status(best) == []
    exp.start(last, best)  # what they need is run as well
    told = (tmp_path / "stages" / "last" / "run.out").read_text()
    assert len(told.splitlines()) == 3
    outs = sorted(path.read_text() for path in (tmp_path / "stages" / "second").glob("*/run.out"))
    assert outs == ["1 1\n", "2 2\n"]
    assert len(best) == 1
    assert Experiment.load(tmp_path / "stages").as_config() == exp.as_config()


def test_inputs_are_entities_or_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exp = stages(tmp_path, monkeypatch)
    run = exp.create_run_settings("echo")
    mesh = exp.create_model("mesh", run, outputs=["mesh.dat"])
    assert exp.create_model("a", run, inputs=[mesh]).inputs == {"mesh": {}}
    assert exp.create_model("b", run, inputs="mesh").inputs == {"mesh": {}}
    batch = exp.create_batch_settings()
    batch.with_ = mesh
    assert batch.as_config() == {"with": "mesh"}
    with pytest.raises(TypeError, match="expected a model, an ensemble or the name of one"):
        exp.create_model("c", run, inputs=[3])
