"""The nodes and CPUs this process may use, and the workload manager that is here."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Manager = Literal["slurm", "pbs", "lsf", "sge", "none"]
Which = Callable[[str], str | None]

CPUS = "ENSEMAKE_CPUS"  # set by a workflow that was told how many to use (--cores)
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Node:
    """What may be used of one node.

    Parameters
    ----------
    name
        As the workload manager calls it.
    cpus
        How many, as the workload manager counts them.
    mem_mb
        Memory in MB (2**20 bytes), ``None`` if nothing is known of a limit.
    gpus
        How many.
    """

    name: str
    cpus: int
    mem_mb: int | None
    gpus: int


def allocation(environ: Mapping[str, str]) -> list[Node]:
    """Return the nodes of the Slurm or PBS job this process is part of, else this machine.

    Parameters
    ----------
    environ
        The environment of the process, usually ``os.environ``.
    """
    if "SLURM_JOB_ID" in environ:
        return slurm_nodes(environ, _job_description(environ))
    if "PBS_NODEFILE" in environ:
        lines = Path(environ["PBS_NODEFILE"]).read_text(encoding="utf-8").split()
        gpus = len(visible_gpus(environ))
        return pbs_nodes(lines, int(environ.get("NCPUS", "1")), gpus, _pbs_description(environ))
    return [this_machine(environ)]


def own_node(environ: Mapping[str, str], nodes: list[Node]) -> str | None:
    """Return the name of the node this process runs on, ``None`` if that is not one of these.

    So it is after ``salloc``, which leaves the shell on the login node.
    """
    host = environ.get("SLURMD_NODENAME") or socket.gethostname()
    short = {node.name.split(".")[0]: node.name for node in nodes}
    return short.get(host.split(".")[0])


def workload_manager(environ: Mapping[str, str], which: Which = shutil.which) -> Manager:
    """Return the workload manager of this machine; inside a job, the one that runs the job.

    Slurm comes first: its jobs may carry ``PBS_JOBID`` and its machines a ``qsub`` that only
    translates for Slurm. Such a ``qsub`` is not taken for PBS where Slurm's own commands lack.
    """
    return _manager_of_job(environ) or _manager_of_machine(which)


def _manager_of_job(environ: Mapping[str, str]) -> Manager | None:
    if "SLURM_JOB_ID" in environ:
        return "slurm"
    if "PBS_JOBID" in environ:
        return "pbs"
    if "LSB_JOBID" in environ:
        return "lsf"
    return "sge" if {"SGE_ROOT", "JOB_ID"} <= environ.keys() else None


def _manager_of_machine(which: Which) -> Manager:
    def here(*commands: str) -> bool:
        return all(which(command) for command in commands)

    if here("sbatch", "squeue", "scancel"):
        return "slurm"
    if here("bsub", "bjobs", "bkill"):
        return "lsf"
    if here("qsub", "qstat", "qdel", "qconf"):
        return "sge"
    if here("qsub", "qstat", "qdel") and not _translates_for_slurm(which("qsub")):
        return "pbs"
    return "none"


def _translates_for_slurm(program: str | None) -> bool:
    with open(program or os.devnull, "rb") as file:
        head = file.read(4096)
    return head.startswith(b"#!") and b"slurm" in head.lower()


def launcher_fault(launcher: str, environ: Mapping[str, str], which: Which = shutil.which) -> str:
    """Say why a launcher cannot start members where this machine's jobs run; '' if it can.

    Parameters
    ----------
    launcher
        Name or path of the command.
    environ
        The environment of the process, usually ``os.environ``.
    """
    name = Path(launcher).name
    if name == "jsrun" and not which(launcher):
        manager = workload_manager(environ, which)
        instead = {"slurm": "srun", "pbs": "mpiexec"}.get(manager)
        told = f"jsrun is a command of LSF, and this is {manager.upper()}; use {instead} or auto"
        return told if instead else ""
    if name in ("mpiexec", "mpirun") and _translates_for_slurm(which(launcher)):
        return (
            f"{which(launcher)} is Slurm's wrapper, which starts no MPI; use srun, or load the "
            f"{name} of an MPI"
        )
    return ""


def slurm_nodes(environ: Mapping[str, str], description: str = "") -> list[Node]:
    """Return the nodes of a Slurm job.

    Parameters
    ----------
    environ
        What Slurm set in the job.
    description
        What ``scontrol show job --details`` prints. It is believed first: in a step, and in a
        step in a step, the variables tell of the step or are left from the job around it.
    """
    pattern = r"\bNodes=(\S+) CPU_IDs=(\S+) Mem=(\d+)(?: GRES=(\S+))?"
    parts = re.findall(pattern, description)
    return [
        Node(name, count(ids), int(mem) or None, _gpus(gres))
        for names, ids, mem, gres in parts
        for name in expand_hostlist(names)
    ] or _slurm_nodes_by_environment(environ)


def _slurm_nodes_by_environment(environ: Mapping[str, str]) -> list[Node]:
    names = expand_hostlist(environ["SLURM_JOB_NODELIST"])
    cpus = repeated(environ["SLURM_JOB_CPUS_PER_NODE"])
    gpus = int(environ.get("SLURM_GPUS_ON_NODE", "0"))
    return [
        Node(name, of_node, _slurm_memory(environ, of_node), gpus)
        for name, of_node in zip(names, cpus, strict=True)
    ]


def _slurm_memory(environ: Mapping[str, str], cpus: int) -> int | None:
    if "SLURM_MEM_PER_CPU" in environ:
        return int(environ["SLURM_MEM_PER_CPU"]) * cpus
    return int(environ.get("SLURM_MEM_PER_NODE", "0")) or None


def _job_description(environ: Mapping[str, str]) -> str:
    job = environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in environ:  # one of them has the id that stands for all
        job = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return _answer("scontrol", "--oneliner", "--details", "show", "job", job)


def _pbs_description(environ: Mapping[str, str]) -> str:
    job = environ.get("PBS_JOBID")
    told = _answer("qstat", "-f", "-F", "dsv", job) if job else ""
    if job and not told:
        print(
            f"ensemake: qstat tells nothing of job {job}; taken from its node file: the nodes, and "
            "for each the CPUs of the first, without a limit of memory",
            file=sys.stderr,
        )
    return told


def _answer(*command: str) -> str:
    """Return what a workload manager says, nothing if it does not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _gpus(gres: str) -> int:
    """``gpu:a100:2(IDX:0-1),gpu:1(IDX:3),shard:8`` -> 3."""
    return sum(int(n) for n in re.findall(r"\bgpu:(?:[^:,()]+:)?(\d+)", gres))


def pbs_nodes(lines: list[str], ncpus: int, gpus: int = 0, description: str = "") -> list[Node]:
    """Return the nodes of a PBS job.

    Parameters
    ----------
    lines
        The lines of the node file: a node stands there once for each of its MPI processes.
    ncpus
        The CPUs of the first chunk, as PBS puts them into ``NCPUS``.
    gpus
        The GPUs of the first node, where PBS does not say how many each has.
    description
        What ``qstat -f -F dsv`` prints: believed first, for nodes may differ.
    """
    hosts = re.findall(r"([^/+]+)/", _attribute("exec_host", description))
    chunks = re.findall(r"\(([^)]*)\)", _attribute("exec_vnode", description))
    if not chunks or len(hosts) != len(chunks):
        return [Node(name, max(n, ncpus), None, gpus) for name, n in Counter(lines).items()]
    names = {name.split(".")[0]: name for name in lines}
    of_node: dict[str, list[str]] = {}
    for host, chunk in zip(hosts, chunks, strict=True):
        of_node.setdefault(names.get(host.split(".")[0], host), []).extend(chunk.split("+"))
    others = 0 if any(":ngpus=" in chunk for chunk in chunks) else gpus
    return [_pbs_node(name, vnodes, others) for name, vnodes in of_node.items()]


def _attribute(name: str, description: str) -> str:
    found = re.search(rf"\|{name}=([^|\n]*)", description)
    return found[1] if found else ""


def _pbs_node(name: str, vnodes: list[str], gpus: int) -> Node:
    """``n1:ncpus=2:mem=102400kb`` and ``n1:ncpus=1``: what the job has of the node, in all."""
    text = " ".join(vnodes)
    cpus, memory, ngpus = (
        [int(n) for n in re.findall(rf":{key}=(\d+)", text)] for key in ("ncpus", "mem", "ngpus")
    )
    mem_mb = sum(memory) // 1024 if len(memory) == len(vnodes) else None  # PBS writes kb
    return Node(name, max(1, sum(cpus)), mem_mb, sum(ngpus) or gpus)


def this_machine(environ: Mapping[str, str]) -> Node:
    """Return this machine, as far as this process may use it."""
    cpus = min(int(environ.get(CPUS, available_cpus())), _slots(environ))
    return Node(socket.gethostname(), cpus, _memory(), len(visible_gpus(environ)))


def _slots(environ: Mapping[str, str]) -> int:
    """Return how many CPUs a job of Grid Engine has asked for; it keeps no process to them."""
    told = environ.get("NSLOTS", "") if _manager_of_job(environ) == "sge" else ""
    return max(int(told), 1) if told.isdecimal() else sys.maxsize


def available_cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus(environ: Mapping[str, str]) -> list[str]:
    """Return the ids of this machine's GPUs, as in ``CUDA_VISIBLE_DEVICES`` if that is set."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return [gpu for gpu in environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    return [str(i) for i, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _memory() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    groups = Path("/proc/self/cgroup")
    limits = cgroup_limits(groups.read_text(encoding="utf-8")) if groups.exists() else ()
    return min(installed, *limits, installed) // 2**20


def cgroup_limits(groups: str, root: Path = CGROUPS) -> Iterator[int]:
    """Yield the memory limits, in bytes, of the control groups (text of /proc/self/cgroup)."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base, name = (
            (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        )
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base) and (folder / name).exists():
                text = (folder / name).read_text(encoding="utf-8").strip()
                yield from [int(text)] if text.isdigit() else []


def expand_hostlist(nodelist: str) -> list[str]:
    """Return the names that a Slurm node list stands for.

    Examples
    --------
    >>> expand("n[1-2,08-10]x,login")
    ['n1x', 'n2x', 'n08x', 'n09x', 'n10x', 'login']
    """
    outside = re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodelist)
    return [name for pattern in outside for name in _expand_one(pattern)]


def _expand_one(pattern: str) -> list[str]:
    head, bracket, rest = pattern.partition("[")
    if not bracket:
        return [pattern]
    inside, _, tail = rest.partition("]")
    ends = _expand_one(tail)
    return [head + number + end for number in _numbers(inside) for end in ends]


def _numbers(ranges: str) -> Iterator[str]:
    """``1-3,07`` -> 1, 2, 3, 07: as many digits as the range has."""
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield str(number).zfill(len(first))


def count(ids: str) -> int:
    """``0-3,8`` -> 5."""
    return sum(1 for _ in _numbers(ids))


def repeated(text: str) -> list[int]:
    """``4(x2),2`` -> [4, 4, 2]."""
    pairs = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(value) for value, times in pairs for _ in range(int(times or 1))]
