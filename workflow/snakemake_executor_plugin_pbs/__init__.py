"""Snakemake executor for PBS Professional and OpenPBS."""

from __future__ import annotations

from ensemake.submit.executor import SubmitExecutor
from ensemake.submit.settings import common_settings

from .pbs import Pbs
from .settings import PbsOptions

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


class PbsExecutor(SubmitExecutor):
    """Submits with qsub, asks with one qstat for all jobs, cancels with one qdel."""

    def make_manager(self) -> Pbs:
        """Return PBS as the options want it used."""
        settings = self.workflow.executor_settings
        return Pbs(settings.array_limit if settings.array_jobs else 1)


Executor = PbsExecutor
ExecutorSettings = PbsOptions
