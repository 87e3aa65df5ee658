"""The executor's options. Snakemake looks at the types of the fields themselves."""

from dataclasses import dataclass
from pathlib import Path

from ensemake.submit.settings import SubmitSettings, logdir


@dataclass
class SbatchOptions(SubmitSettings):
    """Options of the Slurm executor."""

    logdir: Path = logdir(".snakemake/sbatch_logs")  # noqa: RUF009  (it returns a field)
