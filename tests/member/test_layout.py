"""Where members lie: beside one another, or spread over sub-folders where they are many."""

from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config
from ensemake.member import layout
from ensemake.member.expansion import expand_work
from ensemake.member.layout import located, places
from ensemake.member.plan import Work
from ensemake.results.outcomes import leftovers
from ensemake.results.prune import prune
from ensemake.sweep.identity import member_id

from ..conftest import Project

NAMES = ["aa1", "aa2", "bb1", "cc1"]


def work(base: Path, **keys: Any) -> Work:
    settings = {"run_settings": {"exe": "echo"}, "params": {"x": {"range": [0, 4]}}, **keys}
    config = {"experiment": "exp", "ensembles": {"sweep": settings}}
    return expand_work(Config.model_validate(config), "sweep", base)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three members are many."""
    monkeypatch.setattr(layout, "MOST", 2)


def test_few_lie_beside_one_another(tmp_path: Path) -> None:
    assert list(places(tmp_path, NAMES)) == NAMES
    assert list(places(tmp_path / "absent", NAMES)) == NAMES


@pytest.mark.usefixtures("few")
def test_many_are_spread_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "aa2").mkdir()
    assert list(places(tmp_path, NAMES)) == ["aa/aa1", "aa2", "bb/bb1", "cc/cc1"]
    (tmp_path / "bb/bb1").mkdir(parents=True)
    assert list(places(tmp_path, NAMES[1:3])) == ["aa2", "bb/bb1"]  # few again
    assert located(tmp_path, "bb1") == tmp_path / "bb/bb1"
    assert located(tmp_path, "aa2") == tmp_path / "aa2"


@pytest.mark.usefixtures("few")
def test_names_that_were_chosen_are_not_spread(tmp_path: Path) -> None:
    directories = [member.directory for member in work(tmp_path, naming="index").planned]
    assert directories == [f"results/exp/sweep/sweep_{i}" for i in range(4)]


@pytest.mark.usefixtures("few")
def test_leftovers_of_sub_folders_are_found_and_pruned(tmp_path: Path) -> None:
    whole = work(tmp_path)
    for member in whole.planned:
        (tmp_path / member.directory).mkdir(parents=True)
        (tmp_path / member.directory / "run.sh").touch()
    assert leftovers(whole) == []
    rest = work(tmp_path, params={"x": [0, 1]})
    assert [member.directory for member in rest.planned] == [
        member.directory for member in whole.planned[:2]
    ]
    gone = sorted(tmp_path / member.directory for member in whole.planned[2:])
    assert leftovers(rest) == gone
    assert len(prune(rest, confirmed=True)) == 2
    assert not any(path.parent.exists() for path in gone)


@pytest.mark.workflow
def test_a_run_with_members_in_sub_folders(project: Project) -> None:
    both = {"alone": [1, 2, 3], "packed": [4, 5, 6]}
    ids = {name: [member_id({"x": x}) for x in values] for name, values in both.items()}
    for name, values in both.items():
        settings = project.ensemble(name, params={"x": values})
        settings["run_settings"]["exe_args"] = ["{{ x }}"]
        for member in ids[name][:2]:  # as it was left by a run of more than 10,000
            (project.results / name / member[:2] / member).mkdir(parents=True)
    project.config["ensembles"]["packed"]["batch_settings"] = {"size": 2}
    done = project.run()
    assert done.returncode == 0, done.stderr
    for name in both:
        assert f"{name}: all 3 completed" in done.stderr
        one, two = (project.results / name / member[:2] / member for member in ids[name][:2])
        assert project.status(one)["status"] == project.status(two)["status"] == "completed"
        assert (project.results / name / ids[name][2] / "out.json").exists()
        (two / "out.json").unlink()
    assert project.run().returncode == 0
    expected = {m: 1 + (i == 1) for members in ids.values() for i, m in enumerate(members)}
    assert project.ran() == expected
    assert "Nothing to be done" in project.run().stderr
    scripts = [project.results / n / ids[n][0][:2] / ids[n][0] / "run.sh" for n in both]
    for script in scripts:
        script.unlink()
    asked = project.run(*(str(script.relative_to(project.folder)) for script in scripts))
    assert asked.returncode == 0, asked.stderr
    assert all(script.exists() for script in scripts)


@pytest.mark.workflow
def test_a_failure_in_a_sub_folder_is_told(project: Project) -> None:
    project.ensemble(run_settings={"exe": "false"}, outputs=[])
    name = member_id({"x": 1})
    directory = project.results / "sweep" / name[:2] / name
    directory.mkdir(parents=True)
    done = project.run()
    assert done.returncode == 1
    assert f"results/exp/sweep/{name[:2]}/{name}: exit code 1" in done.stderr
    assert f"results/exp/sweep/{name[:2]}/{name}/run.err" in done.stderr
