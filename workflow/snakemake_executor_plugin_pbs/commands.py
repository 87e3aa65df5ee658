"""The PBS commands. Everything that starts a process is here, nothing of it looks at jobs."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from snakemake_interface_common.exceptions import WorkflowError

from . import listing

# Each waits without limit for a server that hangs.
PATIENCE = {"qsub": 120.0, "qstat": 60.0, "qdel": 120.0, "qselect": 60.0}
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds between attempts to submit
TIMEOUT = 124
UNREACHABLE = (160, 162, 255, TIMEOUT)  # unknown or silent server
UNKNOWN_JOB = 153
HARMLESS = (0, 35, 55, UNKNOWN_JOB, 168)  # job finished, sub-job finished, unknown, exiting
OLDEST = (19, 1, 3)  # first release whose qstat knows -E


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error message in one line."""
        return " ".join(self.err.split()) or f"exit code {self.code}"


def run_command(*argv: str, stdin: str = "") -> Answer:
    """Run a command; never raise for what it answers.

    A session of its own keeps Ctrl-C away from it: a qsub that is interrupted may or may not
    have submitted.
    """
    env = dict(os.environ, TMPDIR=tempfile.gettempdir())  # qsub needs one that exists
    try:
        done = subprocess.run(
            argv,
            input=stdin.encode(),
            capture_output=True,
            timeout=PATIENCE[argv[0]],
            start_new_session=True,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return Answer(TIMEOUT, "", f"{argv[0]}: no answer within {PATIENCE[argv[0]]:.0f} s")
    except OSError as error:
        return Answer(127, "", f"{argv[0]}: {error}")
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Answer(done.returncode, out, err)


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
        if answer.code == 127:
            raise WorkflowError(f"No {name} on PATH: --executor pbs needs the commands of PBS.")
        release = version(answer.out + answer.err)
        if release is None:
            raise WorkflowError(
                f"{name} on PATH is not that of PBS Pro or OpenPBS (it looks like Torque, or the "
                "wrappers that Slurm offers): --executor pbs cannot use it. If this is a Slurm "
                "cluster, use --executor slurm."
            )
        if release and release < OLDEST:
            raise WorkflowError(
                f"This PBS is {'.'.join(map(str, release))}; --executor pbs needs "
                f"{'.'.join(map(str, OLDEST))} or later."
            )


def submit(arguments: list[str], script: str) -> Answer:
    """Call qsub with `script`; on success `out` is the job's id."""
    answer = run_command("qsub", *arguments, stdin=script)
    return Answer(answer.code, answer.out.strip(), answer.err)


def submit_patiently(
    arguments: list[str], script: str, name: str, sleep: Callable[[float], object] = time.sleep
) -> Answer:
    """Like `submit`, but wait for a server that is away.

    Parameters
    ----------
    name
        The job's name, unique in the queue: a qsub without an answer may have submitted.
    sleep
        Waits; gives up early if this returns True.
    """
    answer = submit(arguments, script)
    for pause in PAUSES:
        if answer.code not in UNREACHABLE or sleep(pause):
            break
        try:
            found = own_jobs("-N", name)
        except WorkflowError:
            continue
        answer = Answer(0, found[0], "") if found else submit(arguments, script)
    return answer


def delete(job_ids: list[str]) -> Answer:
    """Remove jobs with one qdel; that some are over already is no error."""
    answer = run_command("qdel", *job_ids) if job_ids else Answer(0, "", "")
    return Answer(0, "", "") if answer.code in HARMLESS else answer


def own_jobs(*selection: str) -> list[str]:
    """Return the ids of this user's unfinished jobs.

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

    def look(self, job_ids: list[str]) -> listing.Listing | None:
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

    def parsed(self, answer: Answer) -> listing.Listing | None:
        """Return what an answer says about jobs."""
        if answer.code not in (0, 35, UNKNOWN_JOB):
            return None
        try:
            parse = listing.parse_json if self.format == "json" else listing.parse_dsv
            return parse(answer.out)
        except ValueError:
            self.format = "dsv"
            return None


def wait_until_gone(job_id: str, patience: float = 60.0) -> None:
    """Wait for a deleted job to be over, so that nothing else writes its files."""
    queue, end = Queue(history=False), time.monotonic() + patience
    while time.monotonic() < end:
        found = queue.look([job_id])
        if found is not None and found.get(job_id, {}).get("job_state", "X") == "X":
            return
        time.sleep(1)
