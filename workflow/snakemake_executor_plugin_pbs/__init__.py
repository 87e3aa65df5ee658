"""Snakemake executor for PBS Professional and OpenPBS."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from . import commands, environment, jobscript, leftovers, listing, names, plain
from .interval import Interval
from .settings import ExecutorSettings, common_settings
from .ticket import Ticket, batches
from .verdict import JobEnd, Verdict, verdict

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


def current_umask() -> int:
    """Return this process's umask; there is no way to ask but to set it."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read: environments hold secrets."""
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


class Executor(RemoteExecutor):  # type: ignore[misc]
    """Submits with qsub, asks with one qstat for all jobs, cancels with one qdel."""

    # The base class starts its polling thread before __post_init__.
    _interval = Interval(0.1)

    def __post_init__(self) -> None:
        """Check the site and set up the folder."""
        if self.workflow.remote_execution_settings.immediate_submit:
            raise WorkflowError("--executor pbs does not support --immediate-submit.")
        commands.require_pbs()
        remote = self.workflow.remote_execution_settings
        self._interval = Interval(float(remote.seconds_between_status_checks))
        self._queue = commands.Queue()
        self._live: set[str] = set()
        self._states: dict[str, object] = {}
        self._warned: set[str] = set()
        self._leftovers: dict[str, leftovers.Leftover] | None = None
        self._environments: set[Path] = set()
        self._stop = threading.Event()
        # Ctrl-C interrupts the main thread, not a qsub whose answer names a job to remove.
        self._submitter = ThreadPoolExecutor(1)
        self._umask = current_umask()
        self._workdir = Path(self.workflow.workdir_init).absolute()
        self._set_up_folder()

    def _set_up_folder(self) -> None:
        self._folder = self._workdir / self.workflow.executor_settings.logdir
        # PBS does not make it: the output would be lost, or the job held for ever.
        self._folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _environment(self) -> Path:
        """The environment of jobs: that at the first submission, which `onstart` may have set."""
        text = environment.shell_text({**os.environ, **self.envvars()})
        path: Path = self._folder / f"environment.{names.digest([text])}"
        write_private(path, text)
        self._environments.add(path)
        return path

    # Submission

    def run_jobs(self, jobs: list[Any]) -> None:
        """Submit jobs, one by one or as arrays."""
        if self._leftovers is None:
            self._leftovers = leftovers.in_queue(self._folder, self._queue)
        tickets = self._wanted(jobs)
        if not self.workflow.executor_settings.array_jobs:
            for ticket in tickets:
                self._submit([ticket])
            return
        for batch in batches(list(tickets), self.workflow.executor_settings.array_limit):
            self._submit(batch)

    def run_job(self, job: Any) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def _wanted(self, jobs: Iterable[Any]) -> Iterator[Ticket]:
        """Announce jobs and yield those to be submitted, their scripts written."""
        for job in jobs:
            self.run_job_pre(job)
            try:
                ticket = Ticket.of(job, self._folder, self._workdir)
                if not self._taken_over(ticket):
                    self._write(ticket)
                    yield ticket
            except (ValueError, OSError, WorkflowError) as error:
                self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted: {error}. ")

    def _taken_over(self, ticket: Ticket) -> bool:
        """Follow the job that an earlier run submitted for this, if it still serves."""
        left = (self._leftovers or {}).pop(ticket.name, None)
        if leftovers.serves(ticket.paths, ticket.fingerprint, ticket.changing_inputs):
            left = left or leftovers.finished(ticket.paths, map(str, ticket.job.output))
            if left:
                self.logger.info(f"Taking over PBS job {left.job_id} of an earlier run.")
                self._environments.update(jobscript.environment_in(ticket.paths.script))
                self._follow(ticket, left.job_id, left.log)
            return left is not None
        if left:
            self.logger.info(f"Removing PBS job {left.job_id} of an earlier run: out of date.")
            commands.delete([left.job_id])
            commands.wait_until_gone(left.job_id)
        return False

    def _write(self, ticket: Ticket) -> None:
        """Write the script of a job, and remove what an earlier job of this name left."""
        paths = ticket.paths
        body, files = self._body(ticket)
        for path in (paths.marker, paths.reason):
            path.unlink(missing_ok=True)
        text = jobscript.job_script(
            body, ticket.fingerprint, paths, self._environment, self._workdir, self._umask
        )
        for path, content in {**files, paths.script: text}.items():
            path.write_text(content)

    def _body(self, ticket: Ticket) -> tuple[str, dict[Path, str]]:
        """Return the commands of a job, and files they need."""
        job = ticket.job
        if self.workflow.executor_settings.full_jobs or not plain.is_plain(job, self.workflow):
            return self.format_job_exec(job), {}
        self.workflow.async_run(job.check_protected_output())
        return plain.body(job, self.workflow, ticket.paths.script)

    def _submit(self, batch: list[Ticket]) -> None:
        """Submit tickets as one job, or as an array if they are several."""
        name = batch[0].name
        if len(batch) > 1:
            name = names.job_name(f"{batch[0].job.name}-array", [t.name for t in batch])
            self._link_scripts(name, batch)
        answer = self._submitter.submit(self._qsub, name, batch).result()
        for index, ticket in enumerate(batch):
            job_id = answer.out.replace("[]", f"[{index}]")
            log = leftovers.log_of(self._folder, name, str(index) if len(batch) > 1 else "")
            if answer.code:
                message = f"qsub failed: {answer.complaint}. "
                self.report_job_error(SubmittedJobInfo(ticket.job), msg=message)
            else:
                self.logger.info(f"Job {ticket.job.jobid} is PBS job {job_id} (log: {log}).")
                self._follow(ticket, job_id, log)

    def _link_scripts(self, name: str, batch: list[Ticket]) -> None:
        """Give the scripts of an array's sub-jobs the names by which the launcher finds them."""
        for index, ticket in enumerate(batch):
            link = self._folder / f"{name}.{index}.sh"
            link.unlink(missing_ok=True)
            link.symlink_to(ticket.paths.script.name)

    def _qsub(self, name: str, batch: list[Ticket]) -> commands.Answer:
        """Call qsub and note the job's id at once, for `cancel`."""
        array = len(batch) > 1
        log = leftovers.log_of(self._folder, name, "^array_index^" if array else "")
        words = ["-N", name, "-j", "oe", "-o", str(log), "-S", "/bin/bash", "-C", ""]
        words += ["-W", f"umask={self._umask:03o}"]
        words += ["-J", f"0-{len(batch) - 1}"] if array else []
        answer = commands.submit_patiently(
            words + batch[0].arguments,
            jobscript.launcher(self._folder / name),
            name,
            self._stop.wait,
        )
        if not answer.code:
            self._live.update(answer.out.replace("[]", f"[{i}]") for i in range(len(batch)))
        return answer

    def _follow(self, ticket: Ticket, job_id: str, log: Path) -> None:
        """Hand a job in the queue over to polling."""
        self._live.add(job_id)
        self._interval.after(changed=True)
        aux = {"ticket": ticket, "log": log, "missing": None}
        self.report_job_submission(SubmittedJobInfo(ticket.job, job_id, aux))

    # Status

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Ask PBS once about all jobs; report those that are over and yield the others."""
        if not active_jobs:
            return
        found = self._queue.look([str(info.external_jobid) for info in active_jobs])
        self._note_silence(found)
        verdicts = [(info, self._judged(info, found)) for info in active_jobs]
        self._note_changes(verdicts, found)
        hopeless = [info for info, judged in verdicts if judged.outcome is JobEnd.HOPELESS]
        commands.delete([str(info.external_jobid) for info in hopeless])
        for info, judged in verdicts:
            if judged.outcome is JobEnd.WAIT:
                yield info
            else:
                self._report(info, judged)

    def _judged(self, info: SubmittedJobInfo, found: listing.Listing | None) -> Verdict:
        """Return what has become of a job."""
        if found is None or info.aux is None:
            return Verdict(JobEnd.WAIT)
        record = listing.record_of(found, str(info.external_jobid))
        self._tell(record or {}, str(info.external_jobid))
        judged = verdict(record, self._marker(info))
        return self._vanished(info) if judged.outcome is JobEnd.VANISHED else judged

    def _marker(self, info: SubmittedJobInfo) -> int | None:
        """Return the exit code that a job has written down."""
        assert info.aux is not None
        try:
            text = info.aux["ticket"].paths.marker.read_text()
        except OSError:
            return None
        return jobscript.code_in_marker(text, str(info.external_jobid))

    def _vanished(self, info: SubmittedJobInfo) -> Verdict:
        """Give the marker of a job that PBS has forgotten time to arrive."""
        assert info.aux is not None
        info.aux["missing"] = info.aux["missing"] or time.monotonic()
        patience = self.workflow.execution_settings.latency_wait
        if time.monotonic() - info.aux["missing"] < patience:
            return Verdict(JobEnd.WAIT)
        return Verdict(
            JobEnd.FAILURE,
            "unknown to PBS and without an exit code: deleted, or its node was lost",
        )

    def _tell(self, record: listing.Record, job_id: str) -> None:
        """Tell the user, once, what keeps a job waiting if it is not just the other jobs."""
        comment = " ".join(str(record.get("comment", "")).split())
        odd = record.get("job_state") == "H" or "not started" in comment
        if odd and comment not in self._warned:
            self._warned.add(comment)
            self.logger.warning(f"PBS job {job_id} is waiting: {comment or 'held'}")

    def _note_silence(self, found: listing.Listing | None) -> None:
        """Say once that the server does not answer, and once that it does again."""
        away = "PBS gives no answer about the jobs; asking again."
        if found is not None:
            self._warned.discard(away)
        elif away not in self._warned:
            self._warned.add(away)
            self.logger.info(away)

    def _note_changes(
        self,
        verdicts: list[tuple[SubmittedJobInfo, Verdict]],
        found: listing.Listing | None,
    ) -> None:
        """Ask more rarely while nothing changes."""
        states = {job_id: record.get("job_state") for job_id, record in (found or {}).items()}
        over = any(judged.outcome is not JobEnd.WAIT for _, judged in verdicts)
        self._interval.after(changed=over or (found is not None and states != self._states))
        self._states = states

    def _report(self, info: SubmittedJobInfo, judged: Verdict) -> None:
        """Tell Snakemake about the end of a job and clear its files away."""
        assert info.aux is not None
        ticket, log = info.aux["ticket"], info.aux["log"]
        self._live.discard(str(info.external_jobid))
        ticket.paths.marker.unlink(missing_ok=True)
        if judged.outcome is JobEnd.SUCCESS:
            self._clear(ticket, log)
            self.report_job_success(info)
            return
        ticket.paths.reason.write_text(judged.reason + "\n")
        message = f"PBS job {info.external_jobid}: {judged.reason}. "
        self.report_job_error(info, msg=message, aux_logs=[str(log)])

    def _clear(self, ticket: Ticket, log: Path) -> None:
        """Remove the files of a job that ended well, but no output it may have written."""
        script = ticket.paths.script
        for path in (script, script.with_name(script.name + ".cmd"), log.with_suffix(".sh")):
            path.unlink(missing_ok=True)
        if log.exists() and not log.stat().st_size:
            log.unlink()

    async def sleep(self) -> None:
        """Wait for the next look at the queue; end early on shutdown or news."""
        start = time.monotonic()
        while self.wait and time.monotonic() - start < self._interval.seconds:
            await asyncio.sleep(0.1)

    # End

    def cancel(self) -> None:
        """Remove every job from the queue, also one that is just being submitted."""
        self._stop.set()
        self._submitter.shutdown(wait=True)
        self.cancel_jobs([])
        self.shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Remove all jobs; `active_jobs` lacks those that are being looked at."""
        ids = listing.asked(sorted(self._live))
        answer = commands.delete(ids)
        if not answer.code:
            self._live.clear()
            return
        rest = " ".join(ids)
        self.logger.error(f"qdel failed ({answer.complaint}). Remove with: qdel {rest}")

    def shutdown(self) -> None:
        """End polling; jobs of earlier runs that nobody asked for are left alone but named."""
        super().shutdown()
        ids = [left.job_id for left in (self._leftovers or {}).values()]
        if ids:
            self.logger.warning(
                "PBS still has jobs of an earlier run that are no part of this one: "
                + " ".join(ids)
            )
        elif not self._live:
            for path in self._environments:
                path.unlink(missing_ok=True)
