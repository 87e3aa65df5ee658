"""The parts of the plugin that turn data into data."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.submit.manager import JobEnd
from snakemake_executor_plugin_pbs import listing, request
from snakemake_executor_plugin_pbs.commands import version
from snakemake_executor_plugin_pbs.verdict import end_reason, verdict

# Resources


@pytest.mark.parametrize(
    ("resources", "threads", "expected"),
    [
        ({}, 1, "1:ncpus=1:mpiprocs=1"),
        ({}, 4, "1:ncpus=4:mpiprocs=1"),
        ({"cpus_per_task": 2}, 4, "1:ncpus=2:mpiprocs=1"),
        ({"mem_mb": 2000, "gpu": 1}, 1, "1:ncpus=1:mpiprocs=1:mem=2000mb:ngpus=1"),
        ({"tasks": 8, "cpus_per_task": 2}, 1, "1:ncpus=16:mpiprocs=8"),
        ({"nodes": 2}, 3, "2:ncpus=3:mpiprocs=1"),
        ({"nodes": 2, "tasks": 8}, 1, "2:ncpus=4:mpiprocs=4"),
        ({"nodes": 2, "tasks": 5}, 1, "1:ncpus=3:mpiprocs=3+1:ncpus=2:mpiprocs=2"),
        ({"nodes": 4, "gpu": 8}, 1, "4:ncpus=1:mpiprocs=1:ngpus=2"),
        ({"gpu": 0}, 1, "1:ncpus=1:mpiprocs=1"),
        ({"mem_mb": "<TBD>"}, 1, "1:ncpus=1:mpiprocs=1"),
    ],
)
def test_select(resources, threads, expected):
    assert request.select(resources, threads, {}) == expected


@given(st.integers(1, 500), st.integers(1, 500))
def test_no_task_is_lost_and_the_spread_is_even(tasks, nodes):
    spread = request.tasks_per_chunk(tasks, nodes)
    assert sum(n * size for n, size in spread) == tasks
    sizes = [size for _, size in spread]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "resources",
    [{"nodes": 3, "tasks": 2}, {"mem_mb": -1}, {"nodes": "two"}, {"tasks": 0}, {"gpu": -1}],
)
def test_senseless_resources_are_named(resources):
    with pytest.raises(ValueError, match=next(reversed(resources))):
        request.select(resources, 1, {})


@pytest.mark.parametrize(
    ("minutes", "text"), [(1, "00:01:00"), (90, "01:30:00"), (4321, "72:01:00")]
)
def test_walltime_has_no_days(minutes, text):
    assert request.walltime(minutes) == text


def test_no_walltime_is_not_a_walltime_of_0():
    """PBS would accept it, and end the job at once."""
    assert "-l walltime" not in " ".join(request.qsub_arguments({}, 1))
    with pytest.raises(ValueError, match="runtime"):
        request.qsub_arguments({"runtime": 0}, 1)


def test_arguments():
    resources = {
        "runtime": 10,
        "queue": "gpu",
        "account": "p 1",
        "pbs_extra": "-l place=excl -W 'group_list=a b'",
        "nodes": 2,
    }
    words = request.qsub_arguments(resources, 1)
    assert words[:4] == ["-l", "select=2:ncpus=1:mpiprocs=1", "-l", "walltime=00:10:00"]
    assert words[4:8] == ["-q", "gpu", "-A", "p 1"]
    assert words[8:] == ["-l", "place=excl", "-W", "group_list=a b"]


def test_several_nodes_are_distinct():
    assert request.qsub_arguments({"nodes": 2}, 1)[2:4] == ["-l", "place=scatter"]


def test_what_qsub_refuses_beside_a_select_statement_goes_into_it():
    resources = {"mem_mb": 100, "pbs_extra": "-l ncpus=4 -l mem=8gb -m n -l ngpus=2 -l place=free"}
    words = request.qsub_arguments(resources, 1)
    assert words[:2] == ["-l", "select=1:ncpus=4:mpiprocs=1:mem=8gb:ngpus=2"]
    assert words[2:] == ["-m", "n", "-l", "place=free"]


def test_a_select_statement_of_the_users_own_replaces_ours():
    resources = {"nodes": 2, "pbs_extra": "-l select=2:ncpus=36:model=fast -l ncpus=4"}
    assert request.qsub_arguments(resources, 1) == [
        *("-l", "place=scatter", "-l", "select=2:ncpus=36:model=fast")
    ]


# Listings. The texts are shortened from what real servers printed.

RUNNING = """{
	"timestamp":	1795451572,
	"Jobs":	{
		"72.pbshost":	{
			"Job_Name":	"wait\ting",
			"job_state":	"R",
			"Exit_status":	-11,
			"comment":	123
		}
	}
}"""


def test_json_is_read_leniently():
    job = listing.parse_json(RUNNING)["72.pbshost"]
    assert (job["job_state"], job["Exit_status"]) == ("R", -11)


def test_no_jobs_means_no_key():
    assert listing.parse_json('{"timestamp": 1, "pbs_version": "23.06.06"}') == {}


@pytest.mark.parametrize(
    "value", ["inf", "+5", ".5", "5.", '"a\\xb"', '"gr^^\\xc3^"\\xbc"', '""say "hi"']
)
def test_json_of_old_releases_is_refused(value):
    with pytest.raises(ValueError, match=r"."):
        listing.parse_json(f'{{"Jobs":{{"1.pbshost":{{"Account_Name":{value}}}}}}}')


@pytest.mark.parametrize("text", ["[]", '{"Jobs": []}', '{"Jobs": {"1.pbshost": 3}}', ""])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        listing.parse_json(text)


def test_dsv():
    text = (
        "Job Id: 72.pbshost|Job_Name=waiting|job_state=Q|Account_Name=a\\|b=c|Hold_Types=n\n"
        "Job Id: 9[3].pbshost|job_state=X|Exit_status=5\n"
    )
    jobs = listing.parse_dsv(text)
    assert jobs["72.pbshost"]["Account_Name"] == "a|b=c"
    assert jobs["9[3].pbshost"] == {"job_state": "X", "Exit_status": "5"}


def test_array_is_asked_once():
    assert listing.asked(["9[0].h", "9[1].h", "7.h"]) == ["9[].h", "7.h"]


def test_waiting_sub_job_shares_its_arrays_trouble():
    jobs = {
        "9[].h": {"job_state": "Q", "comment": "Can Never Run: mem"},
        "9[0].h": {"job_state": "Q"},
        "9[1].h": {"job_state": "R", "comment": "Job run at"},
    }
    assert listing.record_of(jobs, "9[0].h") == {"job_state": "Q", "comment": "Can Never Run: mem"}
    assert listing.record_of(jobs, "9[1].h") == {"job_state": "R", "comment": "Job run at"}
    assert listing.record_of(jobs, "9[2].h") is None


# Verdicts


@pytest.mark.parametrize("state", list("QHWRSEBTMU"))
@pytest.mark.parametrize("status", [0, -11, -3, 1])
def test_exit_status_means_nothing_before_the_end(state, status):
    assert verdict({"job_state": state, "Exit_status": status}, None).outcome is JobEnd.WAIT


@pytest.mark.parametrize("state", ["F", "X"])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, JobEnd.SUCCESS),
        ("0", JobEnd.SUCCESS),
        (1, JobEnd.FAILURE),
        (271, JobEnd.FAILURE),
        (-29, JobEnd.FAILURE),
        (256, JobEnd.FAILURE),
        (None, JobEnd.FAILURE),
    ],
)
def test_only_zero_is_success(state, status, outcome):
    record = {"job_state": state, "substate": 92}
    if status is not None:
        record["Exit_status"] = status
    assert verdict(record, None).outcome is outcome


def test_never_run_is_no_success_even_with_a_good_substate():
    judged = verdict({"job_state": "F", "substate": 92}, None)
    assert judged.reason == "ended without having run"


@pytest.mark.parametrize(
    ("record", "marker", "outcome"),
    [
        (None, 0, JobEnd.SUCCESS),
        (None, 5, JobEnd.FAILURE),
        (None, None, JobEnd.DOUBTFUL),
        # without history an ended sub-job shows another one's status
        ({"job_state": "X", "Exit_status": 1}, 0, JobEnd.SUCCESS),
        ({"job_state": "X", "Exit_status": 0}, 5, JobEnd.FAILURE),
        ({"job_state": "X", "Exit_status": -29}, 0, JobEnd.FAILURE),
        # a job may trap SIGTERM and end with 0: over its walltime it is a failure
        ({"job_state": "F", "Exit_status": -29}, 0, JobEnd.FAILURE),
        ({"job_state": "R"}, 0, JobEnd.WAIT),
    ],
)
def test_marker_decides_only_where_pbs_cannot_tell(record, marker, outcome):
    assert verdict(record, marker).outcome is outcome


def test_a_deleted_job_has_failed_whatever_it_exits_with():
    """Seen: a job that traps SIGTERM, and any job of root, ends with 0 when it is deleted."""
    judged = verdict({"job_state": "F", "Exit_status": 0, "substate": 91}, 0)
    assert judged.outcome is JobEnd.FAILURE
    assert "killed by qdel" in judged.reason


def test_held_by_the_system_is_hopeless_but_dependencies_are_not():
    held = {"job_state": "H", "Hold_Types": "s", "comment": "job held, too many failed attempts"}
    assert verdict(held, None).outcome is JobEnd.HOPELESS
    assert "too many failed attempts" in verdict(held, None).reason
    assert verdict({**held, "depend": "afterok:1.h"}, None).outcome is JobEnd.WAIT
    assert verdict({"job_state": "H", "Hold_Types": "u"}, None).outcome is JobEnd.WAIT


def test_what_an_operator_holds_is_waited_for():
    held = {"job_state": "H", "Hold_Types": "s", "Exit_status": -11}
    assert verdict({**held, "comment": "Job held by me on Tue Dec  1"}, None).outcome is JobEnd.WAIT
    assert verdict(held, None).outcome is JobEnd.WAIT  # the server was restarted
    assert verdict({**held, "Exit_status": -3}, None).outcome is JobEnd.HOPELESS


def test_can_never_run_is_hopeless_and_says_why():
    judged = verdict({"job_state": "Q", "comment": "Can Never Run: mem (R: 900gb)"}, None)
    assert judged.outcome is JobEnd.HOPELESS
    assert "mem (R: 900gb)" in judged.reason


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-29, "walltime"), (-27, "memory"), (-26, "virtual memory"), (-28, "CPU time"),
        (-4, "node lost"), (-3, "could not be started"), (-10, "user or group unknown"),
        (-99, "Exit_status -99"), (None, "without having run"), (254, "shell is missing"),
        (127, "command not found"), (126, "not executable"), (271, "killed by qdel"),
        (265, "SIGKILL"), (258, "SIGINT"), (137, "SIGKILL"), (139, "SIGSEGV"), (3, "exit code 3"),
        (256 + 99, "signal 99"),
    ],
)  # fmt: skip
def test_reasons_in_words(status, words):
    assert words in end_reason(status, "")


def test_reason_is_one_line_and_has_the_comment_only_where_it_tells_something():
    ran = "Job run at Mon Nov 23 at 16:33 on (h:ncpus=1)"
    assert end_reason(3, f"{ran} and failed") == "exit code 3"
    assert (
        end_reason(271, f"{ran} and terminated by u@h") == "killed by qdel (PBS: terminated by u@h)"
    )
    assert end_reason(7, f"{ran} and terminated by u@h").startswith("killed by qdel (exit code 7)")
    assert "\n" not in end_reason(None, "several\n  lines")


@given(st.one_of(st.none(), st.integers(-100, 600)), st.text())
def test_every_job_that_failed_has_a_reason(status, comment):
    line = end_reason(status, comment)
    assert line
    assert line.splitlines() == [line]


# Versions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pbs_version = 23.06.06\n", (23, 6, 6)),
        ("pbs_version = 2022.1.1.20220926110806", (2022, 1, 1, 20220926110806)),
        ("pbs_version = 13.1.0.160576", (13, 1, 0, 160576)),
        ("Version: 6.1.3\nCommit: abc\n", None),
        ("Unknown option: version\nUsage: qstat [-f]", None),
    ],
)
def test_version(text, expected):
    assert version(text) == expected


def test_json_of_the_fake_is_what_it_claims_to_be():
    """The fake's old writer must produce what the parser has to survive."""
    sys.path.insert(0, str(Path(__file__).parent))
    import os

    os.environ.setdefault("FAKE_PBS_HOME", "/nonexistent")
    import fake_pbs

    job = {"Job_Name": "x", "job_state": "R", "Account_Name": "grün"}
    assert listing.parse_json(fake_pbs.as_json({"1.pbshost": job}, "new"))["1.pbshost"] == job
    with pytest.raises(json.JSONDecodeError):
        json.loads(fake_pbs.as_json({"1.pbshost": job}, "old"))
