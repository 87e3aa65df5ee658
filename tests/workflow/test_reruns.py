"""A user's week: edit the config, run again; only what the edit changed may run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import REPOSITORY, Project

pytestmark = pytest.mark.workflow


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Times and contents of all files below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def finish(project: Project, *arguments: str) -> None:
    done = project.run(*arguments)
    assert done.returncode == 0, done.stderr


def test_what_runs_no_member_again(project: Project) -> None:
    """A second run, a template that was touched, other resources, another profile, a new metric."""
    template = project.write("in.cfg", "x = ;x;\n")
    settings = project.ensemble(files={"to_configure": ["in.cfg"]}, resources={"mem_mb": 100})
    finish(project)
    assert sum(project.ran().values()) == 3
    before = snapshot(project.results)
    assert "Nothing to be done" in project.run().stderr
    assert snapshot(project.results) == before
    os.utime(template)
    assert "Nothing to be done" in project.run().stderr

    settings["resources"] = {"mem_mb": 200, "runtime": 5, "cpus_per_task": 2}
    settings["run_settings"]["run_command"] = "none"
    finish(project)
    assert set(project.ran().values()) == {1}
    elsewhere = project.run("--dry-run", profile="slurm")
    assert "Nothing to be done" in elsewhere.stdout + elsewhere.stderr

    settings["metrics"] = {"value": {"file": "out.json", "key": "value"}}
    finish(project)
    assert set(project.ran().values()) == {1}
    assert {row["value"] for row in project.table()} == {"1.5"}
    assert (project.results / "sweep/plots/value.png").exists()


def newly(project: Project, *arguments: str) -> list[int]:
    """Run, and return how often each of the members that ran did so."""
    before = project.ran()
    finish(project, *arguments)
    return list((project.ran() - before).values())


def test_what_is_lost_new_edited_or_forced_runs_and_nothing_else(project: Project) -> None:
    settings = project.ensemble()
    assert newly(project) == [1] * 3
    (project.member(x=1) / "out.json").unlink()
    shutil.rmtree(project.member(x=2))
    assert newly(project) == [1] * 2
    names = {project.member(x=1).name, project.member(x=2).name}
    assert {name for name, count in project.ran().items() if count == 2} == names

    old = set(project.ran())
    settings["params"] = {"x": [1, 2, 3, 4]}
    assert newly(project, "results/exp/sweep/results.csv") == [1]  # also if only this is asked for
    settings["replicas"] = 2
    assert newly(project) == [1] * 4
    assert len(project.ran()) == 8
    assert old < set(project.ran())

    project.write("code.py", (project.folder / "code.py").read_text() + "# edited\n", mode=0o755)
    assert newly(project) == [1] * 8
    assert newly(project, "--forcerun", "sweep") == [1] * 8
    assert "Nothing to be done" in project.run().stderr


def test_insert_a_value_and_reorder_keys(project: Project) -> None:
    settings = project.ensemble(params={"x": [1, 3], "y": ["a", "b"]})
    finish(project)
    old = project.ran()
    kept = {name: snapshot(project.results / "sweep" / name) for name in old}
    settings["params"] = {"y": ["b", "a"], "x": [1, 2, 3]}
    finish(project)
    assert len(project.ran() - old) == 2
    assert all(count == 1 for count in project.ran().values())
    assert {name: snapshot(project.results / "sweep" / name) for name in old} == kept
    assert len(project.table()) == 6
    project.config["ensembles"]["sweep"] = dict(reversed(settings.items()))
    assert "Nothing to be done" in project.run("--dry-run").stderr + project.run().stderr


def test_edited_template_reruns_its_ensemble_only(project: Project) -> None:
    project.write("in.cfg", "x = ;x;\n")
    project.ensemble("one", files={"to_configure": ["in.cfg"]})
    project.ensemble("two", params={"x": [4, 5, 6]})
    finish(project)
    old = project.ran()
    project.write("in.cfg", "x: ;x;\n")
    finish(project)
    ones = {row["member"] for row in project.table("one")}
    assert {name for name, count in project.ran().items() if count == 2} == ones
    assert sum((project.ran() - old).values()) == 3
    assert (project.member("one", x=2) / "in.cfg").read_text() == "x: 2\n"


def test_removed_member_stays_on_disk_until_pruned(project: Project) -> None:
    settings = project.ensemble()
    finish(project)
    gone = project.member(x=3)
    before = snapshot(gone)
    settings["params"] = {"x": [1, 2]}
    finish(project)
    assert len(project.table()) == 2
    assert "1 no longer in the config" in project.run("status").stdout
    listed = project.run("prune")
    assert str(gone.relative_to(project.folder)) in listed.stdout
    assert "Nothing was deleted" in listed.stdout
    assert snapshot(gone) == before
    pruned = project.run("prune", "--config", "confirm=prune")
    assert "1 deleted" in pruned.stdout
    assert not gone.exists()
    assert set(project.ran().values()) == {1}


def test_member_run_by_hand_counts_and_refreshes_the_table(project: Project) -> None:
    project.ensemble(metrics={"value": {"file": "out.json", "key": "value"}})
    finish(project, "generate")
    assert not project.ran()
    rows = project.table(name="members.csv")
    for row in rows:
        script = project.results / "sweep" / row["member"] / "run.sh"
        subprocess.run(["bash", str(script)], env=project.environment, check=True)
    finish(project)
    assert set(project.ran().values()) == {1}
    assert [row["value"] for row in project.table()] == ["1.5"] * 3


def test_a_file_can_be_asked_for_by_name(project: Project) -> None:
    project.write("in.cfg", "x = ;x;\n")
    settings = project.ensemble(files={"to_configure": ["in.cfg"]}, naming="index")
    target = "results/exp/sweep/sweep_1/in.cfg"
    finish(project, target)
    assert (project.folder / target).read_text() == "x = 2\n"
    assert not project.ran()
    assert "Nothing to be done" in project.run(target).stderr
    settings["params"] = {"x": [1, 5]}
    finish(project, target)
    assert (project.folder / target).read_text() == "x = 5\n"


def test_model_and_ensemble_share_one_file(project: Project) -> None:
    project.ensemble()
    project.config["models"] = {
        "hello-world": {"run_settings": {"exe": "echo", "exe_args": ["hi"]}}
    }
    finish(project)
    assert (project.results / "hello-world/run.out").read_text() == "hi\n"
    assert project.table("hello-world")[0]["status"] == "completed"


@pytest.fixture
def slow(project: Project) -> Project:
    """Members that take half a second each, or wait, and note when they start and end."""
    code = (
        "#!/bin/bash\n"
        'echo "$(basename "$PWD")" >> "$RAN_LOG.started"\n'
        "sleep 0.7\n"
        'until [ -z "$WAITS" ] || [ -e "$RAN_LOG.go" ]; do sleep 0.1; done\n'
        'basename "$PWD" >> "$RAN_LOG"\ntouch out.json\n'
    )
    project.write("code.py", code, mode=0o755)
    project.ensemble(params={"x": list(range(6))})
    return project


def wait_for(path: Path, lines: int) -> None:
    for _ in range(3000):
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        time.sleep(0.01)
    pytest.fail(f"{path} never had {lines} lines")


def test_kill_9_of_the_main_process(slow: Project, reap: list[subprocess.Popen[str]]) -> None:
    process = slow.start()
    reap.append(process)
    wait_for(slow.folder / "ran.log", 1)
    process.kill()  # its members live on
    process.wait()
    finish(slow)
    assert len(slow.ran()) == 6
    assert set(slow.ran().values()) == {1}


def test_kill_9_of_everything(slow: Project, reap: list[subprocess.Popen[str]]) -> None:
    process = slow.start()
    reap.append(process)
    wait_for(slow.folder / "ran.log", 2)
    killed_at = {path.parent.name for path in slow.results.glob("sweep/*/status.json")}
    session = subprocess.run(
        ["pkill", "-9", "-s", str(process.pid)], check=False, capture_output=True
    )
    assert session.returncode == 0
    process.wait()
    finish(slow)
    assert len(slow.ran()) == 6
    assert all(slow.ran()[name] == 1 for name in killed_at)
    assert {row["status"] for row in slow.table()} == {"completed"}


def test_interrupt_and_go_on(
    slow: Project, reap: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITS", "1")  # on a busy machine too, the signal comes before their end
    process = slow.start()
    reap.append(process)
    wait_for(slow.folder / "ran.log.started", 2)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode != 0, output
    assert "Traceback" not in output
    monkeypatch.delenv("WAITS")
    finish(slow)
    assert len(slow.ran()) == 6
    assert set(slow.ran().values()) == {1}


def test_a_run_waits_for_no_timer(project: Project, reap: list[subprocess.Popen[str]]) -> None:
    """Snakemake would start one of an hour in each round."""
    project.ensemble()
    process = project.start("--max-jobs-per-timespan", "10000/1h")
    reap.append(process)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told


def test_two_runs_at_once(
    slow: Project, reap: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITS", "1")
    first = slow.start()
    reap.append(first)
    wait_for(slow.folder / "ran.log.started", 1)
    second = slow.run()
    assert second.returncode == 1
    assert f"sweep is being run by process {first.pid} on " in second.stderr
    assert "Traceback" not in second.stderr
    assert not slow.ran()
    slow.write("ran.log.go", "")
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert set(slow.ran().values()) == {1}
    assert len(slow.ran()) == 6


def test_as_a_module_in_somebody_s_workflow(project: Project) -> None:
    settings = project.ensemble()
    settings["run_settings"]["exe"] = "./code.py"
    project.write(
        "Snakefile",
        "from ensemake.paths import snakefile\n"
        "configfile: 'config/config.yaml'\n"
        "module ensemake:\n"
        "    snakefile: snakefile()\n"
        "    config: config\n"
        "use rule * from ensemake as sweep_*\n"
        "rule mean:\n"
        "    input: 'results/exp/sweep/results.csv'\n"
        "    output: 'mean.txt'\n"
        "    shell: 'grep -c completed {input} > {output}'\n",
    )
    project.save()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "mean.txt"],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (project.folder / "mean.txt").read_text() == "3\n"


def test_profiles_serve_any_folder(project: Project, tmp_path: Path) -> None:
    project.ensemble()
    project.save()
    environment = {**project.environment, "HOME": str(tmp_path), "XDG_CONFIG_HOME": ""}
    environment.pop("XDG_CONFIG_HOME")
    subprocess.run(["ensemake", "profiles"], env=environment, check=True)
    snakefile = str(REPOSITORY / "workflow" / "Snakefile")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", "local", "--snakefile", snakefile],
        cwd=project.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(project.ran()) == 3


def test_a_code_that_changes_its_input_and_fails_starts_afresh(project: Project) -> None:
    """It keeps what it left otherwise; with a new recipe it starts in a directory without."""
    project.write("in.txt", "input\n")
    code = "cat in.txt >>log; echo changed >in.txt; [ -e ../../../../ready ]"
    run = {"exe": "bash", "exe_args": ["-c", code]}
    files = {"to_copy": ["in.txt"]}
    settings = project.ensemble(params={"x": [1]}, run_settings=run, files=files, outputs=["log"])
    assert project.run().returncode == 1
    project.write("ready", "")
    finish(project)
    (log,) = project.results.glob("sweep/*/log")
    assert log.read_text() == "input\ninput\n"
    settings["run_settings"] = {**run, "exe_args": ["-c", f"{code}; :"]}
    finish(project)
    assert log.read_text() == "input\n"
    assert log.with_name("previous").joinpath("1/log").read_text() == "input\ninput\n"
