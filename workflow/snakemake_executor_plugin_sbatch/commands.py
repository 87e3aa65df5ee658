"""The Slurm commands. Everything that starts a process is here, nothing of it judges jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from snakemake_interface_common.exceptions import WorkflowError

from ensemake.submit import environment
from ensemake.submit.calls import ABSENT, TIMEOUT, Answer, call
from ensemake.submit.manager import Listing, Reply

from . import listing

PATIENCE = {"sbatch": 90.0, "squeue": 30.0, "scancel": 60.0, "scontrol": 30.0, "sacct": 30.0}
OLDEST = (20, 11)  # first release that was thought of
COMMANDS = ("sbatch", "squeue", "scancel")

# What people set for the commands at their terminal would change what is asked, or how it is told.
HABITS = re.compile(r"(SQUEUE|SACCT|SCANCEL)_|SBATCH_(ARRAY_INX|WAIT|EXPORT|MEM_PER_\w+)$")
# All that sbatch is given, for it hands it to the controller; jobs source the environment file.
FOR_SBATCH = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|LD_LIBRARY_PATH|TZ|SLURM_CONF|SLURM_CLUSTERS|"
    r"SBATCH_\w+)$"
)
SILENT = re.compile(
    "unable to contact|unable to establish|timed out|zero bytes|unexpected message|refused|"
    "communication|transport endpoint|connection (reset|closed|failure)|standby mode|"
    "authentication",
    re.IGNORECASE,
)
FULL = re.compile(
    "submit limit|policy|temporarily unable|temporarily unavailable|per hour limit|"
    "job array specification|maximum .*jobs?",
    re.IGNORECASE,
)
HARMLESS = re.compile("already completing|already completed|invalid job id", re.IGNORECASE)


def environ_for(command: str) -> dict[str, str]:
    """Return the environment of a command: nothing of the job that this process may be in."""
    return {
        name: value
        for name, value in os.environ.items()
        if not environment.OF_A_JOB.match(name)
        and not HABITS.match(name)
        and (command != "sbatch" or FOR_SBATCH.match(name))
    }


def run(*argv: str, stdin: str = "") -> Answer:
    """Run a command of Slurm."""
    return call(list(argv), PATIENCE[argv[0]], stdin, environ_for(argv[0]))


def require_slurm() -> None:
    """Make sure that the commands are here and not too old.

    Raises
    ------
    WorkflowError
        If they are not.
    """
    for name in COMMANDS:
        answer = run(name, "--version")
        if answer.code == ABSENT:
            raise WorkflowError(f"No {name} on PATH: --executor sbatch needs Slurm's commands.")
        found = re.search(r"(\d+)\.(\d+)", answer.out)
        if found and tuple(map(int, found.groups())) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise WorkflowError(f"This is {answer.out.strip()}; --executor sbatch needs {oldest}.")


def max_array_size() -> int | None:
    """Return how many jobs an array may have, None if Slurm does not say."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", run("scontrol", "show", "config").out, re.M)
    return int(found[1]) if found else None


def submitted_id(text: str) -> str | None:
    """Return the id from what sbatch prints: ``12`` or ``12;cluster``; sites may add lines."""
    ids = re.findall(r"^(\d+)(?:;.*)?$", text, re.MULTILINE)
    return ids[-1] if ids else None


def reply_in(answer: Answer) -> Reply:
    """Tell what an sbatch that failed means."""
    if answer.code == TIMEOUT or SILENT.search(answer.err):
        return Reply.SILENT
    return Reply.FULL if FULL.search(answer.err) else Reply.REFUSED


def squeue(*more: str) -> Listing | None:
    """Return this user's jobs, each of an array's as one; None without an answer.

    Never those of given ids: one that is unknown would spoil the answer about all. In all
    partitions, also hidden ones.
    """
    answer = run("squeue", "--me", "--all", "--noheader", "--array", "-o", listing.FORMAT, *more)
    return None if answer.code else listing.parse(answer.out)


def sacct(job_ids: Iterable[str]) -> Listing | None:
    """Return what the accounting knows of jobs, perhaps late; None if there is no accounting."""
    words = ("-n", "-P", "-X", "-o", "JobID,State", "-j", ",".join(job_ids))
    answer = run("sacct", *words)
    return None if answer.code else listing.parse(answer.out)


def scancel(job_ids: list[str]) -> str:
    """Remove jobs and return the complaint; that some are over already is none."""
    answer = run("scancel", *job_ids)
    lines = [line for line in answer.err.splitlines() if line and not HARMLESS.search(line)]
    return " ".join(lines) if answer.code and (lines or not answer.err) else ""
