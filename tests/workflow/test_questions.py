"""Questions write nothing, whatever runs beside them; a second run says who runs."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import SNAKEFILE, Project
from .test_reruns import finish

pytestmark = pytest.mark.workflow

QUESTIONS = [
    ["-n"],
    ["-n", "-F"],
    ["-n", "-R", "sweep"],
    ["preview"],
    ["status"],
    ["prune"],
    ["--lint"],
    ["--dag"],
    ["--summary"],
    ["--report", "report.html"],
]


@pytest.fixture
def sweep(project: Project) -> Project:
    """Three members, of which one fails."""
    project.write(
        "fail.sh",
        "until [ -e ../../../../go ]; do sleep 0.1; done\n"
        "echo $1 >>../../../../ran.log\n(($1 != 2)) || exit 1\n",
    )
    project.ensemble(
        run_settings={"exe": "bash", "exe_args": ["fail.sh", "{{ x }}"]},
        files={"to_copy": ["fail.sh"]},
        outputs=[],
    )
    project.write("go", "")
    return project


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Times and sizes of all that lies in a folder, of folders too."""
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {path: (one.st_mtime_ns, one.st_size) for path, one in found.items()}


def test_questions_before_the_first_run_make_nothing(sweep: Project) -> None:
    assert sweep.run("-n").returncode == 0
    assert sweep.run("status").returncode == 0
    assert sweep.run("preview").returncode == 0
    assert not sweep.results.exists()


def test_questions_write_nothing(sweep: Project) -> None:
    assert sweep.run().returncode == 1
    before = files(sweep.results)
    for question in QUESTIONS:
        done = sweep.run(*question)
        assert "Traceback" not in done.stderr, question
        assert files(sweep.results) == before, question
    assert "54afd0d590e6" not in sweep.run("-n").stdout  # it completed
    assert sweep.run("-n").stdout.count("rule sweep:") == 1


def test_questions_and_a_second_run_beside_a_live_one(
    sweep: Project, reap: list[subprocess.Popen[str]]
) -> None:
    (sweep.folder / "go").unlink()
    live = sweep.start()
    reap.append(live)
    while not list(sweep.results.glob("sweep/*/.lock")):
        assert live.poll() is None, live.communicate()
        time.sleep(0.1)
    for question in (["-n"], ["-n", "-F"], ["preview"], ["status"]):
        assert sweep.run(*question).returncode == 0, question
    second = sweep.run()
    assert second.returncode == 1
    assert f"sweep is being run by process {live.pid} on " in second.stderr
    sweep.write("go", "")
    output, _ = live.communicate()
    assert live.returncode == 1, output
    assert "1 failed" in output
    assert "Missing" not in output
    assert [row["status"] for row in sweep.table()] == ["completed", "failed", "completed"]
    assert len((sweep.folder / "ran.log").read_text().split()) == 3


def test_results_that_can_only_be_read(sweep: Project) -> None:
    assert sweep.run().returncode == 1
    python = f"{sys.executable} -m snakemake --snakefile {SNAKEFILE} --cores 1"
    script = (
        f"mount --bind {sweep.results} {sweep.results} && "
        f"mount -o remount,ro,bind {sweep.results} || exit 77\n"
        f"{python} status && {python} preview || exit 1\n"
        f"{Path(sys.executable).with_name('ensemake')} page --to page.html || exit 1\n"
        f"{python} -n || exit 1\n{python}; [ $? = 1 ]"
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script],
        cwd=sweep.folder,
        env=sweep.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or shutil.which("unshare") is None:
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 0, done.stderr
    assert "2 completed, 1 failed of 3" in done.stdout
    assert "Traceback" not in done.stderr
    assert "exit code 1" in (sweep.folder / "page.html").read_text()
    assert "Read-only file system" in done.stderr


def test_what_has_to_run_does_not_depend_on_clocks(sweep: Project) -> None:
    """As after `rsync -t`, or with a clock that was set."""
    sweep.config["ensembles"]["sweep"]["outputs"] = ["run.out"]
    assert sweep.run().returncode == 1
    for hours in (-1, 1):
        shift(sweep.results, hours)
        ran = (sweep.folder / "ran.log").read_text().split()
        assert sweep.run().returncode == 1, "the failed one runs again"
        assert (sweep.folder / "ran.log").read_text().split() == [*ran, "2"]
    shift(sweep.results, 1)
    (sweep.member(x=1) / "run.out").unlink()
    sweep.write("fail.sh", (sweep.folder / "fail.sh").read_text().replace("!= 2", "!= 5"))
    finish(sweep)
    assert [row["status"] for row in sweep.table()] == ["completed"] * 3
    assert "Nothing to be done" in sweep.run().stderr


def shift(folder: Path, hours: int) -> None:
    """Set the times of all that lies in a folder."""
    for path in folder.rglob("*"):
        then = path.lstat().st_mtime + 3600 * hours
        os.utime(path, (then, then), follow_symlinks=False)


def test_results_of_a_member_run_by_hand_are_collected(sweep: Project) -> None:
    assert sweep.run().returncode == 1
    shutil.rmtree(sweep.folder / ".snakemake")  # as in a copy of the results
    directory = sweep.member(x=2)
    (directory / "fail.sh").write_text("exit 0\n")
    subprocess.run(["bash", "run.sh"], cwd=directory, check=True)
    finish(sweep)
    assert {row["status"] for row in sweep.table()} == {"completed"}


def test_a_module_tells_failures_too(sweep: Project) -> None:
    sweep.write(
        "Snakefile",
        "from ensemake.paths import snakefile\n"
        "configfile: 'config/config.yaml'\n"
        "module ensemake:\n"
        "    snakefile: snakefile()\n"
        "    config: config\n"
        "use rule * from ensemake as sweep_*\n"
        "rule mine:\n"
        "    default_target: True\n"
        "    input: 'results/exp/sweep/results.csv'\n",
    )
    sweep.save()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going"],
        cwd=sweep.folder,
        env=sweep.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "sweep: 2 completed, 1 failed of 3" in done.stderr
    rows = sweep.table()
    assert [row["status"] for row in rows] == ["completed", "failed", "completed"]
    assert all(row["run"] for row in rows)
