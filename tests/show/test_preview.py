"""The preview: table, command, files, jobs, cost, and what looks wrong."""

from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.plan import Work
from ensemake.show.preview import job_count, preview_lines, runtime_minutes, suspicions

from ..conftest import Project
from ..results.test_outcomes import ended


def work(base: Path, **keys: Any) -> Work:
    settings = {"run_settings": {"exe": "echo", "exe_args": ["{{ x }}"]}, **keys}
    config = {"experiment": "exp", "ensembles": {"sweep": settings}}
    return expand_work(Config.model_validate(config), "sweep", base)


def test_first_and_last_rows(tmp_path: Path) -> None:
    sweep = work(tmp_path, params={"x": {"range": [0, 50]}, "name": ["a", "b"]})
    lines = preview_lines(sweep)
    assert lines[0] == "sweep: 100 members, all to run"
    assert "x: 50 values, 0 to 49" in lines[1]
    rows = lines[4:12]
    assert rows[0].split() == ["member", "x", "name"]
    assert rows[4].strip() == "... 94 more"
    assert rows[1].split() == [sweep.planned[0].name, "0", "a"]
    assert rows[7].split() == [sweep.planned[-1].name, "49", "b"]
    assert "  command  echo 0" in lines


def test_a_wide_table_is_cut_at_80_columns(tmp_path: Path) -> None:
    params = {f"parameter_{n}": [n, "long " * 20] for n in range(9)}
    lines = preview_lines(work(tmp_path, params={"x": 1, **params}))
    start = next(n for n, line in enumerate(lines) if "member " in line)
    assert all(len(line) <= 80 for line in lines[start : start + 9])
    assert any("more columns" in line for line in lines)


def test_what_is_done_already_and_what_it_costs(tmp_path: Path) -> None:
    resources = {"tasks": 2, "cpus_per_task": "{{ x }}", "runtime": "2h"}
    sweep = work(tmp_path, params={"x": [1, 2, 3]}, resources=resources)
    ended(tmp_path, sweep.planned[0], elapsed_s=1800.0)
    text = "\n".join(preview_lines(sweep))
    assert "sweep: 3 members, 1 completed already, 2 to run" in text
    assert "jobs     2" in text
    assert "at most 20 CPU-hours" in text  # 2 tasks, 2 and 3 CPUs, 2 hours
    assert "about 5 CPU-hours, as finished ones took 30:00 each" in text


@pytest.mark.parametrize(
    ("text", "wanted"), [(30, 30), ("90m", 90), ("1.5h", 90), ("2d", 2880), ("30s", 0.5), ("?", 0)]
)
def test_minutes(text: object, wanted: float) -> None:
    assert runtime_minutes(text) == wanted


def test_jobs_of_batches(tmp_path: Path) -> None:
    sweep = work(tmp_path, params={"x": {"range": [0, 10]}}, batch_settings={"size": 4})
    assert job_count(sweep.settings, 10) == 3
    assert job_count(sweep.settings, 0) == 0
    assert any("jobs     3, of 4 members each" in line for line in preview_lines(sweep))


def test_many_jobs_for_a_cluster(tmp_path: Path) -> None:
    sweep = work(tmp_path, params={"x": {"range": [0, 2000]}})
    assert suspicions(sweep, 2000) == []
    assert "batch_settings" in suspicions(sweep, 2000, at_once=100)[0]
    assert any("at most 100 at once" in line for line in preview_lines(sweep, 100))


@pytest.mark.parametrize(("took", "told"), [(2.0, ["50 jobs of about 2 s"]), (600.0, [])])
def test_short_members_for_a_cluster(tmp_path: Path, took: float, told: list[str]) -> None:
    sweep = work(tmp_path, params={"x": {"range": [0, 60]}})
    for member in sweep.planned[:10]:
        ended(tmp_path, member, elapsed_s=took)
    assert [line.split(";")[0] for line in suspicions(sweep, 50, at_once=20)] == told
    assert suspicions(sweep, 50) == suspicions(sweep, 10, at_once=20) == []  # here, or all at once


def test_parameters_that_reach_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.cfg").write_text("used = ;tagged;\n")
    (tmp_path / "idle.cfg").write_text("nothing here\n")
    sweep = work(
        tmp_path,
        params={"x": [1, 2], "tagged": 1, "lost": 2, "base": 3, "log": 4, "unseen": 5},
        derived={"twice": "2 * base + log", "vain": "unseen"},
        run_settings={"exe": "echo", "exe_args": ["{{ x }}"], "env_vars": {"T": "{{ twice }}"}},
        files={"to_configure": ["in.cfg", "idle.cfg"]},
    )
    told = suspicions(sweep)
    assert [line.split()[0] for line in told] == ["lost", "unseen", "vain", "nothing"]
    assert told[-1].endswith("idle.cfg")


def test_a_code_that_reads_params_json_uses_all(tmp_path: Path) -> None:
    run = {"exe": "echo", "exe_args": ["--config=params.json"]}
    assert suspicions(work(tmp_path, params={"x": [1, 2]}, run_settings=run)) == []


@pytest.mark.workflow
def test_the_target(project: Project) -> None:
    project.ensemble()
    project.config["models"] = {"hello": {"run_settings": {"exe": "echo"}}}
    told = project.run("preview")
    assert told.returncode == 0
    assert "hello: a model, to run" in told.stdout
    assert "sweep: 3 members, all to run" in told.stdout
    assert not project.ran()
