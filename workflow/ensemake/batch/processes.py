"""Members as processes of this node: started, ended, stopped; none outlives the one who started it.

A new member costs one ``posix_spawn``, its end one ``waitpid``: nothing here is asked in a loop.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemake.batch.allocation import visible_gpus
from ensemake.batch.log import say

LOCK, LOCKED = 9, "ENSEMAKE_LOCKED"  # how run.sh is told that its lock is held: see runscript
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>


@dataclass(frozen=True)
class Task:
    """A member to run: its place in the plan, its directory, its GPUs (0 is the node's first).

    ``command`` is what ends as its run.sh, if that is not started at once.
    """

    number: int
    directory: str
    digest: str
    environ: Mapping[str, str]
    gpus: Sequence[int] = ()
    command: Sequence[str] = ()


@dataclass(frozen=True)
class End:
    """How a member ended; the exit code as in a shell, 128 + number for a signal."""

    number: int
    exit_code: int | None
    status: str


class Processes:
    """The members that run on this node. One such object in a process, it takes all its children.

    Wait for `wake` to be readable, then `signals` gives the signals that came and `ended` the
    members that ended.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, Task] = {}
        self._ended: list[End] = []
        self._watch, self._watchdog = _watchdog()
        self.wake, self._wake_writer = _wake_pair()
        self.others: set[int] = {self._watchdog}
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)

    def __len__(self) -> int:
        return len(self._tasks) + len(self._ended)

    def start(self, task: Task) -> None:
        """Start the member's run.sh; if that cannot be, it ends at once with exit code 126."""
        try:
            pid = _spawn(task)
        except OSError as error:
            say(f"{task.directory}: {error}")
            self._ended.append(End(task.number, 126, "failed"))
            self._wake_writer.send(b"\0")
            return
        os.write(self._watch, b"+%d\n" % pid)
        self._tasks[pid] = task

    def stop(self) -> None:
        """Ask all members to end; each run.sh passes that on and writes its status."""
        for pid in self._tasks:
            os.kill(pid, signal.SIGTERM)

    def signals(self) -> set[int]:
        """Return the signals that came since the last call."""
        numbers = set(self.wake.recv(4096))
        return numbers - {0, signal.SIGCHLD}

    def ended(self) -> list[End]:
        """Return the members that ended since the last call."""
        ended, self._ended = self._ended, []
        for pid, status in _reaped():
            task = self._tasks.pop(pid, None)
            if task is None:
                continue
            os.write(self._watch, b"-%d\n" % pid)
            ended.append(_end(task, os.waitstatus_to_exitcode(status)))
            if os.WIFSIGNALED(status):
                self._end_orphans(task)
        return ended

    def _end_orphans(self, task: Task) -> None:
        """End what a killed run.sh left running: it would hold the member's lock, and CPUs."""
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        if children.exists():
            pids = {int(pid) for pid in children.read_text(encoding="ascii").split()}
            for pid in pids - self._tasks.keys() - self.others:
                if _belongs(pid, task.directory):
                    _kill_group(pid)


def _belongs(pid: int, directory: str) -> bool:
    """Tell whether a process is a member's: it inherited its lock, or is in its directory."""
    with contextlib.suppress(OSError):
        if os.path.samefile(f"/proc/{pid}/fd/{LOCK}", os.path.join(directory, ".lock")):
            return True
    with contextlib.suppress(OSError):
        there = os.readlink(f"/proc/{pid}/cwd")
        return os.path.commonpath([there, os.path.realpath(directory)]) == os.path.realpath(
            directory
        )
    return False


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)


def recorded(directory: str) -> dict[str, object]:
    """Return the member's status.json, ``{}`` if there is none to read."""
    try:
        with open(os.path.join(directory, "status.json"), encoding="utf-8") as file:
            status = json.load(file)
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def _spawn(task: Task) -> int:
    words = task.command or ["bash", "-p", os.path.join(task.directory, "run.sh")]
    with locked(task.directory) as lock:
        return os.posix_spawnp(
            words[0],
            list(words),
            {**os.environ, **task.environ, **_gpus(task), **({LOCKED: "1"} if lock else {})},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                *([(os.POSIX_SPAWN_DUP2, lock, LOCK)] if lock else []),
            ],
            setpgroup=0,  # Ctrl-C is for us; we pass it on
            setsigdef=[signal.SIGPIPE],  # Python ignores it, and so would the member
        )


@contextlib.contextmanager
def locked(directory: str) -> Iterator[int | None]:
    """Lock a member for its run.sh, which inherits the descriptor; None if run.sh has to try.

    For run.sh it is a program to start, a quarter of what a member that does nothing costs.
    """
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW  # a link is a program's
        lock = os.open(os.path.join(directory, ".lock"), flags)
    except OSError:
        yield None
        return
    os.set_inheritable(lock, lock == LOCK)  # glibc before 2.29 keeps what is duplicated onto itself
    try:
        yield lock if _lock(lock) else None
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another, or no locks on this file system
        return False
    return True


def _gpus(task: Task) -> dict[str, str]:
    """Our second GPU need not be the machine's second."""
    if not task.gpus:
        return {}
    ours = dict(enumerate(visible_gpus(os.environ)))
    return {"CUDA_VISIBLE_DEVICES": ",".join(ours.get(gpu, str(gpu)) for gpu in task.gpus)}


def _end(task: Task, code: int) -> End:
    """A run.sh that could not write its status was killed; its word counts for the others."""
    if code == 0:
        return End(task.number, 0, "completed")
    status = recorded(task.directory)
    known = status.get("digest") == task.digest and status.get("status") in ("failed", "cancelled")
    named = str(status["status"]) if known else "killed" if code < 0 else "failed"
    return End(task.number, code if code > 0 else 128 - code, named)


def _reaped() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status


def _wake_pair() -> tuple[socket.socket, socket.socket]:
    """A socket that becomes readable when a child ends or somebody asks us to end."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reader, writer


def _watchdog() -> tuple[int, int]:
    """Start a process that ends our members should we be killed; where to write, and its id.

    Telling it of a member is one write. The kernel's own way (PR_SET_PDEATHSIG) must be set in
    the child and wants ``fork``, three times as dear as ``posix_spawn``.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reader)
        return writer, pid
    os.close(writer)
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _watch(reader)
    os._exit(0)


def _watch(reader: int) -> None:
    running: set[int] = set()
    with open(reader, encoding="ascii") as lines:
        for line in lines:
            change = running.add if line[0] == "+" else running.discard
            change(int(line[1:]))
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
