"""Which nodes a process may use, and which workload manager is here."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.batch.allocation import (
    Node,
    allocation,
    cgroup_limits,
    count,
    expand_hostlist,
    launcher_fault,
    own_node,
    pbs_nodes,
    repeated,
    slurm_nodes,
    this_machine,
    workload_manager,
)

# Printed by Slurm 22.05 for a job of 6 tasks with 3 GPUs (`scontrol -d -o show job`), shortened.
DESCRIPTION = (
    "JobId=1 JobName=wrap NodeList=n[1-2] BatchHost=n1 NumNodes=2 NumCPUs=6 NumTasks=6 "
    "TRES=cpu=6,mem=2000M,node=2,billing=6 NtasksPerN:B:S:C=0:0:*:* JOB_GRES=gpu:3   "
    "Nodes=n1 CPU_IDs=0-3 Mem=1000 GRES=gpu:2(IDX:0-1)   "
    "Nodes=n2 CPU_IDs=0-1 Mem=1000 GRES=gpu:1(IDX:0) MinCPUsNode=1 MinMemoryNode=1000M"
)


@pytest.mark.parametrize(
    ("nodelist", "names"),
    [
        ("n1", ["n1"]),
        ("n1,login-2", ["n1", "login-2"]),
        ("n[1-3,07-09]x", ["n1x", "n2x", "n3x", "n07x", "n08x", "n09x"]),
        ("n[9-11]", ["n9", "n10", "n11"]),
        ("r[1-2]c[08-09],gpu1", ["r1c08", "r1c09", "r2c08", "r2c09", "gpu1"]),
        ("", []),
    ],
)
def test_a_node_list_is_expanded(nodelist: str, names: list[str]) -> None:
    assert expand_hostlist(nodelist) == names


digits = st.integers(0, 5)


@st.composite
def bracketed(draw: st.DrawFn) -> tuple[str, list[str]]:
    """One name of a node list in Slurm's form, and what it stands for."""
    text, names = "", [""]
    for _ in range(draw(st.integers(1, 3))):
        word = draw(st.from_regex(r"[a-z][a-z.-]{0,3}", fullmatch=True))
        width = draw(st.integers(1, 3))
        ranges = draw(st.lists(st.tuples(digits, digits), min_size=1, max_size=3))
        pairs = [(first, first + more) for first, more in ranges]
        inside = ",".join(
            str(a).zfill(width) + (f"-{str(b).zfill(width)}" if b > a else "") for a, b in pairs
        )
        numbers = [str(i).zfill(width) for a, b in pairs for i in range(a, b + 1)]
        text += f"{word}[{inside}]"
        names = [name + word + number for name in names for number in numbers]
    return text, names


@given(st.lists(bracketed(), min_size=1, max_size=3))
def test_any_node_list_is_expanded(parts: list[tuple[str, list[str]]]) -> None:
    text = ",".join(part for part, _ in parts)
    assert expand_hostlist(text) == [name for _, names in parts for name in names]


@given(st.lists(st.integers(1, 128), max_size=20), st.booleans())
def test_counts_per_node_are_repeated(values: list[int], fold: bool) -> None:
    text = ",".join(f"{value}(x2)" if fold else str(value) for value in values)
    assert repeated(text) == [value for value in values for _ in range(1 + fold)]


def test_cpu_ids_are_counted() -> None:
    assert count("0-3,8,10-11") == 7


def test_slurm_describes_each_node_of_a_job() -> None:
    assert slurm_nodes({}, DESCRIPTION) == [Node("n1", 4, 1000, 2), Node("n2", 2, 1000, 1)]


def test_slurm_groups_equal_nodes_and_names_gpu_types() -> None:
    text = "Nodes=n[1-2] CPU_IDs=0-3,8-11 Mem=0 GRES=gpu:a100:2(IDX:0-1),shard:4"
    assert slurm_nodes({}, text) == [Node("n1", 8, None, 2), Node("n2", 8, None, 2)]


def test_without_scontrol_the_variables_of_the_job_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_CPUS_PER_NODE": "4(x2),2",
        "SLURM_MEM_PER_CPU": "500",
        "SLURM_GPUS_ON_NODE": "1",
    }
    assert allocation(job) == [
        Node("n1", 4, 2000, 1),
        Node("n2", 4, 2000, 1),
        Node("n3", 2, 1000, 1),
    ]


@pytest.mark.parametrize(
    ("lines", "ncpus", "nodes"),
    [
        (["a", "b"], 4, [Node("a", 4, None, 0), Node("b", 4, None, 0)]),
        (["a", "a", "b", "b"], 2, [Node("a", 2, None, 0), Node("b", 2, None, 0)]),
        (["a", "a", "a"], 1, [Node("a", 3, None, 0)]),
    ],
)
def test_a_pbs_node_file_names_the_nodes(lines: list[str], ncpus: int, nodes: list[Node]) -> None:
    assert pbs_nodes(lines, ncpus) == nodes


@pytest.mark.parametrize(
    ("hosts", "vnodes", "nodes"),
    [
        (
            "a/0*4+b/0*2",
            "(a:ncpus=4:mem=102400kb)+(b:ncpus=2:mem=51200kb)",
            [Node("a.site", 4, 100, 2), Node("b.site", 2, 50, 2)],
        ),
        (
            "a/0*2+a/1+b/0",
            "(a:ncpus=2:mem=2048kb:ngpus=1)+(a:ncpus=1)+(b:ncpus=1)",
            [Node("a.site", 3, None, 1), Node("b.site", 1, None, 0)],
        ),
        (
            "a/0*8",
            "(a[0]:ncpus=4:mem=1024kb+a[1]:ncpus=4:mem=1024kb)",
            [Node("a.site", 8, 2, 2)],
        ),
        ("a/0*8", "", [Node("a.site", 3, None, 2), Node("b.site", 3, None, 2)]),
    ],
)
def test_pbs_knows_what_a_job_has_of_each_node(hosts: str, vnodes: str, nodes: list[Node]) -> None:
    told = f"Job Id: 7.h|Job_Name=x|exec_host={hosts}|exec_vnode={vnodes}|Hold_Types=n\n"
    assert pbs_nodes(["a.site", "b.site"], 3, 2, told) == nodes


def test_a_pbs_job_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nodes").write_text("a\nb\n")
    job = {"PBS_NODEFILE": str(tmp_path / "nodes"), "NCPUS": "2"}
    both = [Node("a", 2, None, 0), Node("b", 2, None, 0)]
    assert allocation(job) == both
    assert not capsys.readouterr().err
    (tmp_path / "qstat").write_text("#!/bin/sh\necho no server >&2; exit 1\n")
    (tmp_path / "qstat").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert allocation({**job, "PBS_JOBID": "7.server"}) == both
    assert "qstat tells nothing of job 7.server" in capsys.readouterr().err


def test_a_job_of_grid_engine_keeps_to_its_slots() -> None:
    job = {"SGE_ROOT": "/", "JOB_ID": "1", "ENSEMAKE_CPUS": "8"}
    assert this_machine({**job, "NSLOTS": "3"}).cpus == 3
    assert this_machine({**job, "NSLOTS": "99"}).cpus == 8
    assert this_machine(job).cpus == this_machine({"NSLOTS": "3", "ENSEMAKE_CPUS": "8"}).cpus == 8


def test_without_a_job_this_machine_is_the_allocation() -> None:
    node = this_machine({"CUDA_VISIBLE_DEVICES": "3,5"})
    assert node.cpus >= 1
    assert node.gpus == 2
    assert allocation({"CUDA_VISIBLE_DEVICES": "3,5"}) == [node]


@pytest.mark.parametrize(
    ("groups", "file"),
    [("0::/a/b", "a/memory.max"), ("4:memory:/a/b\n", "memory/a/memory.limit_in_bytes")],
)
def test_memory_limits_of_the_groups_above_count(tmp_path: Path, groups: str, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text("1048576\n")
    assert list(cgroup_limits(groups, tmp_path)) == [1048576]
    path.write_text("max\n")
    assert list(cgroup_limits(groups, tmp_path)) == []


def test_the_own_node_is_found_by_its_short_name() -> None:
    nodes = [Node("n1.cluster", 1, None, 0), Node("n2", 1, None, 0)]
    assert own_node({"SLURMD_NODENAME": "n1"}, nodes) == "n1.cluster"
    assert own_node({"SLURMD_NODENAME": "login"}, nodes) is None


@pytest.mark.parametrize(
    ("commands", "manager"),
    [
        ("sbatch squeue scancel", "slurm"),
        ("sbatch squeue scancel qsub qstat qdel", "slurm"),
        ("qsub qstat qdel", "pbs"),
        ("qsub qstat qdel qconf", "sge"),
        ("bsub bjobs bkill", "lsf"),
        ("qsub", "none"),
        ("", "none"),
    ],
)
def test_commands_tell_the_workload_manager(tmp_path: Path, commands: str, manager: str) -> None:
    for command in commands.split():
        (tmp_path / command).write_bytes(b"\x7fELF")
    found = {command: str(tmp_path / command) for command in commands.split()}
    assert workload_manager({}, found.get) == manager


def test_a_qsub_that_translates_for_slurm_is_not_pbs(tmp_path: Path) -> None:
    (tmp_path / "qsub").write_text("#!/usr/bin/perl\n# qsub - submit jobs to SLURM\n")
    assert workload_manager({}, lambda _: str(tmp_path / "qsub")) == "slurm"
    found = {command: str(tmp_path / "qsub") for command in ("qsub", "qstat", "qdel")}
    assert workload_manager({}, found.get) == "none"


@pytest.mark.parametrize(
    ("launcher", "told"),
    [
        ("jsrun", "use srun"),
        ("/opt/jsrun", "use srun"),
        ("mpiexec", "Slurm's wrapper"),
        ("srun", ""),
        ("mpirun", ""),
        ("auto", ""),
    ],
)
def test_a_launcher_of_another_manager_is_told(tmp_path: Path, launcher: str, told: str) -> None:
    (tmp_path / "mpiexec").write_text("#!/usr/bin/perl\n# mpiexec.slurm: srun in its place\n")
    (tmp_path / "mpirun").write_bytes(b"\x7fELF slurm")
    slurm = dict.fromkeys(("sbatch", "squeue", "scancel", "srun"), "/bin/true")
    found = {**slurm, **{name: str(tmp_path / name) for name in ("mpiexec", "mpirun")}}
    fault = launcher_fault(launcher, {}, found.get)
    assert told in fault
    assert bool(fault) == bool(told)
    assert not launcher_fault("jsrun", {}, {**found, "jsrun": "/bin/true"}.get)
    assert not launcher_fault("jsrun", {}, {}.get)


@pytest.mark.parametrize(
    ("environ", "manager"),
    [
        ({"SLURM_JOB_ID": "1", "PBS_JOBID": "1"}, "slurm"),
        ({"PBS_JOBID": "1"}, "pbs"),
        ({"LSB_JOBID": "1"}, "lsf"),
        ({"SGE_ROOT": "/", "JOB_ID": "1"}, "sge"),
        ({"JOB_ID": "1"}, "none"),
    ],
)
def test_a_job_is_under_its_own_manager(environ: dict[str, str], manager: str) -> None:
    assert workload_manager(environ, lambda _: None) == manager
