"""Calls of a workload manager's commands, and patience with those that get no answer."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from snakemake_interface_common.exceptions import WorkflowError

from ensemake.submit.manager import Manager, Queued, Reply, Submission, Submitted

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 5)  # seconds between attempts to submit
FULL_PAUSES = (1.0, 2.0, 4.0, 8.0)  # the same where the queue takes no more
GONE_S = 60.0  # a deleted job may take to be over
TIMEOUT, ABSENT = 124, 127


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


def call(
    argv: list[str], patience: float, stdin: str = "", environ: Mapping[str, str] | None = None
) -> Answer:
    """Run a command; never raise for what it answers.

    A session of its own keeps Ctrl-C away from it: a submission that is interrupted may or may not
    have been made.
    """
    env = dict(os.environ if environ is None else environ)
    env["TMPDIR"] = tempfile.gettempdir()  # qsub needs one that exists
    try:
        done = subprocess.run(
            argv,
            input=stdin.encode(),
            capture_output=True,
            timeout=patience,
            start_new_session=True,
            env=env,
        )
    except subprocess.TimeoutExpired:
        return Answer(TIMEOUT, "", f"{argv[0]}: no answer within {patience:.0f} s")
    except OSError as error:
        return Answer(ABSENT, "", f"{argv[0]}: {error}")
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Answer(done.returncode, out, err)


def submit_patiently(
    manager: Manager,
    submission: Submission,
    known: Collection[str] = (),
    sleep: Callable[[float], object] = time.sleep,
) -> Submitted:
    """Submit, and wait for a manager that is away.

    Parameters
    ----------
    submission
        Its name is unique in the queue: a command without an answer may have submitted.
    known
        Ids of this name that are not meant: earlier attempts, which may be ending.
    sleep
        Waits; gives up early if this returns True.
    """
    answer = manager.submit(submission)
    for pause in PAUSES:
        if answer.reply is not Reply.SILENT or sleep(pause):
            break
        try:
            queued = [job for job in manager.queued(submission.name) if job.job_id not in known]
        except WorkflowError:
            continue
        ids = [job.job_id for job in sorted(queued, key=lambda job: int(job.index or 0))]
        answer = Submitted(Reply.DONE, ids) if ids else manager.submit(submission)
    return answer


def queued_patiently(manager: Manager) -> list[Queued]:
    """Return this user's unfinished jobs; wait for a manager that is away.

    Raises
    ------
    WorkflowError
        If it stays away.
    """
    for pause in PAUSES:
        try:
            return manager.queued()
        except WorkflowError:
            time.sleep(pause)
    return manager.queued()


def wait_until_gone(manager: Manager, job_id: str) -> None:
    """Wait for a deleted job to be over, so that nothing else writes its files."""
    end = time.monotonic() + GONE_S
    while time.monotonic() < end and job_id in {job.job_id for job in queued_patiently(manager)}:
        time.sleep(1)
