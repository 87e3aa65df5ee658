"""What Snakemake needs to know of an executor, and the options that all have.

Snakemake looks at the types of the fields themselves, so annotations must not become strings.
"""

from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

LOGDIR = (
    "Folder for the scripts and logs of jobs, in a file system that the nodes share; relative to "
    "the working directory."
)


@dataclass
class SubmitSettings(ExecutorSettingsBase):  # type: ignore[misc]
    """Options of every executor here; each adds ``logdir`` with a default of its own."""

    full_jobs: bool = field(
        default=False,
        metadata={
            "help": "Start Snakemake inside every job, also where the job is one plain shell "
            "command that could be submitted itself at a fraction of the cost."
        },
    )


def logdir(default: str) -> Path:
    """Return the field of the folder of scripts and logs."""
    made: Path = field(default=Path(default), metadata={"help": LOGDIR})
    return made


common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,  # they are in the environment file
    auto_deploy_default_storage_provider=False,
)
