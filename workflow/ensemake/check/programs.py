"""Programs of an entity, what launches them, and batches of its members."""

import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from ensemake.batch.allocation import launcher_fault
from ensemake.check.texts import command_paths
from ensemake.config.faults import KeyedError, KeyPath, Problem
from ensemake.config.run import RunSettings
from ensemake.config.schema import Model
from ensemake.member.command import program_fault
from ensemake.member.files import sources

COLON = ("auto", "srun", "mpirun", "mpiexec", "aprun")  # launchers of several programs
# What a batch keeps to when it places members, and what does not limit how many fit.
PLACED = ("nodes", "tasks", "cpus_per_task", "mem_mb", "mem_mb_per_cpu", "gpu", "runtime")


def _launch(where: KeyPath, run: RunSettings, entity: Model) -> Iterator[Problem]:
    """Several programs in one launch: the launcher can, and there is a task for each."""
    tasks = entity.resources.get("tasks", 1)
    if not run.mpmd:
        return
    if run.container is not None:
        yield (*where, "container"), "cannot be combined with mpmd"
    if run.run_command not in COLON and Path(run.run_command).name not in COLON:
        message = f"cannot start several programs at once; use one of {', '.join(COLON)}"
        yield (*where, "run_command"), message
    for place, other in enumerate(run.mpmd):
        if other.run_args and Path(run.run_command).name == "srun":
            message = "srun starts all programs as one step: put them into run_settings.run_args"
            yield (*where, "mpmd", place, "run_args"), message
    wanted = 1 + sum(other.tasks for other in run.mpmd)
    if not isinstance(tasks, str) and tasks < wanted:
        message = f"the programs want at least {wanted} tasks; set resources: {{tasks: {wanted}}}"
        yield (*where, "mpmd"), message


def batch_problems(entity: Model) -> Iterator[Problem]:
    """What limits how many members fit is respected, or refused."""
    for name, value in entity.resources.items() if entity.batch_settings is not None else ():
        is_amount = not isinstance(value, str) or "{" in value or name in ("mem", "disk")
        if is_amount and name not in PLACED and not name.startswith(("slurm_", "pbs_")):
            instead = "use mem_mb (megabytes)" if name == "mem" else "take it out"
            message = f"is not kept to in a batch; {instead}, or leave out batch_settings"
            yield ("resources", name), message


def program_problems(entity: Model, base: Path) -> Iterator[Problem]:
    """Yield programs that are not there, and launchers that do not know them."""
    try:
        own = [source.target for source in sources(entity.files, base)]
    except (KeyedError, OSError):  # told elsewhere
        own = []
    for where, run in command_paths(entity):
        yield from (told := list(_launch(where, run, entity)))
        if run.container is not None:
            if not (shutil.which("apptainer") or shutil.which("singularity")):
                message = "neither apptainer nor singularity is on PATH; install or load one"
                yield (*where, "container"), message
        elif not _is_prepared(entity):
            if not told and (why := launcher_fault(run.run_command, os.environ)):
                yield (*where, "run_command"), why
            yield from _program(where, run, own, base)


def _is_prepared(entity: Model) -> bool:
    """Tell whether a preamble may bring the programs."""
    batch = entity.batch_settings
    return bool(entity.preamble or (batch and batch.preamble))


def _program(
    where: KeyPath, run: RunSettings, own: Collection[str], base: Path
) -> Iterator[Problem]:
    places = [(("mpmd", place), other.exe) for place, other in enumerate(run.mpmd)]
    for path, exe in [((), run.exe), *places]:
        fault = program_fault(exe, own, base)
        if fault:
            yield (*where, *path, "exe"), _one_program(exe, own, base) or fault


def _one_program(exe: str, own: Collection[str], base: Path) -> str | None:
    """Say how to write a program with arguments."""
    first, *arguments = exe.split() or [exe]
    if not arguments or program_fault(first, own, base):
        return None
    return f"names one program; write exe: {first} and exe_args: {json.dumps(arguments)}"
