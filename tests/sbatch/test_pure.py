"""The parts of the Slurm executor that turn data into data; the rest is tried on a real Slurm."""

from __future__ import annotations

import pytest

from ensemake.submit.calls import Answer
from ensemake.submit.manager import JobEnd, Marker, Reply
from snakemake_executor_plugin_sbatch import commands, listing
from snakemake_executor_plugin_sbatch.request import sbatch_arguments
from snakemake_executor_plugin_sbatch.verdict import ENDED, slurm_verdict, trouble

# Requests


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({}, "--ntasks=1 --cpus-per-task=3"),
        ({"nodes": 2}, "--nodes=2 --ntasks=2 --cpus-per-task=3"),
        ({"tasks": 4, "cpus_per_task": 2}, "--ntasks=4 --cpus-per-task=2"),
        ({"mem_mb": 500}, "--ntasks=1 --cpus-per-task=3 --mem=500M"),
        ({"mem_mb": 9, "mem_mb_per_cpu": 5}, "--ntasks=1 --cpus-per-task=3 --mem-per-cpu=5M"),
        ({"gpu": 2, "tasks_per_gpu": 0}, "--ntasks=1 --cpus-per-task=3 --gpus=2"),
        ({"gpu": 2, "gpu_model": "a100"}, "--ntasks=1 --cpus-per-task=3 --gpus=a100:2"),
        ({"gpu": 0, "mem_mb": "<TBD>"}, "--ntasks=1 --cpus-per-task=3"),
        ({"runtime": 5}, "--ntasks=1 --cpus-per-task=3 --time=5"),
        ({"runtime": 60}, "--ntasks=1 --cpus-per-task=3 --time=60 --signal=B:USR1@120"),
        (
            {"queue": "q", "slurm_partition": "p", "slurm_account": "a", "qos": "high"},
            "--ntasks=1 --cpus-per-task=3 --partition=q --account=a --qos=high",
        ),
        (
            {"reservation": "r", "constraint": "x&y", "licenses": "l:2", "exclusive": True},
            "--ntasks=1 --cpus-per-task=3 --constraint=x&y --reservation=r --licenses=l:2 "
            "--exclusive",
        ),
        (
            {"gres": "gpu:1", "exclusive": "user"},
            "--ntasks=1 --cpus-per-task=3 --gres=gpu:1 --exclusive=user",
        ),
    ],
)  # fmt: skip
def test_resources_become_options(resources, words):
    assert sbatch_arguments(resources, 3) == words.split()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("--mem-per-cpu=2G", "--ntasks=1 --cpus-per-task=1 --time=5 --mem-per-cpu=2G"),
        ("'--mem'=0 --exclusive", "--ntasks=1 --cpus-per-task=1 --time=5 --mem=0 --exclusive"),
        ("-n 4 -t 9", "--cpus-per-task=1 --mem=7M -n 4 -t 9"),
        ("--comment='a b'", "--ntasks=1 --cpus-per-task=1 --mem=7M --time=5 --comment=a|b"),
        ("--cpus-per-gpu=2", "--ntasks=1 --mem=7M --time=5 --cpus-per-gpu=2"),
    ],
)
def test_what_is_given_extra_has_the_last_word(extra, words):
    found = sbatch_arguments({"mem_mb": 7, "runtime": 5, "slurm_extra": extra}, 1)
    assert found == [word.replace("|", " ") for word in words.split(" ")]


@pytest.mark.parametrize("resources", [{"mem_mb": -1}, {"nodes": "two"}, {"runtime": 0}])
def test_senseless_resources_are_named(resources):
    with pytest.raises(ValueError, match=next(iter(resources))):
        sbatch_arguments(resources, 1)


# Answers


def test_a_listing_is_read_whatever_names_hold():
    text = (
        "CLUSTER: other\n7|RUNNING|None|a|b \ufffd\n8_3|PENDING|ReqNodeNotAvail, n1 down|x\n"
        "9|CANCELLED by 1000\nslurm_load_jobs error\n"
    )
    found = listing.parse(text)
    assert found["7"] == {"state": "RUNNING", "reason": "None", "name": "a|b \ufffd"}
    assert found["8_3"]["reason"] == "ReqNodeNotAvail, n1 down"
    assert found["9"] == {"state": "CANCELLED"}
    assert len(found) == 3
    assert [listing.task_of(job) for job in found] == ["", "3", ""]


@pytest.mark.parametrize(
    ("text", "job_id"),
    [("12\n", "12"), ("12;c\n", "12"), ("a site's word\n12\n", "12"), ("", None), ("no", None)],
)
def test_the_id_of_a_submission_is_found(text, job_id):
    assert commands.submitted_id(text) == job_id


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ("Batch job submission failed: Invalid partition name specified", Reply.REFUSED),
        ("Batch job submission failed: Unable to contact slurm controller", Reply.SILENT),
        ("Batch job submission failed: Socket timed out on send/recv operation", Reply.SILENT),
        ("Batch job submission failed: Zero Bytes were transmitted or received", Reply.SILENT),
        ("Job violates accounting/QOS policy (job submit limit, user's size", Reply.FULL),
        ("Slurm temporarily unable to accept job, sleeping and retrying.", Reply.FULL),
        ("Batch job submission failed: Invalid job array specification", Reply.FULL),
        ("Reached jobs per hour limit", Reply.FULL),
    ],
)
def test_what_a_refusal_means(message, reply):
    assert commands.reply_in(Answer(1, "", f"sbatch: error: {message}\n")) is reply


def test_commands_are_asked_as_anybody_would(monkeypatch):
    """In a job, or by one who likes other columns, the answers are the same."""
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SQUEUE_FORMAT", "SBATCH_ARRAY_INX", "KEY"):
        monkeypatch.setenv(name, "theirs")
    for name in ("SLURM_CONF", "SBATCH_ACCOUNT"):
        monkeypatch.setenv(name, "kept")
    one, other = commands.environ_for("squeue"), commands.environ_for("sbatch")
    assert [name for name, value in one.items() if value == "theirs"] == ["KEY"]
    assert "theirs" not in other.values()
    for environ in (one, other):
        assert {"SLURM_CONF", "SBATCH_ACCOUNT", "PATH"} <= environ.keys()


# Verdicts

DONE, BAD = Marker("7", 0), Marker("7", 3)
TOLD, LATE = Marker("7", 0, "TERM"), Marker("7", 143, "LIMIT")


@pytest.mark.parametrize(
    ("record", "marker", "outcome", "reason"),
    [
        ({}, None, JobEnd.WAIT, ""),  # not asked
        ({}, DONE, JobEnd.SUCCESS, ""),
        ({}, BAD, JobEnd.WAIT, ""),  # it may be requeued
        ({}, TOLD, JobEnd.WAIT, ""),
        (None, DONE, JobEnd.SUCCESS, ""),
        (None, BAD, JobEnd.DOUBTFUL, "exit code 3"),
        (None, None, JobEnd.DOUBTFUL, "unknown to Slurm"),
        ("RUNNING", DONE, JobEnd.SUCCESS, ""),
        ("NODE_FAIL", DONE, JobEnd.SUCCESS, ""),
        ("COMPLETED", None, JobEnd.SUCCESS, ""),
        ("COMPLETED", TOLD, JobEnd.SUCCESS, ""),
        ("COMPLETED", Marker("7", 0, "LIMIT"), JobEnd.FAILURE, "TIMEOUT"),
        ("CANCELLED", TOLD, JobEnd.FAILURE, "CANCELLED"),
        ("FAILED", BAD, JobEnd.FAILURE, "exit code 3"),
        ("FAILED", LATE, JobEnd.FAILURE, "TIMEOUT"),
        ("FAILED", None, JobEnd.FAILURE, "FAILED"),
        ("COMPLETING", BAD, JobEnd.WAIT, ""),
        ("PREEMPTED", None, JobEnd.DOUBTFUL, "PREEMPTED"),
    ],
)
def test_the_marker_counts_first_then_slurms_word(record, marker, outcome, reason):
    found = slurm_verdict({"state": record} if isinstance(record, str) else record, marker)
    assert found.outcome is outcome
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


@pytest.mark.parametrize("state", sorted(ENDED.keys() - {"COMPLETED", "FAILED", "PREEMPTED"}))
def test_a_bad_end_is_told_by_its_name(state):
    found = slurm_verdict({"state": state, "reason": "None"}, BAD)
    assert (found.outcome, found.reason) == (JobEnd.FAILURE, ENDED[state])
    assert found.reason.startswith(state)


@pytest.mark.parametrize(
    "state", ["CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "SUSPENDED"]
)
def test_all_else_goes_on(state):
    assert slurm_verdict({"state": state, "reason": ""}, None).outcome is JobEnd.WAIT


@pytest.mark.parametrize(
    ("state", "reason", "told", "outcome"),
    [
        ("PENDING", "Priority", "", JobEnd.WAIT),
        ("PENDING", "QOSMaxJobsPerUserLimit", "", JobEnd.WAIT),
        ("PENDING", "AssocGrpCpuLimit", "", JobEnd.WAIT),
        ("PENDING", "JobHeldUser", "JobHeldUser", JobEnd.WAIT),
        ("PENDING", "ReqNodeNotAvail, n1", "ReqNodeNotAvail, n1", JobEnd.WAIT),
        ("PENDING", "PartitionTimeLimit", "", JobEnd.HOPELESS),
        ("PENDING", "QOSMaxWallDurationPerJobLimit", "", JobEnd.HOPELESS),
        ("PENDING", "launch failed requeued held", "", JobEnd.HOPELESS),
        ("SUSPENDED", "None", "SUSPENDED", JobEnd.WAIT),
        ("REQUEUE_HOLD", "why", "REQUEUE_HOLD (why)", JobEnd.WAIT),
        ("RUNNING", "None", "", JobEnd.WAIT),
    ],
)  # fmt: skip
def test_what_keeps_a_job_waiting_is_told_if_it_is_not_its_turn(state, reason, told, outcome):
    record = {"state": state, "reason": reason}
    assert trouble(record) == told
    assert slurm_verdict(record, None).outcome is outcome


def test_a_job_that_did_its_work_and_was_started_again_in_vain_is_removed():
    held = {"state": "PENDING", "reason": "launch failed requeued held"}
    found = slurm_verdict(held, DONE)
    assert (found.outcome, found.is_stuck) == (JobEnd.SUCCESS, True)
    assert not slurm_verdict({"state": "PENDING", "reason": "Priority"}, DONE).is_stuck
    assert slurm_verdict(held, None).reason.startswith("could not be started")
