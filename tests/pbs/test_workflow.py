"""Whole workflows, run by Snakemake on the fake PBS."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from harness import Fake, Project, install, wait_for

MEMBERS = """
rule all:
    input: expand("out/{{i}}.txt", i=range({n}))
rule member:
    output: "out/{{i}}.txt"
    shell: {command!r}
"""


def members(n: int, command: str = "echo {wildcards.i} > {output}") -> str:
    return MEMBERS.format(n=n, command=command)


def names(fake: Fake) -> list[str]:
    return [call[call.index("-N") + 1] for call in fake.calls("qsub")]


# What arrives in a job, and what Snakemake records of it

EVERYTHING = r"""
import os
envvars: "SECRET"
localrules: all
rule all:
    input: "report", "full.txt", "grouped.txt"
rule first:
    output: temp("first.txt")
    shell: "echo 1 > {output}"
rule plain:
    input: "first.txt"
    output: touch("flag"), text="a folder/te xt", folder=directory("sub"), kept=protected("kept")
    log: "logs/plain.log"
    params: odd="it's \"$HOME\" `id` \\ ü"
    threads: 2
    resources: runtime=5, mem_mb=100
    shell:
        r'''
        echo noise; echo "$SECRET" > {output.text:q}; pwd >> {output.text:q}
        echo {params.odd:q} >> {output.text:q}; umask >> {output.text:q}
        echo $OMP_NUM_THREADS $MKL_NUM_THREADS >> {output.text:q}
        echo ${{ODD_VARIABLE}} >> {output.text:q}
        echo "$TMPDIR" "$TMP" > tmpdirs
        mkdir {output.folder}; echo x > {output.kept}; echo log > {log}
        '''
rule again:
    input: "a folder/te xt"
    output: "report"
    shell: "(cat {input:q}; false | true) > {output} || true"
rule full:
    output: "full.txt"
    run:
        with open(output[0], "w") as file:
            print(os.environ["SECRET"], os.environ["ODD_VARIABLE"], os.getcwd(), file=file)
rule half:
    output: "half.txt"
    group: "g"
    shell: "echo half > {output}"
rule grouped:
    input: "half.txt"
    output: "grouped.txt"
    group: "g"
    shell: "cat {input} > {output}"
"""
ODD = "a'b\"c $HOME `id` \\ ü\nsecond line"
TIMES = ("starttime", "endtime", "input_checksums")


def records(project: Project) -> dict[str, dict]:
    """Snakemake's own records, without times."""
    found = {}
    for path in sorted((project.folder / ".snakemake" / "metadata").iterdir()):
        record = json.loads(path.read_text())
        # The hash of a job is that of its file names, salted anew in every process.
        found[path.name] = {k: v for k, v in record.items() if k not in (*TIMES, "job_hash")}
    return found


def started_snakemake(fake: Fake, project: Project) -> set[str]:
    """The rules whose jobs ran a Snakemake of their own."""
    logs = project.logs.glob("*.log")
    return {log.name.split("-")[0] for log in logs if "Building DAG" in log.read_text()}


def test_plain_jobs_give_the_same_result_as_snakemakes_own(fake, project, tmp_path):
    project.write(EVERYTHING)
    results, seen = {}, {}
    for option in ("--pbs-full-jobs", "--verbose"):
        done = project.run("--forceall", option, SECRET="s p", ODD_VARIABLE=ODD)
        assert done.returncode == 0, done.stdout
        texts = {
            name: (project.folder / name).read_text()
            for name in ("a folder/te xt", "report", "full.txt", "grouped.txt", "logs/plain.log")
        }
        assert not (project.folder / "first.txt").exists()
        assert not os.access(project.folder / "kept", os.W_OK) or os.geteuid() == 0
        assert (project.folder / "kept").stat().st_mode & 0o222 == 0
        assert list((project.folder / ".snakemake" / "incomplete").iterdir()) == []
        results[option] = (texts, records(project))
        seen[option] = started_snakemake(fake, project)
        shutil.rmtree(project.folder / ".snakemake")
        (project.folder / "kept").chmod(0o644)
    assert results["--pbs-full-jobs"] == results["--verbose"]
    assert seen["--pbs-full-jobs"] == {"first", "plain", "again", "full", "group"}
    assert seen["--verbose"] == {"full", "group"}
    text = results["--verbose"][0]["a folder/te xt"].splitlines()
    umask = os.umask(0)
    os.umask(umask)
    assert text[:2] == ["s p", str(project.folder)]
    assert text[2:5] == ['it\'s "$HOME" `id` \\ ü', f"{umask:04o}", "2 2"]
    assert text[5] == " ".join(ODD.split())
    tmpdir, tmp = (project.folder / "tmpdirs").read_text().split()
    assert tmpdir == tmp
    assert tmpdir.startswith(str(fake.home / "tmp."))
    plain = next(call for call in fake.calls("qsub") if "plain-" in " ".join(call))
    assert "select=1:ncpus=2:mpiprocs=1:mem=100mb" in plain
    assert {"walltime=00:05:00", f"umask={umask:03o}"} <= set(plain)


NOT_PLAIN = """
rule all:
    input: "a", "b", "c", "d", "e.txt"
rule benchmarked:
    output: "a"
    benchmark: "bench.tsv"
    shell: "echo > {output}"
rule shadowed:
    output: "b"
    shadow: "minimal"
    shell: "echo > {output}; touch litter"
rule tmp:
    output: "c"
    resources: tmpdir="own_tmp"
    shell: "echo $TMPDIR > {output}"
rule scripted:
    output: "d"
    script: "make.sh"
module other:
    snakefile: "other.smk"
use rule * from other as other_*
WHO = "main"
"""


def test_what_is_not_a_plain_command_goes_snakemakes_own_way(fake, project):
    project.write(NOT_PLAIN)
    (project.folder / "make.sh").write_text('echo > "${snakemake_output[0]}"\n')
    other = 'WHO = "module"\nrule e:\n    output: "e.txt"\n    shell: "echo {WHO} > {output}"\n'
    (project.folder / "other.smk").write_text(other)
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert (project.folder / "e.txt").read_text() == "module\n"
    assert (project.folder / "c").read_text() == "own_tmp\n"
    assert (project.folder / "bench.tsv").exists()
    assert not (project.folder / "litter").exists()
    rules = {"benchmarked", "shadowed", "tmp", "scripted", "other_e"}
    assert started_snakemake(fake, project) == rules


# Success and failure

FATES = {
    "walltime": ("walltime", "walltime limit exceeded"),
    "mem": ("mem", "memory limit exceeded"),
    "lost": ("lost", "node lost"),
    "gone": ("gone", "unknown to PBS"),
    "reused": ("reused", "unknown to PBS"),
    "never": ("never", "can never run here (Can Never Run: Insufficient amount of resource: mem"),
    "held": ("held", "held by PBS (job held, too many failed attempts to run)"),
    "requeue": ("requeue", None),
    "purge": ("purge", None),
    "code": ("", "exit code 5"),
    "pipe": ("", "exit code 3"),
    "selfkill": ("", "killed by SIGKILL"),
    "absent": ("", "no output"),
    "normal": ("", None),
}
COMMANDS = {
    "code": "exit 5",
    "pipe": "(exit 3) | cat",
    "selfkill": "kill -9 $PPID",
    "absent": "true",
    "gone": "touch {output}; sleep 30",
    "reused": "touch {output}; sleep 30",
}
FAILURES = """
FATES = {fates!r}
COMMANDS = {commands!r}
rule all:
    input: expand("{{fate}}.txt", fate=FATES)
rule member:
    output: "{{fate}}.txt"
    params: command=lambda w: COMMANDS.get(w.fate, "sleep 0.2; echo ran >> " + w.fate + ".txt")
    shell: "{{params.command}}"
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """One run in which members meet every fate that PBS has in store."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("failures")
    fake, project = install(folder, patch), Project(folder / "w")
    project.folder.mkdir()
    fake.set(fate={f"member-{name}-": fate for name, (fate, _) in FATES.items() if fate})
    project.write(FAILURES.format(fates=list(FATES), commands=COMMANDS))
    yield fake, project, project.run("--latency-wait", "1")
    patch.undo()


def test_a_failed_member_fails_the_run_but_not_the_others(failures):
    _, project, done = failures
    assert done.returncode == 1
    good = {f"{name}.txt" for name, (_, reason) in FATES.items() if reason is None}
    assert {path.name for path in project.folder.glob("*.txt")} == good


@pytest.mark.parametrize("name", [n for n, (_, r) in FATES.items() if r and n != "absent"])
def test_the_reason_is_told_and_kept(failures, name):
    _, project, done = failures
    expected = FATES[name][1]
    assert expected in done.stdout
    (file,) = project.logs.glob(f"member-{name}-*.reason")
    assert expected in file.read_text()
    assert file.read_text().count("\n") == 1
    assert str(file.with_suffix(".log")) in done.stdout


def test_success_without_output_is_snakemakes_failure(failures):
    _, project, done = failures
    assert "MissingOutputException" in done.stdout
    assert list(project.logs.glob("member-absent-*.reason")) == []


def test_a_requeued_job_starts_from_scratch(failures):
    _, project, _ = failures
    assert (project.folder / "requeue.txt").read_text() == "ran\n"


def test_hopeless_jobs_are_removed_from_the_queue(failures):
    fake, _, _ = failures
    assert fake.in_queue() == []
    assert sorted(word for call in fake.calls("qdel") for word in call) == sorted(
        job_id
        for job_id, job in fake.jobs.items()
        if job["Job_Name"].startswith(("member-never-", "member-held-"))
    )


def test_markers_and_scripts_of_good_members_are_cleared_away(failures):
    _, project, _ = failures
    left = {path.name.split("-")[1] for path in project.logs.glob("*.sh")}
    assert left == {name for name, (_, reason) in FATES.items() if reason} - {"absent"}
    assert list(project.logs.glob("*.exit*")) == []


def test_retries_ask_for_what_the_rule_wants_then(fake, project):
    project.write(
        """
rule member:
    output: "out"
    retries: 1
    resources: mem_mb=lambda w, attempt: 100 * attempt
    shell: "[ {resources.mem_mb} = 200 ] && echo > {output}"
"""
    )
    done = project.run()
    assert done.returncode == 0, done.stdout
    selects = [word for call in fake.calls("qsub") for word in call if "select" in word]
    assert [word.rpartition(":")[2] for word in selects] == ["mem=100mb", "mem=200mb"]
    assert project.reasons() == []


REFUSED = """
rule all:
    input: "a", "b"
rule senseless:
    output: "a"
    resources: nodes=3, tasks=2
    shell: "echo > {output}"
rule refused:
    output: "b"
    shell: "echo > {output}"
"""


def test_what_cannot_be_submitted_is_the_jobs_failure(fake, project):
    fake.set(reject=[32, "qsub: your project has no budget\nask your admin"])
    project.write(REFUSED)
    done = project.run()
    assert done.returncode == 1
    assert "your project has no budget ask your admin" in done.stdout
    assert "a node would have no task" in done.stdout
    assert "Traceback" not in done.stdout
    assert len(fake.calls("qsub")) == 1


# PBS in trouble


def test_without_history_the_marker_decides(fake, project):
    """PBS forgets single jobs; ended sub-jobs show a wrong status until their array is over."""
    fake.set(history=False)
    command = "sleep 0.{wildcards.i}; [ {wildcards.i} != 1 ] && echo > {output}"
    other = "rule {0}:\n    output: '{0}'\n    shell: '{1} > {{output}}'\n"
    project.write(members(4, command) + other.format("good", "echo") + other.format("bad", "false"))
    done = project.run("--latency-wait", "1", "--pbs-array-jobs", "all", "good", "bad")
    assert done.returncode == 1
    left = {path.name for path in (project.folder / "out").iterdir()}
    assert left == {"0.txt", "2.txt", "3.txt"}
    assert (project.folder / "good").exists()
    assert project.reasons() == ["exit code 1"] * 2


TROUBLE = """
rule all:
    input: "exiting", "stopped1", "stopped2"
rule any:
    output: "{name}"
    shell: "echo > {output}"
"""


def test_a_queue_in_trouble_is_waited_for_and_told_once(fake, project):
    """The server is away twice, the queue not started, an Exit_status not final yet."""
    fake.set(down=1, fate={"exiting": "exiting", "stopped": "stopped"})
    project.write(TROUBLE)
    process = project.start()
    wait_for(lambda: "E" in {job["job_state"] for job in fake.jobs.values()}, process)
    wait_for(lambda: len(fake.jobs) == 3, process)
    fake.set(down=2)
    wait_for(lambda: fake.read()["down"] == 0, process)
    calls = len(fake.calls("qstat"))
    wait_for(lambda: len(fake.calls("qstat")) >= calls + 2, process)
    fake.release()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert out.count("PBS gives no answer") == 1
    assert out.count("is waiting: Queue not started") == 1
    assert out.count("Finished jobid") == 4


def test_broken_json_spoils_nothing(fake, project):
    fake.set(json="old")
    project.write(members(2))
    done = project.run("--default-resources", "account='.5'")
    assert done.returncode == 0, done.stdout
    assert {call[call.index("-F") + 1] for call in fake.calls("qstat")} == {"json", "dsv"}


def test_a_job_deleted_by_hand_has_failed(fake, project):
    project.write(members(1, "sleep 60; echo > {output}"))
    process = project.start()
    wait_for(lambda: [job["job_state"] for job in fake.jobs.values()] == ["R"], process)
    subprocess.run(["qdel", *fake.jobs], check=True)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "killed by qdel" in project.reasons()[0], out


# How often PBS is asked


def test_qstat_is_called_once_per_interval_for_all_jobs(fake, project):
    fake.set(fate={".": "wait"})
    project.write(members(30))
    start = time.monotonic()
    process = project.start()
    wait_for(lambda: len(fake.jobs) == 30, process)
    before = len(fake.calls("qstat"))
    wait_for(lambda: len(fake.calls("qstat")) >= before + 3, process)
    fake.release()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    calls = fake.calls("qstat")
    assert len([word for word in calls[before + 1] if "pbshost" in word]) == 30
    assert len(calls) <= time.monotonic() - start + 1  # the shortest interval is one second
    assert int((fake.home / "ports").read_text()) == len(calls)
    assert fake.calls("qselect") == []


# Arrays

HOPELESS = """
rule other:
    output: "other"
    shell: "echo > {output}"
rule hopeless:
    output: "hopeless{i}"
    shell: "echo > {output}"
"""


def test_arrays(fake, project):
    fake.set(fate={"hopeless": "never"})
    # the TMPDIR of a sub-job has brackets in its name
    work = 'echo {wildcards.i} > "$TMPDIR/x"; mv "$TMPDIR/x" {output}'
    project.write(members(5, "[ {wildcards.i} != 3 ] || exit 4; " + work) + HOPELESS)
    targets = ("all", "other", "hopeless1", "hopeless2")
    done = project.run("--pbs-array-jobs", "--pbs-array-limit", "4", *targets)
    assert done.returncode == 1
    ranges = sorted(call[call.index("-J") + 1] for call in fake.calls("qsub") if "-J" in call)
    assert ranges == ["0-1", "0-3"]
    assert len(fake.calls("qsub")) == 4
    texts = {path.name: path.read_text() for path in (project.folder / "out").iterdir()}
    assert texts == {f"{i}.txt": f"{i}\n" for i in (0, 1, 2, 4)}
    assert [reason.partition(" (")[0] for reason in project.reasons()] == [
        *["can never run here"] * 2,
        "exit code 4",
    ]
    assert (project.folder / "other").exists()
    assert fake.in_queue() == []


# The end of the main process


def test_ctrl_c_leaves_nothing_in_the_queue(fake, project):
    fake.set(fate={"-1-": "wait"})
    project.write(members(4, "sleep 60; echo > {output}"))
    process = project.start("--pbs-array-jobs")
    wait_for(lambda: "R" in {job["job_state"] for job in fake.jobs.values()}, process)
    wait_for(lambda: len([j for j in fake.jobs if "[]" not in j]) == 4, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    wait_for(lambda: not fake.in_queue())
    assert len(fake.calls("qdel")) == 1


def test_what_ctrl_c_could_not_remove_is_named(fake, project):
    project.write(members(1, "sleep 60; echo > {output}"))
    process = project.start()
    wait_for(lambda: "R" in {job["job_state"] for job in fake.jobs.values()}, process)
    fake.set(down=99)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert "Remove with: qdel 0.pbshost" in out
    fake.set(down=0)
    subprocess.run(["qdel", "0.pbshost"], check=True)


def test_ctrl_c_during_submission_loses_no_job(fake, project):
    project.write(members(50, "sleep 60; echo > {output}"))
    process = project.start()
    wait_for(lambda: len(fake.jobs) >= 3, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    wait_for(lambda: not fake.in_queue())
    assert len(fake.jobs) < 50


def abandon(project: Project, process: subprocess.Popen[str]) -> None:
    """Kill the main process so that it can do nothing, and remove its lock as --unlock does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    shutil.rmtree(project.folder / ".snakemake" / "locks")


@pytest.mark.parametrize("option", ["--pbs-array-jobs", "--verbose"])
def test_jobs_of_a_killed_main_process_are_taken_over(fake, project, monkeypatch, option):
    fake.set(fate={".": "wait"})
    project.write(members(3, "echo ran >> {output}; echo once >> count"))
    process = project.start(option)
    wait_for(lambda: len([j for j in fake.jobs if "[]" not in j]) == 3, process)
    abandon(project, process)
    monkeypatch.setenv("OTHER", "than in the first run")
    submitted = len(fake.calls("qsub"))
    second = project.start(option, "--rerun-incomplete")
    wait_for(lambda: len(fake.calls("qstat")) >= 2, second)
    fake.release()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    assert out.count("Taking over PBS job") == 3
    assert len(fake.calls("qsub")) == submitted
    assert (project.folder / "count").read_text() == "once\n" * 3
    assert list(project.logs.glob("environment.*")) == []


def test_jobs_that_ended_meanwhile_are_not_run_again(fake, project):
    project.write(members(3, "echo once >> count; [ {wildcards.i} != 1 ] && echo > {output}"))
    process = project.start("--seconds-between-status-checks", "60")
    wait_for(lambda: len(fake.jobs) == 3 and not fake.in_queue(), process)
    abandon(project, process)
    done = project.run("--rerun-incomplete")
    assert done.returncode == 1
    assert done.stdout.count("Taking over PBS job") == 2
    assert (project.folder / "count").read_text() == "once\n" * 4


OUT_OF_DATE = """
rule all:
    input: "changed", "copied"
rule changed:
    output: "changed"
    shell: "echo {text} > {{output}}"
rule copied:
    input: "in"
    output: "copied"
    shell: "cp {{input}} {{output}}"
"""


def test_left_jobs_whose_command_or_input_has_changed_are_replaced(fake, project):
    fake.set(fate={".": "wait"})
    project.write(OUT_OF_DATE.format(text="old"))
    (project.folder / "in").write_text("old\n")
    process = project.start()
    wait_for(lambda: len(fake.jobs) == 2, process)
    abandon(project, process)
    project.write(OUT_OF_DATE.format(text="new"))
    (project.folder / "in").write_text("new\n")
    fake.set(fate={})
    done = project.run("--rerun-incomplete")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("out of date") == 2
    assert (project.folder / "changed").read_text() == "new\n"
    assert (project.folder / "copied").read_text() == "new\n"
    assert [job.get("Exit_status") for job in fake.jobs.values()] == [None, None, 0, 0]


def test_left_jobs_that_nobody_asks_for_are_named(fake, project):
    fake.set(fate={"-1-": "wait"})
    project.write(members(2))
    process = project.start()
    wait_for(lambda: len(fake.jobs) == 2 and len(fake.in_queue()) == 1, process)
    (left,) = fake.in_queue()
    abandon(project, process)
    done = project.run("--rerun-incomplete", "out/0.txt", "--force")
    assert done.returncode == 0, done.stdout
    assert f"no part of this one: {left}" in done.stdout
    assert fake.in_queue() == [left]
    subprocess.run(["qdel", left], check=True)


# Files and refusals


def test_long_commands_arrive_and_the_log_folder_is_made(fake, project):
    long = "x" * 200_000
    logs = "new/folder"
    command = f"stat -c %a {logs}/environment.*; echo {long} > {{output}}"
    project.write(members(1, command + "; printf 'a\r\nb' >> {output}"))
    done = project.run("--quiet", "all", "--pbs-logdir", logs)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (project.folder / "out/0.txt").read_bytes() == f"{long}\na\r\nb".encode()
    (log,) = (project.folder / logs).glob("*.log")
    assert log.read_text() == "600\n"  # environments hold secrets
    assert list((project.folder / logs).glob("environment.*")) == []


def test_immediate_submit_is_refused(fake, project):
    project.write(members(1))
    done = project.run("--immediate-submit", "--notemp")
    assert done.returncode == 1
    assert "--immediate-submit" in done.stdout
    assert "Traceback" not in done.stdout
