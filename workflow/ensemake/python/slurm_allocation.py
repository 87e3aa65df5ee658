"""Allocations of Slurm that a script asks for, runs in, and gives back."""

import os
import re
import subprocess
from collections.abc import Mapping

from ensemake.errors import AllocationError, WrongValueError
from ensemake.member.launcher_options import OptionValue, minutes
from ensemake.member.launchers import option_words

ARGUMENTS = {
    **{"N": "nodes", "nodes": "nodes", "t": "time", "time": "time", "A": "account"},
    "account": "account",
}
KEPT = ("SLURM_CONF",)  # where Slurm is found; all else is of the allocation around this process


def get_allocation(
    nodes: int = 1,
    time: str | None = None,
    account: str | None = None,
    options: Mapping[str, OptionValue] | None = None,
) -> str:
    """Ask Slurm for nodes, wait until they are given, and return the allocation's id.

    Parameters
    ----------
    nodes
        How many.
    time
        Its time limit, HH:MM:SS.
    account
        Whom to charge.
    options
        Further options of salloc; ``None`` for a bare flag.

    Raises
    ------
    AllocationError
        If Slurm does not give them.
    WrongValueError
        If an option is an argument here.
    """
    given = options or {}
    for name in given.keys() & ARGUMENTS.keys():
        raise WrongValueError(f"options: {name} is the argument {ARGUMENTS[name]}")
    named = {"nodes": int(nodes), "time": time and minutes(time), "account": account}
    words = option_words("srun", {**{k: v for k, v in named.items() if v}, **given})
    told = _asked("salloc", "--no-shell", "--job-name=ensemake", *words)
    found = re.search(r"Granted job allocation (\d+)", told)
    if found is None:
        raise AllocationError(f"salloc told no id: {told.strip()}")
    return found[1]


def release_allocation(alloc_id: str) -> None:
    """Give an allocation back.

    Raises
    ------
    AllocationError
        If Slurm does not know it.
    """
    told = _asked("scancel", "--verbose", str(alloc_id))
    if "error" in told:  # its exit code is 0 all the same, and without --verbose it is silent
        raise AllocationError(told.strip())


def _asked(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise AllocationError(f"no {command[0]} on PATH: there is no Slurm here") from None
    if done.returncode:
        raise AllocationError(f"{command[0]}: {(done.stderr + done.stdout).strip()}")
    return done.stderr + done.stdout


def step_environ(alloc_id: str) -> dict[str, str]:
    """Return the environment of a process whose steps are to run in an allocation."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in KEPT}
    return {**own, "SLURM_JOB_ID": alloc_id}
