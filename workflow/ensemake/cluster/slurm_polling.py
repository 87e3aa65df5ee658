"""What the official Slurm plugin lacks: it forgets its jobs when the controller does not answer.

Without an answer its ``check_active_jobs`` drops every job it follows, and a job that Slurm no
longer lists it follows for ever; either way Snakemake never ends (seen with version 2.8).
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

PAUSE_S = 5
MIN_JOB_AGE_S = 300  # Slurm's default
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "TIMEOUT"),
}

Answer = tuple[dict[str, str] | None, float | None]
Ask = Callable[[str, Any], Awaitable[Answer]]


def be_patient(executor: Any) -> None:
    """Have the plugin's executor ask until Slurm answers, and give up jobs that Slurm has lost.

    Parameters
    ----------
    executor
        Its ``wait`` tells whether the run goes on.
    """
    plugin: Any = import_module("snakemake_executor_plugin_slurm")  # slow; only where it is used

    patient = Patient(plugin.query_job_status, lambda: executor.wait)
    plugin.query_job_status = patient
    submitted = executor.report_job_submission

    def told(info: Any, **more: Any) -> None:
        patient.expect(info.external_jobid)
        submitted(info, **more)

    executor.report_job_submission = told
    # Unknown, it would have the plugin ask sacct, which may never answer.
    age = plugin.get_min_job_age() or MIN_JOB_AGE_S
    plugin.get_min_job_age = lambda: age


class Patient:
    """Asks for the states of all jobs of this run, as the plugin's ``query_job_status``."""

    def __init__(self, ask: Ask, goes_on: Callable[[], bool]) -> None:
        self._ask, self._goes_on = ask, goes_on
        self._submitted: set[str] = set()
        self._alive: set[str] = set()  # when listed last
        self._missed: set[str] = set()  # of these, the ones that were not listed the last time

    def expect(self, job: str) -> None:
        """Miss this job if it is never listed; those of arrays are listed under other names."""
        if "_" not in job:
            self._submitted.add(job)

    async def __call__(self, command: str, log: Any) -> Answer:
        """Return a state for each job, and the seconds it took; without one only at the end."""
        states, seconds = await self._ask(command, log)
        if states is None:
            log.warning("Slurm does not answer; its jobs go on, and asking goes on.")
        while states is None and self._goes_on():
            await asyncio.sleep(PAUSE_S)
            states, seconds = await self._ask(command, log)
        if states is None:
            return states, seconds
        if command.startswith("squeue"):  # sacct may know of a job late
            self._alive |= self._submitted
            self._submitted.clear()
        return {**self._lost(states, log), **states}, seconds

    def _lost(self, states: dict[str, str], log: Any) -> dict[str, str]:
        """A job that is not listed two times running counts as failed."""
        missing = self._alive - states.keys()
        lost, self._missed = missing & self._missed, missing
        ended = {job for job, state in states.items() if state in ENDED}
        self._alive = (self._alive | states.keys()) - ended - lost
        for job in sorted(lost):
            log.warning(f"Slurm no longer knows job {job}; the next run sees what it has done.")
        return dict.fromkeys(lost, "FAILED")
