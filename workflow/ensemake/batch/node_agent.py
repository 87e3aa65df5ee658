"""Members on the other nodes of an allocation: an agent on each, told by lines over a pipe.

An agent says ``{}`` when it is up, gets a line for each member to start, and answers with a line
for each that ended. It ends its members and itself when its input ends: then its leader is gone.
"""

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ensemake.batch.allocation import Node
from ensemake.batch.processes import End, Processes, Task
from ensemake.store.link import Link
from ensemake.store.voucher import Voucher

# Not by PYTHONPATH, which is the members' own.
START = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); " + (
    "from ensemake.batch.node_agent import serve; sys.exit(serve())"
)
AGENT = [sys.executable, "-c", START]
# What a job step inherits from the steps and options around it and would take for its own.
# What identifies the job stays, and so does where Slurm's configuration is.
KEPT = re.compile(
    r"SLURM_(CONF|CLUSTER_NAME|WORKING_CLUSTER|SUBMIT_(DIR|HOST)|ARRAY_(JOB|TASK)_ID"
    r"|JOB_?ID|JOB_(NAME|PARTITION|ACCOUNT|USER))"
)


class Agent:
    """The leader's end of an agent.

    Parameters
    ----------
    node, environ
        Where, and the environment of the job.
    log
        Where an agent under PBS, and the members there, write to. Their ``ssh`` may be gone before
        them, and who then says a word through it is killed before a status is written.
    """

    def __init__(self, node: Node, environ: Mapping[str, str], log: Path) -> None:
        self.node, self.log = node.name, log
        self.ready, self.owed, self.fault = False, 0, ""
        # In a process group of its own: Ctrl-C is for the leader, who tells the agents.
        self.process = subprocess.Popen(
            command(node, environ, log, AGENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._answers = self.process.stdin, Lines(self.process.stdout.fileno())
        self._say({} if "SLURM_JOB_ID" in environ else dict(environ))

    def fileno(self) -> int:
        """Return what is readable when the agent has something to say."""
        return self._answers.descriptor

    def start(self, task: Task) -> None:
        """Have the member started there."""
        self._say(asdict(task))

    def vouch(self, link: Link) -> None:
        """Have programs there let into a store; it is `owed`, and `fault` says why it cannot be."""
        self.owed += 1
        self._say({"store": asdict(link)})

    def stop(self) -> None:
        """Have all members there ended, and the agent with them."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def dismiss(self, patience: float) -> None:
        """Wait for the end of an agent that was told to stop, at most so many seconds."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
        if not self.last_words():
            self.log.unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return where the agent or members there left a message, if they did."""
        spoke = self.log.exists() and self.log.stat().st_size
        return f", see {self.log}" if spoke else ""

    def ended(self) -> list[End] | None:
        """Return the members that ended there, ``None`` if the agent is gone."""
        lines = self._answers.read()
        if lines is None:
            return None
        self.ready = self.ready or bool(lines)
        answers = [json.loads(line) for line in lines]
        self.owed -= sum("store" in answer for answer in answers)
        self.fault = next((a["fault"] for a in answers if "fault" in a), self.fault)
        return [End(**answer) for answer in answers if "number" in answer]

    def _say(self, message: Mapping[str, object]) -> None:
        # If the agent is gone or going, the end of its answers will say what is lost.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()


class Lines:
    """The lines that come out of a pipe, as they come."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""

    def read(self) -> list[bytes] | None:
        """Return the lines that are complete by now, ``None`` at the end."""
        data = os.read(self.descriptor, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines if data else None


def command(node: Node, environ: Mapping[str, str], log: Path, program: Sequence[str]) -> list[str]:
    """Return the command that starts a program of ours on a node of the Slurm or PBS job."""
    if "SLURM_JOB_ID" in environ:
        return [*_srun(node), *program]
    lines = [f"cd {shlex.quote(os.getcwd())}", f"exec 2>>{shlex.quote(str(log))}"]
    attach = shutil.which("pbs_attach", path=environ.get("PATH"))
    if attach:  # puts the agent under the care of PBS: counted, and ended with the job
        job = shlex.join([attach, "-j", environ.get("PBS_JOBID", ""), *program])
        lines += [f"test -x {shlex.quote(attach)} && exec {job}"]
    there = shlex.join(["/bin/sh", "-c", "; ".join([*lines, f"exec {shlex.join(program)}"])])
    return ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=30", node.name, there]


def _srun(node: Node) -> list[str]:
    """All of the node, shared with the steps that members start there themselves."""
    return [
        *("srun", "--overlap", f"--nodelist={node.name}", "--nodes=1", "--ntasks=1"),
        *(f"--cpus-per-task={node.cpus}", "--mem=0", "--mpi=none", "--cpu-bind=none"),
        *([f"--gpus-per-node={node.gpus}"] if node.gpus else []),
    ]


def forget_step() -> None:
    """Remove from our environment what tells members and their ``srun`` of another step."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SRUN_", "PMI")) and not KEPT.fullmatch(name):
            del os.environ[name]


def serve() -> int:
    """Be the agent of a node: the leader speaks on stdin and hears on stdout."""
    processes, orders = Processes(), Lines(sys.stdin.fileno())
    forget_step()
    _tell({})
    sources: set[int | socket.socket] = {orders.descriptor, processes.wake}
    while orders.descriptor in sources or len(processes):
        ready, _, _ = select.select(sources, [], [])
        if processes.wake in ready and processes.signals():
            processes.stop()
        if orders.descriptor in ready and not _obey(orders.read(), processes):
            sources.remove(orders.descriptor)
            processes.stop()
        for end in processes.ended():
            _tell(asdict(end))
    return 0


def _tell(what: Mapping[str, object]) -> None:
    """Without a leader members still have to end, and to be waited for."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


def _vouch(link: Link) -> None:
    try:
        Voucher(link)
        _tell({"store": link.port})
    except OSError as error:
        _tell({"fault": f"no way to it on {socket.gethostname()}: {error}"})


def _obey(lines: list[bytes] | None, processes: Processes) -> bool:
    """Start the members; the first line, our environment, has no number. False at the end."""
    for line in lines or []:
        order = json.loads(line)
        if "number" in order:
            processes.start(Task(**order))
        elif "store" in order:
            _vouch(Link(**order["store"]))
        else:
            os.environ.update(order)
    return lines is not None
