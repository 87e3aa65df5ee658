"""Snakemake executor for Slurm that submits with sbatch; the official one is called `slurm`."""

from __future__ import annotations

from ensemake.submit.executor import SubmitExecutor
from ensemake.submit.settings import common_settings

from .settings import SbatchOptions
from .slurm import Slurm

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


class SbatchExecutor(SubmitExecutor):
    """Submits arrays with sbatch, asks with one squeue for all, cancels with one scancel."""

    def make_manager(self) -> Slurm:
        """Return Slurm."""
        return Slurm()


Executor = SbatchExecutor
ExecutorSettings = SbatchOptions
