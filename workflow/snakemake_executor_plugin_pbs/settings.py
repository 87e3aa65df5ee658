"""The executor's options. Snakemake looks at the types of the fields themselves."""

from dataclasses import dataclass, field
from pathlib import Path

from ensemake.submit.settings import SubmitSettings, logdir


@dataclass
class PbsOptions(SubmitSettings):
    """Options of the PBS executor."""

    logdir: Path = logdir(".snakemake/pbs_logs")  # noqa: RUF009  (it returns a field)
    array_jobs: bool = field(
        default=False,
        metadata={
            "help": "Submit jobs of one rule that are ready at the same time, and need the same "
            "resources, as one job array. Each sub-job is followed on its own."
        },
    )
    array_limit: int = field(
        default=1000,
        metadata={
            "help": "Largest array to submit; the site's max_array_size must not be smaller."
        },
    )
