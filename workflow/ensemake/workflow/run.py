"""A run from its start to its last words: the hooks of the workflow."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import psutil  # type: ignore[import-untyped]
from snakemake.logging import logger

from ensemake.cluster.end_reasons import explain
from ensemake.errors import file_fault
from ensemake.paths import share
from ensemake.results import provenance
from ensemake.results.provenance import VARIABLE
from ensemake.show.live import LivePage
from ensemake.submit.executor import LISTENERS
from ensemake.workflow.entity import EntityRules
from ensemake.workflow.experiment import ExperimentRules

NO_LIMIT = 10_000  # jobs in the timespan of a profile's `max-jobs-per-timespan`
PATIENCE_S = 5.0  # of one who has stopped a run, for its tables


def begin_run(experiment: ExperimentRules) -> None:
    """Leave a record of a run that runs members; have jobs start at once, or their ends told."""
    _heed_signals(experiment)
    asked = [entity for entity in experiment.entities if entity.asked]  # as far as it is known
    pending = {entity.name: len(entity.pending) for entity in asked if entity.pending}
    with _as_far_as_there_is_room():
        if pending:
            provenance.record_start(experiment.root, experiment.config, pending)
    if pending and _expect(experiment.workflow.dag, "overview"):
        experiment.live_page = LivePage(experiment.config)
        experiment.live_page.start()
    pace(experiment.workflow, experiment.entities)
    if not experiment.workflow.local_exec:
        _follow_jobs(experiment)


def _expect(dag: Any, rule: str) -> bool:
    """Tell whether a rule will be run; that its output is there by then is no surprise."""
    jobs = [job for job in dag.needrun_jobs() if job.rule.name == rule]
    for job in jobs:
        dag.reason(job).missing_output.clear()
    return bool(jobs)


def _heed_signals(experiment: ExperimentRules) -> None:
    """Have a signal that ends Snakemake end what makes tables, too: a metric may take long."""
    for number in (signal.SIGINT, signal.SIGTERM):
        heed = signal.getsignal(number)
        if callable(heed):  # not SIGINT of a run that was started with &
            signal.signal(number, partial(_stop, experiment, heed))


def _stop(experiment: ExperimentRules, heed: Callable[..., Any], *arguments: Any) -> None:
    experiment.is_stopped = True
    ours = {str(path) for path in (share() / "scripts").glob("*.py") if path.name != "batch.py"}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not ours.isdisjoint(process.cmdline()[1:2]):
                process.terminate()
    if heed is signal.default_int_handler:
        heed(*arguments)
    else:  # Snakemake's takes a lock that the thread which is interrupted may hold
        Thread(target=heed, args=arguments, daemon=True).start()


def pace(workflow: Any, entities: Sequence[EntityRules]) -> None:
    """Have Snakemake look for jobs to start when one ends: a run would wait for its last timer.

    Without its timers one look must fill all the room there is. So they stay where it does not,
    and where a limit bounds submissions. Where all need the same it need see no more than that.
    """
    scheduler = workflow.scheduler
    limiter, seen = scheduler.job_rate_limiter, getattr(scheduler, "subsample", None)
    if workflow.local_exec:
        scheduler.job_rate_limiter = None
        if seen:
            scheduler.subsample = max(0 if _need_the_same(entities) else seen, workflow.cores)
    elif limiter and limiter.max_jobs >= NO_LIMIT and _holds(seen, workflow):
        scheduler.job_rate_limiter = None


def _holds(seen: int | None, workflow: Any) -> bool:
    return seen is not None and seen >= workflow.resource_settings.nodes


def _need_the_same(entities: Sequence[EntityRules]) -> bool:
    """Tell whether any job will do: where there are several entities, others may wait for it."""
    needs = [need for one in entities for need in (one.threads, *one.resources.values())]
    return len(entities) == 1 and not any(map(callable, needs))


def _follow_jobs(experiment: ExperimentRules) -> None:
    """Have members told why the cluster ended their jobs."""

    def explained(job: Any, reason: str) -> None:
        if not job.is_group():
            folders = [path for e in experiment.entities for path in e.directories(job)]
            experiment.ended.append((folders, reason))
            with _as_far_as_there_is_room():
                explain(folders, reason, os.environ.get(VARIABLE, ""))

    LISTENERS.append(explained)


def tell_summary(experiment: ExperimentRules, succeeded: bool | None = None) -> None:
    """Tell what became of the members that were to run, and where to look.

    After a failure the tables are written here: Snakemake starts no job whose inputs failed.
    Without its word (a module is not told) it succeeded if nothing is left to do.
    """
    if experiment.live_page:
        experiment.live_page.stop()
    if succeeded is None:
        succeeded = not any(e.work.pending() for e in experiment.entities if e.asked)
    with _as_far_as_there_is_room():
        for folders, reason in experiment.ended:  # again: some may only have been ending
            explain(folders, reason, os.environ.get(VARIABLE, ""))
        provenance.record_end(experiment.root, succeeded)
    asked = [entity.name for entity in experiment.entities if entity.asked]
    if not asked:
        return
    with _as_far_as_there_is_room(), suppress(KeyboardInterrupt):  # enough of it
        text = _summary(experiment, asked, succeeded)
        if experiment.is_module:  # at its end the process has no logger any more
            print(text, file=sys.stderr)
        else:  # the logger keeps the order of what is seen, and puts it into the log file too
            logger.info(text, extra={"is_summary": True})
    if experiment.live_page:
        experiment.live_page.finish()


@contextmanager
def _as_far_as_there_is_room() -> Iterator[None]:
    """Tell that a disk is full, in place of frames of Snakemake's."""
    try:
        yield
    except OSError as error:
        print(file_fault(error), file=sys.stderr, flush=True)


def _summary(experiment: ExperimentRules, asked: list[str], succeeded: bool) -> str:
    """Tell the state; after a failure with new tables, for as long as somebody is patient."""
    config = experiment.asked(None)
    status, results = ([*experiment.ask(q), config, "--", *asked] for q in ("status", "results"))
    try:
        if succeeded:
            where = f"Tables and plots: {experiment.root}, all on one page: {experiment.page}"
            return f"{_told(status)[0]}\n{where}"
        text, code = _told(results, PATIENCE_S if experiment.is_stopped else None)
        return f"{_told(status)[0]}\n{text}" if code else text
    except subprocess.TimeoutExpired:
        late = f"In {PATIENCE_S:.0f} s no tables were made: ensemake results makes them"
        return f"{_told(status)[0]}\n{late}"
    finally:
        Path(config).unlink()


def _told(words: list[str], seconds: float | None = None) -> tuple[str, int]:
    """Return what a question is answered with, and its exit code."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=seconds)
    return (done.stdout + done.stderr).rstrip(), done.returncode
