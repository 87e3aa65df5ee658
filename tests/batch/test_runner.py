"""A batch: never more members than fit, nothing hidden, nothing lost, nothing run twice."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.batch.allocation import Node, available_cpus
from ensemake.batch.placement import Needs, Slot, slots
from ensemake.batch.runner import needs_of, slot_environ, threads_environ
from ensemake.config.schema import Model, RunSettings
from ensemake.member.plan import Plan, Planned

PACKAGES = str(Path(__file__).parents[2] / "workflow")

# As short as the contract of run.sh allows: lock, nothing twice, status, SIGTERM passed on.
RUN = """\
cd "$(dirname "$0")"
exec 9>>.lock
flock 9
grep -qs '"completed"' status.json && exit 0
rm -f status.json
stop=
trap 'stop=1; kill -TERM -- -$child' TERM
record() {{
  echo "{{\\"status\\": \\"$1\\", \\"exit_code\\": $2, \\"digest\\": \\"d\\"}}" > status.tmp
  mv status.tmp status.json
}}
set -m
{{ echo $EPOCHREALTIME start; {code}
  code=$?; echo $EPOCHREALTIME end; exit $code; }} >>times &
child=$!
echo $$ >pid
while wait $child; code=$?; [ $code -ge 128 ] && kill -0 $child; do :; done 2>/dev/null
[ -n "$stop" ] && {{ record cancelled 143; exit 143; }}
[ $code = 0 ] && record completed 0 || record failed $code
exit $code
"""


SSH = """\
#!/bin/bash
while [[ $1 == -o ]]; do shift 2; done
echo $$ >"$(dirname "$0")/../$1.pid"
NODE=$1 exec bash -c "$2"
"""


class Batch:
    """Members in a folder and the process that runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PBS"))}
        self.environ["PYTHONPATH"] = PACKAGES

    def write(self, *codes: str, **needs: int) -> None:
        """One member for each piece of shell."""
        for i, code in enumerate(codes):
            (self.folder / f"m{i}").mkdir(exist_ok=True)
            (self.folder / f"m{i}/run.sh").write_text(RUN.format(code=code))
        members = [Planned(f"m{i}", str(self.folder / f"m{i}"), "d", {}) for i in range(len(codes))]
        settings = Model(run_settings=RunSettings(exe="true"), resources=needs)
        self.plan.write_text(Plan("Waves", settings, members).as_json())

    def start(self) -> subprocess.Popen[str]:
        """Start the batch."""
        return subprocess.Popen(
            [sys.executable, "-m", "ensemake.batch.runner", str(self.plan)],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        )

    def run(self) -> tuple[int, str]:
        """Run the batch; its exit status and its log."""
        process = self.start()
        _, log = process.communicate(timeout=100)
        return process.returncode, log

    def record(self, *events: str) -> list[dict[str, Any]]:
        """The lines of the record for these events."""
        text = (self.folder / "plan.json.record.jsonl").read_text()
        return [line for line in map(json.loads, text.splitlines()) if line["event"] in events]

    def status(self, i: int) -> str | None:
        """The status a member wrote."""
        path = self.folder / f"m{i}/status.json"
        return str(json.loads(path.read_text())["status"]) if path.exists() else None

    def times(self) -> list[tuple[float, int]]:
        """Starts (1) and ends (-1) of all members, in order."""
        texts = [path.read_text() for path in self.folder.glob("m*/times")]
        pairs = [line.split() for text in texts for line in text.splitlines()]
        return sorted((float(when), 1 if what == "start" else -1) for when, what in pairs)

    def at_once(self) -> int:
        """How many members ran at the same time."""
        running = most = 0
        for _, change in self.times():
            running += change
            most = max(most, running)
        return most

    def starts(self) -> int:
        """How many times a member's code was started."""
        return sum(change == 1 for _, change in self.times())


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """An empty batch."""
    return Batch(tmp_path)


@pytest.fixture
def two_nodes(batch: Batch, tmp_path: Path) -> Batch:
    """A batch in a PBS job on two other nodes of 3 CPUs, which a false ssh reaches."""
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    (tmp_path / "nodes").write_text("far1\nfar2\n")
    batch.environ |= {
        "PBS_NODEFILE": str(tmp_path / "nodes"),
        "NCPUS": "3",
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }
    return batch


def until(true: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Is there such a process, and not only as a zombie?"""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_all_members_run_and_never_more_than_fit(batch: Batch) -> None:
    batch.write(*["sleep 0.1"] * 12)
    code, log = batch.run()
    assert code == 0
    assert "Waves: 12 completed" in log
    assert batch.starts() == 12
    assert batch.at_once() <= available_cpus()


def test_members_with_more_cpus_share_less(batch: Batch) -> None:
    batch.write(*["sleep 0.1"] * 4, cpus_per_task=available_cpus())
    assert batch.run()[0] == 0
    assert batch.at_once() == 1


def test_a_member_that_fits_nowhere_is_said_and_none_is_started(two_nodes: Batch) -> None:
    two_nodes.write("true", cpus_per_task=4)
    code, log = two_nodes.run()
    assert code == 1
    assert "needs nodes 1, tasks 1, cpus_per_task 4" in log
    assert two_nodes.starts() == 0


def test_a_member_larger_than_this_machine_has_it_to_itself(batch: Batch) -> None:
    batch.write("sleep 0.1", "sleep 0.1", cpus_per_task=available_cpus() + 1)
    assert batch.run()[0] == 0
    assert batch.at_once() == 1


def test_failures_are_named_with_their_exit_code(batch: Batch) -> None:
    batch.write("true", "(exit 3)", "true", *["(exit 7)"] * 12)
    code, log = batch.run()
    assert code == 1
    assert "2 completed, 13 failed" in log
    assert f"{batch.folder}/m1: failed, exit code 3" in log
    assert "and 3 more, see" in log
    ends = batch.record("end")
    assert Counter(end["exit_code"] for end in ends) == {0: 2, 3: 1, 7: 12}


def test_a_member_without_run_sh_fails(batch: Batch) -> None:
    batch.write("true", "true")
    (batch.folder / "m0/run.sh").unlink()
    assert batch.run()[0] == 1
    assert {end["member"]: end["exit_code"] for end in batch.record("end")} == {"m0": 127, "m1": 0}


def test_members_find_their_lock_held_and_wait_where_another_has_it(batch: Batch) -> None:
    batch.write("true", "true")
    held = 'cd "${0%/*}"; [[ ${ENSEMAKE_LOCKED-} && /dev/fd/9 -ef .lock ]] && touch held; true'
    for name in ("m0", "m1"):
        (batch.folder / name / "run.sh").write_text(held)
    with (batch.folder / "m1/.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert batch.run()[0] == 0
    assert (batch.folder / "m0/held").exists()
    assert not (batch.folder / "m1/held").exists()


@pytest.mark.parametrize("taken", [8, 9, 10])
def test_the_lock_is_handed_on_whatever_its_number(tmp_path: Path, taken: int) -> None:
    (tmp_path / "run.sh").write_text("[[ $ENSEMAKE_LOCKED && /dev/fd/9 -ef ${0%/*}/.lock ]]")
    code = f"""
import os
from ensemake.batch.processes import Task, _spawn
while os.open(os.devnull, os.O_RDONLY) < {taken}: pass
pid = _spawn(Task(0, {str(tmp_path)!r}, "d", {{}}))
raise SystemExit(os.waitpid(pid, 0)[1])
"""
    environ = {**os.environ, "PYTHONPATH": PACKAGES}
    assert subprocess.run([sys.executable, "-c", code], env=environ).returncode == 0


def test_complete_members_are_not_started_again(batch: Batch) -> None:
    batch.write("true", "test -e ../ready")
    assert batch.run()[0] == 1
    (batch.folder / "ready").touch()
    code, log = batch.run()
    assert code == 0
    assert "1 skipped, 1 completed" in log
    assert batch.starts() == 3
    assert [start["skipped"] for start in batch.record("start")] == [0, 1]


def test_a_member_whose_output_is_gone_is_given_to_run_sh(batch: Batch) -> None:
    batch.write("true")
    assert batch.run()[0] == 0
    plan = json.loads(batch.plan.read_text())
    plan["settings"]["outputs"] = ["result.csv"]
    batch.plan.write_text(json.dumps(plan))
    assert "1 completed" in batch.run()[1]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_members_and_starts_no_more(batch: Batch, how: signal.Signals) -> None:
    batch.write(*["sleep 100"] * 6, cpus_per_task=available_cpus())
    process = batch.start()
    until(lambda: batch.starts() == 1)
    process.send_signal(how)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 cancelled, 5 not started" in log
    assert batch.status(0) == "cancelled"
    assert batch.record("stop")[0]["signal"] == how.name
    assert batch.starts() == 1


def test_a_killed_batch_leaves_no_member_running_and_is_resumed(batch: Batch) -> None:
    batch.write("true", "test -e ../ready || sleep 100", "true", cpus_per_task=available_cpus())
    process = batch.start()
    until((batch.folder / "m1/pid").exists)
    process.kill()
    process.communicate()
    until(lambda: batch.status(1) == "cancelled")
    until(lambda: not alive(int((batch.folder / "m1/pid").read_text())))
    (batch.folder / "ready").touch()
    assert batch.run()[0] == 0
    assert [batch.starts(), batch.status(2)] == [4, "completed"]
    assert batch.record("end")[0]["member"] == "m0"


def test_a_killed_member_is_told_from_one_that_failed_and_leaves_nothing(batch: Batch) -> None:
    batch.write("echo $BASHPID >../code; sleep 100", "true", cpus_per_task=available_cpus())
    process = batch.start()
    until(lambda: (batch.folder / "m0/pid").exists() and (batch.folder / "code").exists())
    os.kill(int((batch.folder / "m0/pid").read_text()), signal.SIGKILL)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "m0: killed, exit code 137" in log
    assert batch.status(0) is None
    assert batch.status(1) == "completed"
    assert not alive(int((batch.folder / "code").read_text()))


def test_only_what_belongs_to_a_killed_member_is_ended(batch: Batch) -> None:
    """Another member's daemon goes on, as it would if that member were alone."""
    daemon = "setsid bash -c 'echo $$ >daemon; cd /; exec sleep 100' 9>&- &"
    batch.write(
        f"{daemon} until [ -s daemon ]; do :; done",
        "until [ -s ../m0/status.json ]; do sleep 0.01; done; echo $BASHPID >../code; sleep 100",
    )
    process = batch.start()
    until(lambda: (batch.folder / "m1/pid").exists() and (batch.folder / "code").exists())
    pids = [int((batch.folder / name).read_text()) for name in ("m1/pid", "code", "m0/daemon")]
    os.kill(pids[0], signal.SIGKILL)
    assert process.wait(60) == 1
    try:
        assert [alive(pid) for pid in pids[1:]] == [False, True]
    finally:
        os.kill(pids[2], signal.SIGKILL)


def test_members_know_how_many_threads_are_theirs(batch: Batch) -> None:
    """Not those of the batch, whose own job Snakemake tells of all CPUs."""
    batch.environ |= {"OMP_NUM_THREADS": "64", "MKL_NUM_THREADS": "64"}
    batch.write("echo $OMP_NUM_THREADS $MKL_NUM_THREADS >seen", cpus_per_task=available_cpus())
    assert batch.run()[0] == 0
    assert (batch.folder / "m0/seen").read_text() == f"{available_cpus()} {available_cpus()}\n"


def test_threads_that_the_preamble_sets_are_left_alone() -> None:
    keys = {"run_settings": {"exe": "true"}, "batch_settings": {}}
    plan = Plan("e", Model.model_validate(keys), [])
    assert threads_environ(plan, Needs(tasks=2, cpus_per_task=3))["OMP_NUM_THREADS"] == "3"
    keys["batch_settings"] = {"preamble": ["export OMP_NUM_THREADS=7"]}
    variables = threads_environ(Plan("e", Model.model_validate(keys), []), Needs())
    assert "OMP_NUM_THREADS" not in variables
    assert variables["MKL_NUM_THREADS"] == "1"


def test_members_run_on_the_other_nodes_of_an_allocation(two_nodes: Batch) -> None:
    two_nodes.write(*["echo $NODE $ENSEMAKE_NODELIST >where; sleep 0.2"] * 14)
    code, log = two_nodes.run()
    assert code == 0, log
    where = Counter(path.read_text() for path in two_nodes.folder.glob("m*/where"))
    assert where.keys() == {"far1 far1\n", "far2 far2\n"}
    assert two_nodes.at_once() <= 6
    assert two_nodes.record("start")[0]["slots"] == 6


def test_mpi_members_are_given_hosts_of_their_own(two_nodes: Batch) -> None:
    """In files: the job's node file stays, PBS's own launchers count its lines.

    Where several share a node, none is bound to cores: all would be to the same.
    """
    code = 'cat $ENSEMAKE_NODEFILE - >where <<<"${I_MPI_PIN-bound}"; cat $PBS_NODEFILE >all'
    two_nodes.write(*[f"{code}; sleep 0.2"] * 6, tasks=2)
    for cpus, binding in (("3", "bound"), ("4", "0")):
        two_nodes.environ["NCPUS"] = cpus
        assert two_nodes.run()[0] == 0
        told = {path.read_text() for path in two_nodes.folder.glob("m*/where")}
        assert told == {f"{name}\n{name}\n{binding}\n" for name in ("far1", "far2")}
        for path in two_nodes.folder.glob("m*/status.json"):
            path.unlink()
    assert (two_nodes.folder / "m0/all").read_text() == "far1\nfar2\n"


def test_members_outlive_the_connection_to_their_leader(two_nodes: Batch) -> None:
    """They have words to say when they are stopped, and still write their status."""
    two_nodes.write(*["trap 'echo oh no >&2; exit 1' TERM; sleep 100 & wait"] * 2)
    process = two_nodes.start()
    until(lambda: two_nodes.starts() == 2)
    process.kill()
    process.communicate()
    assert process.stderr is not None
    until(lambda: [two_nodes.status(i) for i in (0, 1)] == ["cancelled"] * 2)
    logs = sorted(two_nodes.folder.glob("plan.json.record.far*.log"))
    assert "".join(log.read_text() for log in logs) == "oh no\n" * 2


def test_a_killed_leader_ends_the_members_on_other_nodes(two_nodes: Batch) -> None:
    two_nodes.write(*["sleep 100"] * 2)
    process = two_nodes.start()
    until(lambda: two_nodes.starts() == 2)
    process.kill()
    process.communicate()
    until(lambda: [two_nodes.status(i) for i in (0, 1)] == ["cancelled"] * 2)


def test_a_node_that_is_never_reached_is_done_without(two_nodes: Batch) -> None:
    refusing = SSH.replace("echo", "[ $1 = far1 ] || exit 255; echo")
    (two_nodes.folder / "bin/ssh").write_text(refusing)
    two_nodes.write(*["true"] * 8)
    code, log = two_nodes.run()
    assert code == 0
    assert "the agent of node far2 has ended" in log
    assert {end["nodes"] for end in two_nodes.record("end")} == {"far1"}


def test_what_ran_on_a_lost_node_failed_and_the_rest_goes_on(two_nodes: Batch) -> None:
    wait = "echo $NODE >node; until [ -e ../ready ]; do sleep 0.05; done"
    two_nodes.write(*[wait] * 2, *["true"] * 6)
    two_nodes.environ["NCPUS"] = "1"
    process = two_nodes.start()
    until(lambda: two_nodes.starts() == 2)
    os.kill(int((two_nodes.folder / "far2.pid").read_text()), signal.SIGKILL)
    until(lambda: two_nodes.record("lost"))
    (two_nodes.folder / "ready").touch()
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "7 completed, 1 lost" in log
    assert [end["nodes"] for end in two_nodes.record("end") if end["status"] == "lost"] == ["far2"]


def test_without_any_node_left_nothing_is_claimed(two_nodes: Batch) -> None:
    (two_nodes.folder / "bin/ssh").write_text("#!/bin/bash\nexit 255\n")
    two_nodes.write("true", "true")
    code, log = two_nodes.run()
    assert code == 1
    assert "2 not started" in log


def test_gpus_are_given_out_once(batch: Batch) -> None:
    batch.environ["CUDA_VISIBLE_DEVICES"] = "5"
    batch.write(*["echo $CUDA_VISIBLE_DEVICES >gpu; sleep 0.1"] * 3, gpu=1)
    assert batch.run()[0] == 0
    assert batch.at_once() == 1
    assert {path.read_text() for path in batch.folder.glob("m*/gpu")} == {"5\n"}


def test_needs_are_the_most_of_any_member() -> None:
    resources = {"tasks": 2, "cpus_per_task": "{{ x }}", "runtime": 5, "mem_mb_per_cpu": 7}
    settings = Model(run_settings=RunSettings(exe="true"), resources=resources)
    members = [Planned(str(x), "d", "x", {"x": x}) for x in (1, 3, 2)]
    assert needs_of(Plan("e", settings, members)) == Needs(
        tasks=2, cpus_per_task=3, mem_mb_per_cpu=7
    )


def test_needs_scaled_down_to_a_small_machine() -> None:
    node = Node("laptop", 2, 1000, 0)
    assert Needs(2, 4, 1, mem_mb=2000).on(node) == Needs(1, 2, 1, mem_mb=1000)
    assert Needs(cpus_per_task=8).on(node) == Needs(cpus_per_task=2)
    assert Needs(mem_mb_per_cpu=900).on(node) == Needs(mem_mb_per_cpu=900)
    assert len(slots([node], Needs(cpus_per_task=2, mem_mb_per_cpu=900).on(node))) == 1


def test_a_slot_looks_like_a_slurm_job_of_its_size() -> None:
    variables = slot_environ(Slot(("n1", "n2"), 2), Needs(2, 4, 3, gpu=2), {"SLURM_JOB_ID": "1"})
    assert variables["ENSEMAKE_NODELIST"] == variables["SLURM_JOB_NODELIST"] == "n1,n2"
    assert variables["SLURM_TASKS_PER_NODE"] == "2(x2)"
    assert variables["SLURM_JOB_CPUS_PER_NODE"] == "6(x2)"
    assert variables["SLURM_GPUS_PER_NODE"] == "1"
    assert slot_environ(Slot(("here",), 1), Needs(), {}) == {"ENSEMAKE_NODELIST": "here"}


memory = st.none() | st.integers(100, 2000)
allocations = st.lists(
    st.tuples(st.integers(1, 9), memory, st.integers(0, 4)), min_size=1, max_size=5
).map(lambda rows: [Node(f"n{i}", *row) for i, row in enumerate(rows)])
all_needs = st.builds(
    Needs,
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 4),
    memory,
    st.integers(0, 3),
    st.integers(0, 900),
)


@given(allocations, all_needs)
def test_slots_never_hold_more_than_a_node_has(nodes: list[Node], needs: Needs) -> None:
    cut = slots(nodes, needs)
    for node in nodes:
        here = [slot for slot in cut if node.name in slot.nodes]
        width = len(here[0].nodes) if here else 1
        assert sum(slot.tasks_per_node for slot in here) * needs.cpus_per_task <= node.cpus
        assert len(here) * ceil(needs.gpu / width) <= node.gpus or not needs.gpu
        if needs.mem_mb and node.mem_mb is not None:
            assert len(here) * needs.mem_mb <= node.mem_mb
        if node.mem_mb is not None:
            cpus = sum(slot.tasks_per_node for slot in here) * needs.cpus_per_task
            assert cpus * needs.mem_mb_per_cpu <= node.mem_mb
        gpus = [gpu for slot in here for gpu in slot.gpus]
        assert len(gpus) == len(set(gpus))
        assert all(gpu < node.gpus for gpu in gpus)


@given(allocations, all_needs)
def test_slots_have_room_for_all_tasks(nodes: list[Node], needs: Needs) -> None:
    for slot in slots(nodes, needs):
        assert len(set(slot.nodes)) == len(slot.nodes) >= needs.nodes
        assert slot.tasks_per_node * len(slot.nodes) >= needs.tasks


@given(st.integers(1, 5), st.integers(1, 5))
def test_no_room_is_left_that_a_member_could_use(cpus: int, per_task: int) -> None:
    nodes = [Node("a", cpus, None, 0), Node("b", cpus, None, 0)]
    assert len(slots(nodes, Needs(cpus_per_task=per_task))) == 2 * (cpus // per_task)


def test_first_slots_lie_on_different_nodes() -> None:
    nodes = [Node("a", 2, None, 0), Node("b", 2, None, 0)]
    assert [slot.nodes for slot in slots(nodes, Needs())[:2]] == [("a",), ("b",)]


def test_tasks_that_do_not_fit_one_node_get_two() -> None:
    nodes = [Node("a", 4, None, 0), Node("b", 4, None, 0)]
    assert slots(nodes, Needs(tasks=6)) == [Slot(("a", "b"), 3)]
