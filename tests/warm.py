"""Snakemake as it is right after `python -m snakemake` has imported what it needs.

A run of a small project takes as long to import as to do all the rest. A process that has
imported already waits here and becomes, by a fork for each, the main process of one run after
another. All that a main process starts is started as ever. Runs that tests kill, stop or look at
from outside are processes of their own (`Project.start`), and all are with ENSEMAKE_COLD=1.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path

IMPORTED = (
    "ensemake.workflow.experiment",
    "ensemake.workflow.run",
    "smart_open",
    "snakemake.profiles",
    "snakemake.report.html_reporter",
    "snakemake_executor_plugin_pbs",
    "snakemake_executor_plugin_sbatch",
    "snakemake_logger_plugin_ensemake",
)
LARGEST = 1 << 20  # bytes of a request
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


def run(
    command: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m snakemake …` to its end, as `subprocess.run` would."""
    if list(command[:3]) != SNAKEMAKE or not _is_like_here(env):
        return subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    request = {"words": command[3:], "cwd": str(cwd), "env": dict(env)}
    server = _server()
    readers, writers = zip(os.pipe(), os.pipe(), strict=True)
    socket.send_fds(server, [json.dumps(request).encode()], writers)
    for number in writers:
        os.close(number)
    with ThreadPoolExecutor(2) as pool:
        out, err = pool.map(_text, readers)
    return subprocess.CompletedProcess(command, int(server.recv(LARGEST)), out, err)


def _is_like_here(env: Mapping[str, str]) -> bool:
    """Whether Python would begin there as it did here."""
    theirs, ours = (
        {name: value for name, value in one.items() if name.startswith(("PYTHON", "LD_"))}
        for one in (env, os.environ)
    )
    return theirs == ours and "ENSEMAKE_COLD" not in env


def _text(reader: int) -> str:
    with open(reader) as file:
        return file.read()


@cache
def _server() -> socket.socket:
    """Start the process that waits; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(its.fileno())]
    process = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
    its.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def serve(client: socket.socket) -> list[str] | None:
    """Fork for each request; the words for Snakemake in the child, None in the end."""
    while True:
        data, files, _, _ = socket.recv_fds(client, LARGEST, 2)
        if not data:
            return None
        with warnings.catch_warnings(action="ignore"):  # of threads: there are none of Python's
            child = os.fork()
        if not child:
            client.close()
            return _become(json.loads(data), files)
        for number in files:
            os.close(number)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        client.send(str(code).encode())


def _become(request: dict[str, object], files: Sequence[int]) -> list[str]:
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
        os.close(file)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(dict(request["env"]))  # type: ignore[call-overload]
    return list(request["words"])  # type: ignore[call-overload]


def main() -> None:
    """Import, wait, and be Snakemake."""
    import snakemake.cli

    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    words = serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        # As `-m` sets them.
        sys.argv = [snakemake.cli.__file__.replace("cli.py", "__main__.py"), *words]
        sys.path[0] = os.getcwd()
        snakemake.cli.main()


if __name__ == "__main__":
    main()
