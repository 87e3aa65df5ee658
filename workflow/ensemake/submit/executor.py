"""The executor: submits jobs, follows all of them with one question, cancels with one command."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from ensemake.submit import calls, environment, jobscript, leftovers, names, plain
from ensemake.submit.interval import Interval
from ensemake.submit.manager import (
    JobEnd,
    Listing,
    Manager,
    Marker,
    Record,
    Reply,
    Submission,
    Submitted,
    Verdict,
)
from ensemake.submit.ticket import Ticket, batches

PEEK_S = 0.5  # between two looks at what jobs have written down
# Are told of each job that failed, and why.
LISTENERS: list[Callable[[Any, str], None]] = []


def current_umask() -> int:
    """Return this process's umask; there is no way to ask but to set it."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read: environments hold secrets."""
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


class SubmitExecutor(RemoteExecutor):  # type: ignore[misc]
    """What the executors of all workload managers have in common; a subclass says which it is."""

    # The base class starts its polling thread before __post_init__.
    _interval = Interval(0.1)

    def make_manager(self) -> Manager:
        """Return the workload manager; the options are known."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Check the site and set up the folder."""
        remote = self.workflow.remote_execution_settings
        self._manager, self._began = self.make_manager(), time.time()
        if remote.immediate_submit:
            raise WorkflowError("This executor does not support --immediate-submit.")
        self._manager.require()
        self._interval = Interval(float(remote.seconds_between_status_checks))
        self._live: set[str] = set()
        self._is_silent, self._unseen = False, dict[str, Path]()  # ids and logs of jobs that ended
        self._states: dict[str, str] = {}
        self._warned: set[str] = set()
        self._leftovers: dict[str, leftovers.Leftover] | None = None
        self._environments: set[Path] = set()
        self._stop, self._is_back = threading.Event(), threading.Event()
        # A thread of its own takes what has gathered while it was busy, as few commands as can be;
        # and Ctrl-C interrupts the main thread, not a command whose answer names jobs to remove.
        self._submitter = ThreadPoolExecutor(1)
        self._gathering = threading.Lock()
        self._waiting: list[Ticket] = []
        self._is_away, self._pauses = False, iter(calls.FULL_PAUSES)
        self._umask = current_umask()
        self._workdir = Path(self.workflow.workdir_init).absolute()
        self._set_up_folder()

    def _set_up_folder(self) -> None:
        self._folder = self._workdir / self.workflow.executor_settings.logdir
        # Nobody else makes it: the output would be lost, or the job held for ever.
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
        """Have jobs submitted, one by one or as arrays."""
        if self._leftovers is None:
            self._leftovers = leftovers.in_queue(self._folder, self._manager)
        tickets = list(self._wanted(jobs))
        with self._gathering:
            self._waiting += tickets
        self._submitter.submit(self._submit_all)

    def run_job(self, job: Any) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def _wanted(self, jobs: Iterable[Any]) -> Iterator[Ticket]:
        """Announce jobs and yield those to be submitted, their scripts written."""
        for job in jobs:
            self.run_job_pre(job)
            try:
                ticket = Ticket.of(job, self._folder, self._workdir, self._manager)
                if not self._taken_over(ticket):
                    self._write(ticket)
                    yield ticket
            except (ValueError, OSError, WorkflowError) as error:
                self._report_not_submitted(job, str(error))

    def _taken_over(self, ticket: Ticket) -> bool:
        """Follow the job that an earlier run submitted for this, if it still serves."""
        left = (self._leftovers or {}).pop(ticket.name, None)
        name = self._manager.name
        if leftovers.serves(ticket.paths, ticket.fingerprint, ticket.changing_inputs):
            left = left or leftovers.finished(ticket.paths, ticket.job.output, self._began)
            if left:
                self.logger.info(f"Taking over {name} job {left.job_id} of an earlier run.")
                self._environments.update(jobscript.environment_in(ticket.paths.script))
                self._follow(ticket, left.job_id, left.log)
            return left is not None
        if left:
            self.logger.info(f"Removing {name} job {left.job_id} of an earlier run: out of date.")
            self._manager.delete([left.job_id])
            calls.wait_until_gone(self._manager, left.job_id)
        return False

    def _write(self, ticket: Ticket) -> None:
        """Write the script of a job, and remove what an earlier job of this name left."""
        paths = ticket.paths
        body, files = self._body(ticket)
        for path in (paths.marker, paths.reason):
            path.unlink(missing_ok=True)
        text = jobscript.job_script(
            body,
            ticket.fingerprint,
            paths,
            self._environment,
            self._workdir,
            self._umask,
            self._manager.job_id,
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

    def _submit_all(self) -> None:
        """Submit what has gathered."""
        with self._gathering:
            tickets, self._waiting = self._waiting, []
        try:
            for batch in batches(tickets, self._manager.largest_array()):
                self._submit(batch)
        except Exception as error:  # nobody waits for this thread
            self.workflow.scheduler.executor_error_callback(error)

    def _submit(self, batch: list[Ticket]) -> None:
        """Submit tickets as one job, or as an array; of what is too many, a half first."""
        if self._stop.is_set():
            return
        name = batch[0].name
        if len(batch) > 1:
            name = names.job_name(f"{batch[0].job.name}-array", [t.name for t in batch])
            self._link_scripts(name, batch)
        answer = self._asked(name, batch)
        if answer.reply is Reply.FULL and len(batch) > 1:
            half = len(batch) // 2
            self._submit(batch[:half])
            self._submit(batch[half:])
        elif answer.reply is Reply.DONE:
            self._submitted(name, batch, answer.ids)
        elif not self._stop.is_set():
            for ticket in batch:
                self._report_not_submitted(ticket.job, answer.complaint)

    def _submitted(self, name: str, batch: list[Ticket], ids: list[str]) -> None:
        """Follow the jobs of a submission."""
        for index, ticket in enumerate(batch):
            job_id = ids[index]
            log = leftovers.log_of(self._folder, name, str(index) if len(batch) > 1 else "")
            told = f"Job {ticket.job.jobid} is {self._manager.name} job {job_id} (log: {log})."
            self.logger.info(told)
            self._follow(ticket, job_id, log)

    def _link_scripts(self, name: str, batch: list[Ticket]) -> None:
        """Give the scripts of an array's sub-jobs the names by which the launcher finds them."""
        for index, ticket in enumerate(batch):
            link = self._folder / f"{name}.{index}.sh"
            link.unlink(missing_ok=True)
            link.symlink_to(ticket.paths.script.name)

    def _asked(self, name: str, batch: list[Ticket]) -> Submitted:
        """Submit and note the ids at once, for `cancel`; a single job waits until it is taken."""
        submission = Submission(
            name,
            len(batch),
            batch[0].arguments,
            jobscript.launcher(self._folder / name, self._manager.index),
            leftovers.log_of(self._folder, name),
            self._umask,
        )
        while True:
            answer = calls.submit_patiently(self._manager, submission, self._live, self._pause)
            self._live.update(answer.ids)
            self._is_away = answer.reply is Reply.SILENT
            if answer.reply is Reply.DONE:
                self._pauses = iter(calls.FULL_PAUSES)
            if answer.reply is not Reply.FULL or len(batch) > 1:
                return answer
            pause = calls.FULL_PAUSES[-1] if self._live else next(self._pauses, None)
            if pause is None or self._stop.wait(pause):
                return answer
            self._note("full", f"{self._manager.name} takes no more jobs now: {answer.complaint}")

    def _pause(self, seconds: float) -> bool:
        """Wait before asking again; True to give up, at once if it was for nothing just now."""
        self._note("silence", f"{self._manager.name} does not answer; jobs are submitted later.")
        self._is_back.clear()
        if not (self._is_away or self._stop.is_set()):
            self._is_back.wait(seconds)
        return self._is_away or self._stop.is_set()

    def _follow(self, ticket: Ticket, job_id: str, log: Path) -> None:
        """Hand a job in the queue over to polling."""
        self._live.add(job_id)
        self._interval.after(changed=True)
        aux = {"ticket": ticket, "log": log, "doubtful": None}
        self.report_job_submission(SubmittedJobInfo(ticket.job, job_id, aux))

    # Status

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report jobs that are over and yield the others; one question about all, if it is due."""
        if not active_jobs:
            return
        found = self._look(active_jobs) if self._interval.is_due() else None
        markers = self._markers(active_jobs)
        verdicts = [(info, self._judged(info, found, markers)) for info in active_jobs]
        self._note_changes(verdicts, found, markers)
        stuck = [
            str(info.external_jobid)
            for info, judged in verdicts
            if judged.is_stuck or judged.outcome is JobEnd.HOPELESS
        ]
        if stuck:
            self._manager.delete(stuck)
        for info, judged in verdicts:
            if judged.outcome is JobEnd.WAIT:
                yield info
            else:
                self._report(info, judged)

    def _look(self, active_jobs: list[SubmittedJobInfo]) -> Listing | None:
        """Ask about all jobs; say once that there is no answer, and once that there is again."""
        found = self._manager.look([str(info.external_jobid) for info in active_jobs])
        away = f"{self._manager.name} gives no answer about the jobs; asking again."
        self._is_silent = found is None
        if found is None:
            self._note(away, away)
        elif away in self._warned:
            self._warned.discard(away)
            self._is_back.set()  # what is to be submitted need not wait any longer
        return found

    def _markers(self, active_jobs: list[SubmittedJobInfo]) -> dict[Path, Marker]:
        """Return what jobs have written down; after the look, or it may be older.

        Not by their ids: a manager that has lost its memory gives them out again.
        """
        with os.scandir(self._folder) as entries:
            there = {entry.name for entry in entries if entry.name.endswith(".exit")}
        found = {}
        for info in active_jobs:
            assert info.aux is not None
            path = info.aux["ticket"].paths.marker
            if path.name in there:
                with suppress(OSError):
                    marker = jobscript.marker_in(path.read_text())
                    if marker and marker.owner == info.external_jobid:
                        found[path] = marker
        return found

    def _judged(
        self, info: SubmittedJobInfo, found: Listing | None, markers: dict[Path, Marker]
    ) -> Verdict:
        """Return what has become of a job."""
        assert info.aux is not None
        manager, marker = self._manager, markers.get(info.aux["ticket"].paths.marker)
        if found is None:
            return manager.verdict({}, marker)
        record = self._record(found, info)
        if record is None and not (marker and marker.code == 0):
            record = self._record(self._past(found), info)
        self._tell(record or {}, str(info.external_jobid))
        return self._believed(info, manager.verdict(record, marker))

    def _record(self, found: Listing, info: SubmittedJobInfo) -> Record | None:
        """Return the record of a job, none if its id is another one's of ours by now.

        A name of another form is one that the site gives, or somebody has given.
        """
        assert info.aux is not None
        record = self._manager.record(found, str(info.external_jobid))
        name = self._manager.job_name(record or {})
        is_other = names.is_ours(name) and not _is_called(name, info.aux["log"])
        return None if is_other else record

    def _past(self, found: Listing) -> Listing:
        """Return what is remembered of jobs that are not listed; asked once for each listing."""
        if self._remembered[0] is not found:
            missing = sorted(self._live - found.keys())
            self._remembered = found, self._manager.past(missing)
        return self._remembered[1]

    _remembered: tuple[Listing | None, Listing] = (None, {})

    def _believed(self, info: SubmittedJobInfo, judged: Verdict) -> Verdict:
        """Give a verdict that seems final, but may not be, time to change."""
        assert info.aux is not None
        if judged.outcome is not JobEnd.DOUBTFUL:
            info.aux["doubtful"] = None
            return judged
        info.aux["doubtful"] = info.aux["doubtful"] or time.monotonic()
        patience = self.workflow.execution_settings.latency_wait
        is_over = time.monotonic() - info.aux["doubtful"] >= patience
        return Verdict(JobEnd.FAILURE, judged.reason) if is_over else Verdict(JobEnd.WAIT)

    def _tell(self, record: Record, job_id: str) -> None:
        """Tell the user what keeps a job waiting if it is not just the other jobs."""
        trouble = self._manager.trouble(record)
        if trouble:
            self._note(trouble, f"{self._manager.name} job {job_id} is waiting: {trouble}")

    def _note(self, what: str, text: str) -> None:
        """Say something once."""
        if what not in self._warned:
            self._warned.add(what)
            self.logger.warning(text)

    def _note_changes(
        self,
        verdicts: list[tuple[SubmittedJobInfo, Verdict]],
        found: Listing | None,
        markers: dict[Path, Marker],
    ) -> None:
        """Ask more rarely while nothing changes; soon about jobs whose marker is not all."""
        waiting = {
            info.aux["ticket"].paths.marker
            for info, judged in verdicts
            if info.aux and judged.outcome is JobEnd.WAIT
        }
        if found is None:
            if waiting & markers.keys():
                self._interval.after(changed=True)
            return
        states = {job_id: self._manager.state(record) for job_id, record in found.items()}
        self._interval.after(changed=len(waiting) < len(verdicts) or states != self._states)
        self._states = states

    def _report(self, info: SubmittedJobInfo, judged: Verdict) -> None:
        """Tell Snakemake about the end of a job and clear its files away."""
        assert info.aux is not None
        ticket, log = info.aux["ticket"], info.aux["log"]
        self._live.discard(str(info.external_jobid))
        ticket.paths.marker.unlink(missing_ok=True)
        if judged.outcome is JobEnd.SUCCESS:
            if self._is_silent:
                self._unseen[str(info.external_jobid)] = log
            self._clear(ticket, log)
            self.report_job_success(info)
            return
        judged = self._manager.reason_in(log, judged)
        ticket.paths.reason.write_text(judged.reason + "\n")
        self._tell_listeners(info.job, judged.reason)
        message = f"{self._manager.name} job {info.external_jobid}: {judged.reason}. "
        self.report_job_error(info, msg=message, aux_logs=[str(log)])

    def _report_not_submitted(self, job: Any, complaint: str) -> None:
        self._tell_listeners(job, f"not submitted: {complaint}")
        self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted: {complaint}. ")

    def _tell_listeners(self, job: Any, reason: str) -> None:
        for listener in LISTENERS:
            listener(job, f"{self._manager.name}: {reason}")

    def _clear(self, ticket: Ticket, log: Path) -> None:
        """Remove the files of a job that ended well, but no output it may have written."""
        script = ticket.paths.script
        for path in (script, script.with_name(script.name + ".cmd"), log.with_suffix(".sh")):
            path.unlink(missing_ok=True)
        if log.exists() and not log.stat().st_size:
            log.unlink()

    async def sleep(self) -> None:
        """Wait for the next look at markers, perhaps also at the queue; end early on shutdown."""
        start = time.monotonic()
        while self.wait and time.monotonic() - start < min(PEEK_S, self._interval.shortest):
            await asyncio.sleep(0.1)

    # End

    def cancel(self) -> None:
        """Remove every job from the queue, also one that is just being submitted."""
        self._stop.set()
        self._is_back.set()
        self._submitter.shutdown(wait=True, cancel_futures=True)
        self.cancel_jobs([])
        self.shutdown()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Remove all jobs; `active_jobs` lacks those that are being looked at."""
        ids = self._manager.whole(sorted(self._live))
        complaint = self._manager.delete(ids) if ids else ""
        if not complaint:
            self._live.clear()
            return
        command = self._manager.cancel_command
        rest = " ".join(ids)
        self.logger.error(f"{command} failed ({complaint}). Remove with: {command} {rest}")

    def _remove_restarted(self) -> None:
        """Remove jobs that ended well while the manager was away, and that it has started again.

        A controller that crashed before it had saved that they run does so.
        """
        if not self._unseen or self._is_silent:
            return
        with suppress(WorkflowError):
            again = [
                job.job_id
                for job in self._manager.queued()
                if job.job_id in self._unseen and _is_called(job.name, self._unseen[job.job_id])
            ]
            if again:
                self._manager.delete(again)
        self._unseen.clear()

    def shutdown(self) -> None:
        """End polling; jobs of earlier runs that nobody asked for are left alone but named."""
        super().shutdown()
        self._remove_restarted()
        ids = [left.job_id for left in (self._leftovers or {}).values()]
        if ids:
            self.logger.warning(
                f"{self._manager.name} still has jobs of an earlier run that are no part of this "
                "one: " + " ".join(ids)
            )
        elif not self._live:
            for path in self._environments:
                path.unlink(missing_ok=True)


def _is_called(name: str, log: Path) -> bool:
    """Tell whether a job of this name has this log."""
    return log.name.startswith(f"{name}.")
