"""Faults of what entities take from each other are told with their place."""

from pathlib import Path

import pytest

from ensemake.check.config import load_config
from ensemake.config.faults import ConfigError

HEAD = """\
experiment: e
models:
  mesh: {run_settings: {exe: echo}, outputs: [mesh.dat]}
ensembles:
  first:
    {params: {T: [1, 2]}, run_settings: {exe: w}, outputs: [out], metrics: {m: {file: a, key: k}}}
  second:
    params: {p: [1, 2]}
    run_settings: {exe: echo}
"""


def fault(tmp_path: Path, text: str) -> str:
    path = tmp_path / "c.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(ConfigError) as found:
        load_config(path, base=tmp_path)
    lines = str(found.value).split("\n")
    assert len(lines) == 2, lines
    return lines[0].removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "    inputs: {mesh: {}, frist: {}}",
            "10: ensembles.second.inputs.frist: there is no model or ensemble 'frist'; did you",
        ),
        ("    inputs: {second: {}}", "10: ensembles.second.inputs.second: takes from itself"),
        (
            "    inputs: {first: {members: many}}",
            "10: ensembles.second.inputs.first.members: expected one of one, all, got 'many'",
        ),
        (
            "    inputs: {first: {file: [out]}}",
            "10: ensembles.second.inputs.first.file: unknown key; did you mean 'files'?",
        ),
        (
            "    inputs: {mesh: {files: {mesh.dat: run.sh}}}",
            "10: ensembles.second.inputs.mesh: 'run.sh' comes from ensemake itself too",
        ),
        (
            "    inputs: {mesh: {files: {mesh.dat: out}}, first: {match: []}}",
            "10: ensembles.second.inputs.first: 'out' comes from the input mesh too",
        ),
        (
            "    inputs: {first: {files: ['out_{{ Q }}'], match: []}}",
            "10: ensembles.second.inputs.first.files: line 1: Q is no parameter",
        ),
        (
            "    inputs: {mesh: {allow_failed: true}}",
            "10: ensembles.second.inputs.mesh.allow_failed: goes with members: all",
        ),
        (
            "    exe: {}\n",
            "10: ensembles.second.exe: unknown key here; it belongs into",
        ),
        (
            "    derived: {e: first.T}\n    inputs: {first: {members: all}}",
            "10: ensembles.second.derived.e: 'first' is no parameter",
        ),
        (
            "    derived: {e: mesh.T}\n    inputs: {mesh: {}}",
            "10: ensembles.second.derived.e: mesh.T: the input has no parameter T",
        ),
        (
            "    batch_settings: {with: first}",
            "10: ensembles.second.batch_settings.with: 'first' is no input",
        ),
        (
            "    inputs: {mesh: {}}\n    batch_settings: {with: mesh}",
            "11: ensembles.second.batch_settings.with: mesh has no batch_settings",
        ),
    ],
)
def test_inputs(tmp_path: Path, text: str, told: str) -> None:
    assert fault(tmp_path, text).startswith(told)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{members: frist}", ".members: there is no model or ensemble 'frist'"),
        ("{members: first, wher: x}", ": unknown key 'wher' beside members; did you mean 'where'?"),
        ("{members: first, sort_by: n}", ".sort_by: first has no column 'n'"),
        ("{members: first, where: 'n > 1'}", ".where: first has no column 'n'"),
        ("{members: first, where: 'm >'}", ".where: m >: "),
        ("{members: first, per: [T]}", ": per says for what `first` counts"),
        ("{members: first, first: 1, per: [m]}", ".per[0]: first has no parameter 'm'"),
        ("{members: first, first: 0}", ": first: "),
        ("{members: first, descending: true}", ": descending says how `sort_by` sorts"),
    ],
)
def test_choices(tmp_path: Path, space: str, told: str) -> None:
    text = HEAD.replace("{p: [1, 2]}", f"{{q: {space}}}")
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as found:
        load_config(path, base=tmp_path)
    lines = str(found.value).split("\n")
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{path}:8: ensembles.second.params.q{told}"), lines[0]


def test_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    first = "inputs: {second: {files: []}}"
    path.write_text(
        HEAD.replace("outputs: [out],", f"outputs: [out], {first},") + "    inputs: {first: {}}"
    )
    with pytest.raises(ConfigError) as found:
        load_config(path, base=tmp_path)
    told = str(found.value)
    assert "first takes from second takes from first" in told
    assert "second takes from first takes from second" in told
