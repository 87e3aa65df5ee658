"""Snakemake and ensemake's scripts as they are right after Python has imported what they need.

A run of a small project imports for longer than it works. So a process that has imported all of it
waits here, and by a fork becomes the main process of a run, or a script that this run starts, with
their words, folder, environment and files. Members, batches, what they start, and all under a
workload manager are processes as ever. So are runs that tests kill, stop or look at from
outside (`Project.start`), and everything with ENSEMAKE_COLD=1.
"""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

BEGIN = ("PYTHON", "LD_", "LC_", "LANG")  # variables that Python looks at when it begins
LARGEST = 1 << 20  # bytes of a request
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
IMPORTED = (
    "snakemake.cli",
    "snakemake.profiles",
    "snakemake.report.html_reporter",
    "smart_open",
    "pandas",
    "snakemake_executor_plugin_members",
    "snakemake_executor_plugin_pbs",
    "snakemake_executor_plugin_sbatch",
    "snakemake_logger_plugin_ensemake",
    "ensemake.workflow.experiment",
    "ensemake.workflow.run",
    "ensemake.member.generate",
    "ensemake.results.collect",
    "ensemake.results.plot_files",
    "ensemake.show.page",
    "click",
)
# What a run has in place of its Python. Quick to start: what it imports is built in.
STAND_IN = """\
#!{python} -SE
import _socket, marshal, os, sys
words = sys.argv[1:]
is_script = "/scripts/" in words[0] and not words[0].endswith(("/batch.py", "/gather.py"))
if not is_script and words[:3] != ["-P", "-m", "ensemake.cli"]:
    os.execv({python!r}, [{python!r}, *words])
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
server.connect({address!r})
os.umask(umask := os.umask(0))
request = dict(words=words, cwd=os.getcwd(), env=dict(os.environ), umask=umask, python={python!r})
files = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)
server.sendmsg([marshal.dumps(request)], [rights])
code = int(server.recv(16) or 1)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@dataclass(frozen=True)
class Server:
    """Where the process that waits listens, and what stands in for Python in its runs."""

    address: str
    stand_in: str


def run(
    command: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m snakemake …` to its end, as `subprocess.run` would."""
    if list(command[:3]) != SNAKEMAKE or not _is_like_here(env):
        return subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    server = _server()
    is_local = any(word.endswith("/profiles/local") for word in command)
    os.umask(umask := os.umask(0))
    request = {
        "words": list(command[1:]),
        "cwd": str(cwd),
        "env": dict(env),
        "umask": umask,
        "python": server.stand_in if is_local else sys.executable,
    }
    (out, its_out), (err, its_err) = os.pipe(), os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line, open(os.devnull) as null:
        line.connect(server.address)
        socket.send_fds(line, [marshal.dumps(request)], [null.fileno(), its_out, its_err])
        os.close(its_out)
        os.close(its_err)
        with ThreadPoolExecutor(2) as pool:
            texts = list(pool.map(_text, (out, err)))
        return subprocess.CompletedProcess(command, int(line.recv(16)), *texts)


def _is_like_here(env: Mapping[str, str]) -> bool:
    """Tell whether Python would begin there as it did here."""
    theirs, ours = (
        {name: value for name, value in one.items() if name.startswith(BEGIN)}
        for one in (env, os.environ)
    )
    return theirs == ours and "ENSEMAKE_COLD" not in env


def _text(reader: int) -> str:
    with open(reader) as file:
        return file.read()


@cache
def _server() -> Server:
    """Start the process that waits; it ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="ensemake-warm-"))
    address, stand_in = str(folder / "socket"), folder / "python"
    stand_in.write_text(STAND_IN.format(python=sys.executable, address=address))
    stand_in.chmod(0o755)
    end, its_end = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(address)
        listening.listen()
        files = (listening.fileno(), end)
        command = [sys.executable, __file__, *map(str, files)]
        process = subprocess.Popen(command, pass_fds=files, stdin=subprocess.DEVNULL)
    os.close(end)
    for step in (lambda: shutil.rmtree(folder), process.wait, lambda: os.close(its_end)):
        atexit.register(step)  # called from the last to the first
    return Server(address, str(stand_in))


# ---- in the process that waits ----


def serve(listening: socket.socket, end: int) -> dict[str, Any] | None:
    """Fork for each request, and return it in the child; None in the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits for an answer heeds it
    while end not in (ready := select.select([listening, end], [], [])[0]):
        line, _ = ready[0].accept()
        if not _fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            os.close(end)
            return _answer(line)
        line.close()
    return None


def _fork() -> int:
    with warnings.catch_warnings(action="ignore"):  # there are no threads of Python's
        return os.fork()


def _answer(line: socket.socket) -> dict[str, Any]:
    """Have a child do it and tell its exit code; end it if nobody waits for it any more."""
    data, files, _, _ = socket.recv_fds(line, LARGEST, 3)
    child = _fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        line.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        return dict(marshal.loads(data))
    for file in files:
        os.close(file)
    if line in select.select([line, os.pidfd_open(child)], [], [])[0]:
        os.kill(child, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line.send(str(code).encode())
    os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Do what Python does with these words."""
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None  # to be asked anew
    sys.executable = request["python"]
    words = request["words"]
    is_safe, words = words[0] == "-P", words[words[0] == "-P" :]
    if words[0] == "-m":
        sys.path[:1] = [] if is_safe else [os.getcwd()]
        sys.argv = words[1:]
        runpy.run_module(f"{words[1]}.__main__" if words[1] == "snakemake" else words[1],
                         run_name="__main__", alter_sys=True)  # fmt: skip
    else:
        sys.path[0] = str(Path(words[0]).parent)
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


def main() -> None:
    """Import, wait, and become what is asked for."""
    listening, end = map(int, sys.argv[1:])
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    request = serve(socket.socket(fileno=listening), end)
    if request is not None:
        become(request)


if __name__ == "__main__":
    main()
