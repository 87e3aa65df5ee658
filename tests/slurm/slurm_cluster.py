"""Start, ask and stop a small Slurm cluster in a temporary folder.

Nothing outside that folder is read or written: own munge key and socket, own slurm.conf.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.machines import Machine

CLIENTS = (
    *("sbatch", "salloc", "srun", "squeue", "scontrol", "scancel", "sinfo"),
    *("sacct", "sacctmgr", "sshare"),
)
PROGRAMS = ("munged", "slurmctld", "slurmd", *CLIENTS)
NODES = ("n1", "n2")
CPUS = 4
MEM_MB = 4000
GPUS = ("/dev/null", "/dev/zero")  # Slurm wants device files, and only looks at them
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"),
)

# More CPUs than the machine has (config_overrides), no cgroups (containers have none to give),
# memory watched by polling so that OUT_OF_MEMORY can be tried, and every wait made short.
SLURM_CONF = """\
ClusterName=ensemake-tests
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=200
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
MessageTimeout=5
KillWait=5
MinJobAge=300
InactiveLimit=0
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 State=UP
PartitionName=other Nodes=ALL MaxTime=60 DefaultTime=10 State=UP
PartitionName=urgent Nodes=ALL MaxTime=60 DefaultTime=10 State=UP PriorityTier=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{extra}
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} "
    f"CPUs={CPUS} RealMemory={MEM_MB} Gres=gpu:{len(GPUS)} State=UNKNOWN"
)


class Cluster:
    """A running Slurm: ``n1`` and ``n2``; partitions ``main`` (default), ``other``, ``urgent``.

    Parameters
    ----------
    address
        Where nodes find the controller.
    machines
        The nodes, unless they are this machine.
    """

    def __init__(self, address: str = "127.0.0.1", machines: Sequence[Machine] = ()) -> None:
        self._address, self._machines = address, {one.name: one for one in machines}
        # A short path: the name of a socket may have 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.conf = self.folder / "slurm.conf"
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))},
            "SLURM_CONF": str(self.conf),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = free_ports(1 + len(NODES))

    def __enter__(self) -> Self:
        try:
            self._prepare()
            for name in ("munged", "slurmctld", *NODES):
                self.start(name)
            until(lambda: self.idle_nodes() == len(NODES), "the nodes to come up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def configure(self, extra: str = "") -> None:
        """Write slurm.conf, with more lines if given, and let a running controller read it."""
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(
            NODE.format(name=name, host=host, port=port, address=self._address_of(name))
            for name, port in zip(NODES, self._ports[1:], strict=True)
        )
        values = {"host": host, "address": self._address, "user": getpass.getuser()}
        values["folder"] = str(self.folder)
        self.conf.write_text(
            SLURM_CONF.format(ports=self._ports, nodes=nodes, extra=extra, **values)
        )
        if "slurmctld" in self._daemons:
            self.run("scontrol", "reconfigure")

    def _address_of(self, node: str) -> str:
        return self._machines[node].address if node in self._machines else self._address

    def start(self, name: str) -> None:
        """Start ``munged``, ``slurmctld`` or the slurmd of a node."""
        commands = {
            "munged": [
                *("munged", "--foreground", "--force"),
                *(f"--{what}-file={self.folder}/munge.{what}" for what in ("key", "seed", "pid")),
                f"--log-file={self.folder}/munged.log",
                f"--socket={self.folder}/munge.socket",
            ],
            "slurmctld": ["slurmctld", "-D", "-f", str(self.conf)],
        }
        command = commands.get(name) or ["slurmd", "-D", "-N", name, "-f", str(self.conf)]
        if name in self._machines:
            command = self._machines[name].command(*command)
        with open(self.folder / f"{name}.log", "ab") as log:
            # A session of its own: Ctrl-C in the terminal of the tests is not for the daemons.
            self._daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environ, start_new_session=True
            )
        if name == "munged":
            until((self.folder / "munge.socket").exists, "munged")

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        """Stop a daemon; its running job steps stay (they are processes of their own)."""
        daemon = self._daemons.pop(name)
        daemon.send_signal(how)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a daemon."""
        self._daemons[name].send_signal(number)

    def run(self, *command: str, check: bool = True, cwd: Path | None = None) -> str:
        """Run a Slurm command and give back its output."""
        done = subprocess.run(
            command, env=self.environ, cwd=cwd, capture_output=True, text=True, timeout=120
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def submit(self, script: str, *options: str, cwd: Path) -> str:
        """Submit a shell script (text); the job's id. Its output goes to ``cwd/job.log``."""
        wrap = "--wrap", script
        return self.run("sbatch", "--parsable", "--output=job.log", *options, *wrap, cwd=cwd).split(
            ";"
        )[0]

    def job(self, jobid: str) -> dict[str, str]:
        """What ``scontrol show job`` says."""
        words = self.run("scontrol", "-o", "show", "job", jobid).split()
        pairs = (word.partition("=") for word in words if "=" in word)
        return {key: value for key, _, value in pairs}

    def state(self, jobid: str) -> str:
        """The job's state, e.g. ``RUNNING``."""
        return self.job(jobid)["JobState"]

    def wait(self, jobid: str, states: Sequence[str] = ENDED) -> str:
        """Wait until the job is in one of these states (default: ended)."""
        until(lambda: self.state(jobid) in states, f"job {jobid} to be {'|'.join(states)}")
        return self.state(jobid)

    def jobs(self, *states: str) -> list[str]:
        """The ids of the jobs in these states (default: waiting or running)."""
        which = [f"--states={','.join(states)}"] if states else []
        return self.run("squeue", "--noheader", "--format=%i", *which).split()

    def idle_nodes(self) -> int:
        """How many nodes are up with nothing to do."""
        return self.run("sinfo", "-hN", "-p", "main", "-o", "%t", check=False).split().count("idle")

    def forget(self) -> None:
        """Take the stopped controller's memory of all jobs."""
        shutil.rmtree(self.folder / "state")
        (self.folder / "state").mkdir()

    def mend(self) -> None:
        """Do what an operator does after a crash of the controller: it starts jobs that run.

        Their nodes refuse that, are drained for it, and the jobs held.
        """
        listed = self.run("squeue", "-h", "-r", "-o", "%i|%r", check=False).splitlines()
        held = [line.split("|")[0] for line in listed if "launch failed" in line]
        if held:
            self.run("scancel", *held, check=False)
        if "drain" in self.run("sinfo", "-h", "-o", "%T", check=False):
            for name in NODES:
                self.run("scontrol", "update", f"nodename={name}", "state=resume", check=False)

    def settle(self) -> None:
        """Cancel what is left, mend what is down and wait for idle nodes: room for a test."""
        for name in ("slurmctld", *NODES):
            if name not in self._daemons:
                self.start(name)
        for jobid in self.jobs():
            self.run("scancel", jobid, check=False)
        for name in NODES:
            self.run("scontrol", "update", f"nodename={name}", "state=resume", check=False)
        until(lambda: self.idle_nodes() == len(NODES), "idle nodes")

    def _prepare(self) -> None:
        self.folder.chmod(0o755)  # munged wants its socket where all can reach it
        (self.folder / "state").mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName={','.join(NODES)} Name=gpu File={device}\n" for device in GPUS)
        )
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        self._wrap_clients()
        self.configure()

    def _wrap_clients(self) -> None:
        """The Slurm plugin takes SLURM_CONF from its jobs; real clusters have /etc/slurm."""
        (self.folder / "bin").mkdir()
        for name in CLIENTS:
            wrapper = self.folder / "bin" / name
            program = f'SLURM_CONF={self.conf} exec {shutil.which(name)} "$@"'
            wrapper.write_text(f"#!/bin/sh\n{program}\n")
            wrapper.chmod(0o755)

    def _remove(self) -> None:
        if "slurmctld" in self._daemons:
            self.run("scancel", f"--user={getpass.getuser()}", check=False)
            time.sleep(0.5)  # the steps are told by the slurmds, which go next
        for name in (*NODES, "slurmctld", "munged"):
            if name in self._daemons:
                self.stop(name)
        for step in left_over(self.folder):
            os.kill(step, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def left_over(folder: Path) -> list[int]:
    """The ids of step daemons that outlived their slurmd (they carry our SLURM_CONF)."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and int(entry.name) != os.getpid()
        and mark in read(entry / "environ")
    ]


def read(path: Path) -> bytes:
    """The file's bytes, none if it is gone or not ours."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(true: Callable[[], bool], what: str, seconds: float = 100) -> None:
    """Wait for a condition; an AssertionError says what did not happen."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)
