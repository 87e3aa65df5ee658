"""Entities that take from others: the manual's example and what may happen to it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..conftest import Project
from ..test_manual import FILES

pytestmark = pytest.mark.workflow

CONFIG = yaml.safe_load(FILES["stages.yaml"])
# Counts its runs, and fails where a file says so.
COUNTING = """\
import os, pathlib
here = pathlib.Path.cwd()
with open(os.environ["RAN_LOG"], "a") as log:
    log.write(here.relative_to(here.parents[1] if sys.argv[1] in ("mesh", "summary") else
                               here.parents[2]).as_posix().split("/", 1)[-1] + "\\n")
if sys.argv[1:] in json.loads(os.environ.get("FAILING", "[]")):
    sys.exit(3)
"""


@pytest.fixture
def stages(project: Project) -> Project:
    head, rest = FILES["md.py"].split("\n", 1)
    project.write("md.py", f"{head}\n{COUNTING}{rest}")
    project.config.update(json.loads(json.dumps(CONFIG)))
    return project


@pytest.fixture
def undrawn(stages: Project) -> Project:
    """Without pictures, which the first test is about."""
    for entity in [*stages.config["models"].values(), *stages.config["ensembles"].values()]:
        entity["plots"] = []
    return stages


def ensemble(project: Project, name: str) -> dict[str, Any]:
    return dict(project.config["ensembles"][name])


def counts(project: Project) -> dict[str, int]:
    """How often members of each entity have run so far."""
    found: dict[str, int] = {}
    for name, count in project.ran().items():
        entity = name.split("/")[0]
        found[entity] = found.get(entity, 0) + count
    return found


def newly(project: Project, *arguments: str, code: int = 0) -> dict[str, int]:
    """Run, and return how many members of each entity ran."""
    before = counts(project)
    done = project.run(*arguments)
    assert done.returncode == code, done.stderr
    after = counts(project)
    return {name: n for name in after if (n := after[name] - before.get(name, 0))}


def test_one_run_does_all_stages_and_edits_run_what_follows_from_them(stages: Project) -> None:
    first = newly(stages)
    assert first == {"mesh": 1, "equilibrate": 3, "produce": 6, "longer": 2, "summary": 1}
    assert float(stages.table("summary")[0]["mean"]) == pytest.approx(165)
    chosen = stages.table("longer")
    assert [(row["T"], row["p"]) for row in chosen] == [("280", "10"), ("300", "10")]
    assert chosen[0]["loss"] == "0.028"
    produced = stages.member("produce", T=280, p=1)
    assert os.readlink(produced / "start.json") == f"../../equilibrate/{_start(stages)}/state.json"
    assert newly(stages) == {}

    grown = stages.config["ensembles"]["equilibrate"]["params"]["T"] = [280, 300, 320, 270]
    assert newly(stages) == {"equilibrate": 1, "produce": 2, "longer": 1, "summary": 1}
    assert [row["T"] for row in stages.table("longer")] == ["270", "280"]  # best first
    assert len(list((stages.results / "longer").glob("*/run.sh"))) == 3
    assert (stages.table("summary", "produce/members.csv")[-1]["T"]) == str(grown[-1])

    stages.config["ensembles"]["equilibrate"]["derived"] = {"half": "T / 2"}
    assert newly(stages) == {"equilibrate": 4, "produce": 8, "longer": 2, "summary": 1}
    assert newly(stages, "-R", "produce") == {"produce": 8, "longer": 2, "summary": 1}

    gone = stages.member("equilibrate", T=270).name
    stages.config["ensembles"]["equilibrate"]["params"]["T"].remove(270)
    told = stages.run("prune").stdout
    folder = "would delete results/stages/equilibrate"
    assert f"{folder}/{gone}, from which 2 members of produce take\n" in told


def _start(project: Project) -> str:
    return project.member("equilibrate", T=280).name


@pytest.mark.parametrize("how", ["alone", "batches", "with"])
def test_a_failed_member_blocks_only_what_needs_it(
    undrawn: Project, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how != "alone":
        follow = {"with": "equilibrate"} if how == "with" else {"size": 4}
        undrawn.config["ensembles"]["equilibrate"]["batch_settings"] = {"size": 2}
        undrawn.config["ensembles"]["produce"]["batch_settings"] = follow
    monkeypatch.setenv("FAILING", json.dumps([["equilibrate", "300"]]))
    ran = newly(undrawn, code=1)
    assert ran == {"mesh": 1, "equilibrate": 3, "produce": 4, "longer": 2}
    states = [row["status"] for row in undrawn.table("produce")]
    assert states == ["completed", "completed", "blocked", "blocked", "completed", "completed"]
    failed = undrawn.member("equilibrate", T=300).name
    blocked = undrawn.table("produce")[2]
    assert blocked["reason"] == f"needs equilibrate/{failed}, which failed"
    assert undrawn.table("summary")[0]["status"] == "blocked"
    assert "produce: 4 completed, 2 blocked of 6" in undrawn.run("status").stdout

    monkeypatch.setenv("FAILING", "[]")
    assert newly(undrawn) == {"equilibrate": 1, "produce": 2, "summary": 1, "longer": 1}
    assert {row["status"] for row in undrawn.table("produce")} == {"completed"}
    assert newly(undrawn) == {}


def test_what_has_completed_is_gathered_and_those_that_failed_can_be_chosen(
    undrawn: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    undrawn.config["models"]["summary"]["inputs"]["produce"]["allow_failed"] = True
    longer = undrawn.config["ensembles"]["longer"]
    del longer["inputs"]
    longer["params"] = {"best": {"members": "produce", "where": "status == 'failed'"}}
    longer["run_settings"] = {"exe": "echo", "exe_args": ["{{ p }}"]}
    monkeypatch.setenv("FAILING", json.dumps([["produce", "10"]]))
    assert newly(undrawn, code=1)["summary"] == 1
    assert len(undrawn.table("summary", "produce/members.csv")) == 3
    assert [row["p"] for row in undrawn.table("longer")] == ["10"] * 3

    monkeypatch.setenv("FAILING", "[]")
    assert newly(undrawn)["summary"] == 1
    assert len(undrawn.table("summary", "produce/members.csv")) == 6
    assert undrawn.table("longer") == []  # none has failed, so none is chosen


def test_questions_know_what_is_not_known_yet(undrawn: Project) -> None:
    told = undrawn.run("preview").stdout
    assert told.startswith("stage 1: mesh\nstage 2: equilibrate\nstage 3: produce\nstage 4: ")
    assert "path.csv from 6 of 6 members of produce, with a table" in told
    assert "longer: its members are known once produce has finished" in told
    undrawn.save()
    assert "ended_produce" in undrawn.run("-n").stdout
    assert not (undrawn.folder / "results").exists()
    assert "longer: its members are known" in undrawn.run("status").stdout


def test_a_member_by_hand_keeps_to_what_it_was_made_from_and_moved_results_their_links(
    undrawn: Project, tmp_path: Path
) -> None:
    assert undrawn.run().returncode == 0
    member = undrawn.member("produce", T=280, p=1)
    script = ["bash", str(member / "run.sh")]
    (member / "status.json").unlink()
    equilibrated = undrawn.results / "equilibrate" / _start(undrawn)
    status = json.loads((equilibrated / "status.json").read_text())
    (equilibrated / "status.json").write_text(json.dumps({**status, "digest": "1-other"}))
    refused = subprocess.run(script, capture_output=True, text=True, env=undrawn.environment)
    assert refused.returncode == 1
    assert f"needs equilibrate/{equilibrated.name}, which has not completed" in refused.stderr
    (equilibrated / "status.json").write_text(json.dumps(status))
    assert subprocess.run(script, check=False, env=undrawn.environment).returncode == 0
    (equilibrated / "state.json").unlink()
    (member / "status.json").unlink()
    assert subprocess.run(script, check=False, env=undrawn.environment).returncode == 1
    assert undrawn.status(member)["reason"] == f"equilibrate/{equilibrated.name} left no state.json"

    moved = undrawn.results.rename(tmp_path / "moved")
    (moved / equilibrated.relative_to(undrawn.results) / "state.json").touch()
    links = [path for path in moved.rglob("*") if path.is_symlink()]
    assert links
    assert [link for link in links if not link.exists()] == []
