"""The PBS commands. Everything that starts a process is here, nothing of it judges jobs."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass

from snakemake_interface_common.exceptions import WorkflowError

from ensemake.submit.calls import ABSENT, TIMEOUT, Answer, call
from ensemake.submit.manager import Listing

from . import listing

# Each waits without limit for a server that hangs.
PATIENCE = {"qsub": 120.0, "qstat": 60.0, "qdel": 120.0, "qselect": 60.0}
UNREACHABLE = (160, 162, 255, TIMEOUT)  # unknown or silent server
FULL = (38, 39)  # limits of jobs, and of what they ask for together
UNKNOWN_JOB = 153
HARMLESS = (0, 35, 55, UNKNOWN_JOB, 168)  # job finished, sub-job finished, unknown, exiting
OLDEST = (19, 1, 3)  # first release whose qstat knows -E


def run_command(*argv: str, stdin: str = "") -> Answer:
    """Run a command of PBS."""
    return call(list(argv), PATIENCE[argv[0]], stdin)


def version(text: str) -> tuple[int, ...] | None:
    """Return the release from ``pbs_version = 23.06.06``; None if it is another product's text."""
    found = re.search(r"pbs_version\s*=\s*([\d.]*)", text)
    return tuple(int(part) for part in found[1].split(".") if part) if found else None


def require_pbs() -> None:
    """Make sure that the commands are those of PBS Pro or OpenPBS.

    Raises
    ------
    WorkflowError
        If they are missing, too old, or Torque's (also Slurm's imitation of those).
    """
    for name in ("qsub", "qstat"):
        answer = run_command(name, "--version")
        if answer.code == ABSENT:
            raise WorkflowError(f"No {name} on PATH: --executor pbs needs the commands of PBS.")
        release = version(answer.out + answer.err)
        if release is None:
            raise WorkflowError(
                f"{name} on PATH is not that of PBS Pro or OpenPBS (it looks like Torque, or the "
                "wrappers that Slurm offers): --executor pbs cannot use it. If this is a Slurm "
                "cluster, use --executor sbatch."
            )
        if release and release < OLDEST:
            raise WorkflowError(
                f"This PBS is {'.'.join(map(str, release))}; --executor pbs needs "
                f"{'.'.join(map(str, OLDEST))} or later."
            )


def delete(job_ids: list[str]) -> Answer:
    """Remove jobs with one qdel; that some are over already is no error."""
    answer = run_command("qdel", *job_ids) if job_ids else Answer(0, "", "")
    return Answer(0, "", "") if answer.code in HARMLESS else answer


def own_jobs(*selection: str) -> list[str]:
    """Return the ids of this user's unfinished jobs; an array is one.

    Raises
    ------
    WorkflowError
        If PBS gives no answer: submitting without knowing could run everything twice.
    """
    answer = run_command("qselect", "-u", getpass.getuser(), *selection)
    if answer.code:
        raise WorkflowError(f"PBS does not say which jobs are in the queue: {answer.complaint}")
    return answer.out.split()


@dataclass
class Queue:
    """Asks about jobs, one qstat at a time, and remembers what this PBS can answer."""

    history: bool = True
    format: str = "json"

    def look(self, job_ids: list[str]) -> Listing | None:
        """Return the records of those jobs that PBS knows, or None if it gave no answer.

        One process, whatever the number of jobs. An answer that shows that the question has to
        be put differently counts as none; the next call puts it so.
        """
        ids = listing.asked(job_ids)
        flags = ["-E", *(["-x"] if self.history else [])]
        flags += ["-t"] if any("[]" in job_id for job_id in ids) else []
        answer = run_command("qstat", *flags, "-f", "-F", self.format, *ids)
        if listing.HISTORY_OFF in answer.err:
            self.history = False  # with -x such a server tells nothing, not even of running jobs
            return None
        return self.parsed(answer)

    def parsed(self, answer: Answer) -> Listing | None:
        """Return what an answer says about jobs."""
        if answer.code not in (0, 35, UNKNOWN_JOB):
            return None
        try:
            parse = listing.parse_json if self.format == "json" else listing.parse_dsv
            return parse(answer.out)
        except ValueError:
            self.format = "dsv"
            return None
