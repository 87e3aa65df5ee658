"""Runs of Snakemake, as Python sees them: who runs what is told by the lock of each entity.

A run that Python started takes those locks some seconds later. Until then a file of its own tells
of it, locked from the start: the lock is handed down to Snakemake and ends with it, however it
ends. These files lie in ``<experiment>/.ensemake/started``, beside the runs' logs.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ensemake.errors import RunningError
from ensemake.lock import holder
from ensemake.member.state import is_locked

STOPPED = ".stopped"  # instead of .json
GRACE_S = 30.0  # after an interrupt, before a run is told to end by other means


@dataclass(frozen=True)
class Run:
    """A run of Snakemake: its process, where it runs, what it runs."""

    pid: int
    host: str
    started: str
    entities: list[str]
    file: Path
    log: Path | None = None
    force: bool = False  # completed members run again

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


def folder(experiment: Path) -> Path:
    """Return the folder of an experiment's runs."""
    return experiment / ".ensemake" / "started"


def alive(experiment: Path, entities: Sequence[str] | None = None) -> list[Run]:
    """Return the runs that are under way: all, or those of any of these entities."""
    files = sorted(folder(experiment).glob("*.json"))
    begun = [run for file in files if is_locked(file) and (run := _read(file))]
    ours = {(run.host, run.pid) for run in begun}
    others = [run for run in _holders(experiment) if (run.host, run.pid) not in ours]
    return [
        run
        for run in [*begun, *others]
        if entities is None or not set(entities).isdisjoint(run.entities)
    ]


def _holders(experiment: Path) -> Iterator[Run]:
    """Yield what holds the locks of entities, one by one, whoever started it."""
    for path in sorted((experiment / ".ensemake").glob("*/run.lock")):
        found = holder(path)
        if found and is_locked(path):
            started = datetime.fromisoformat(found.since).astimezone().isoformat()
            yield Run(found.pid, found.host, started, [path.parent.name], path)


def was_stopped(experiment: Path, entity: str) -> bool:
    """Tell whether the last run of an entity was stopped, however far it came."""
    found = map(_read, folder(experiment).glob(f"*{STOPPED}"))
    return any(run and entity in run.entities for run in found)


def _read(file: Path) -> Run | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # being written
        return None
    log = data.pop("log")
    return Run(**data, file=file, log=Path(log) if log else None)


def start(
    command: Sequence[str],
    base: Path,
    experiment: Path,
    entities: Sequence[str],
    prepare: Callable[[], object],
    background: bool,
    environ: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start Snakemake in a session of its own, which outlives this process and its terminal.

    Parameters
    ----------
    command
        Its words.
    base
        The working directory.
    experiment
        The experiment's folder.
    entities
        Names of what it is to run.
    prepare
        Called when it is certain that nobody else runs these entities.
    background
        Write to a log file; else to where this process writes.
    environ
        Its environment; by default that of this process.

    Raises
    ------
    RunningError
        If one of the entities is being run.
    """
    folder(experiment).mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(experiment):
        for run in alive(experiment, entities):
            raise RunningError(f"{', '.join(run.entities)}: being run already by {run}")
        _forget_old(experiment, entities)
        prepare()
        stamp = f"{time.strftime('%Y-%m-%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns()}"
        return _spawn(command, base, folder(experiment) / stamp, entities, background, environ)


@contextmanager
def _one_at_a_time(experiment: Path) -> Iterator[None]:
    with (folder(experiment) / "start.lock").open("a") as file:
        _lock(file.fileno())
        yield


def _lock(descriptor: int) -> None:
    with suppress(OSError):  # a file system without locks: Snakemake's own lock remains
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _forget_old(experiment: Path, entities: Sequence[str]) -> None:
    """Remove the records of ended runs; of stopped ones, those of which this run tells all."""
    for file in folder(experiment).glob("*.json"):
        if not is_locked(file):
            file.unlink(missing_ok=True)
    for file in folder(experiment).glob(f"*{STOPPED}"):
        run = _read(file)
        if run is None or set(run.entities) <= set(entities):
            file.unlink(missing_ok=True)


def _spawn(
    command: Sequence[str],
    base: Path,
    stem: Path,
    entities: Sequence[str],
    background: bool,
    environ: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    file, log = stem.with_suffix(".json"), stem.with_suffix(".log") if background else None
    with file.open("x") as record, open(log or os.devnull, "ab") as output:
        _lock(record.fileno())
        process = subprocess.Popen(
            command,
            cwd=base,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output if background else None,
            stderr=output if background else None,
            start_new_session=True,
            pass_fds=[record.fileno()],
            preexec_fn=_heed_interrupts,
        )
        started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        run = Run(
            process.pid, socket.gethostname(), started, list(entities), file, log, _forces(command)
        )
        data = {key: value for key, value in asdict(run).items() if key != "file"}
        json.dump({**data, "log": str(log) if log else None}, record)
    return process


def _forces(command: Sequence[str]) -> bool:
    return not {"--forcerun", "-R", "--forceall", "-F"}.isdisjoint(command)


def _heed_interrupts() -> None:
    """A script started with ``&`` ignores SIGINT, and its children would: `stop` needs it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop(run: Run) -> None:
    """End a run and the jobs it started: as Ctrl-C does, then harder.

    Raises
    ------
    RunningError
        If it runs on another machine, where signals of this one do not reach it.
    """
    if run.host != socket.gethostname():
        raise RunningError(f"{', '.join(run.entities)}: run by {run}; stop it there")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            _signal(run.pid, number)
        except ProcessLookupError:
            break
        if _ended(run):
            break
    if run.file.suffix == ".json":
        with suppress(FileNotFoundError):
            run.file.rename(run.file.with_suffix(STOPPED))


def _signal(pid: int, number: signal.Signals) -> None:
    """Signal a run's process group, as a terminal does; the run alone if that is ours as well."""
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:  # what it started may live
        group = pid
    if group == os.getpgrp():
        os.kill(pid, number)
    else:
        os.killpg(group, number)


def _ended(run: Run) -> bool:
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until:
        if not is_locked(run.file):
            return True
        time.sleep(0.05)
    return False


def wait(run: Run, interval: float = 0.5) -> None:
    """Wait for the end of a run, whoever started it."""
    while is_locked(run.file):
        time.sleep(interval)
