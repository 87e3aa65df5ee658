"""The executor's options and what Snakemake needs to know about it.

Snakemake looks at the types of the fields themselves, so annotations must not become strings.
"""

from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):  # type: ignore[misc]
    """Options of the PBS executor."""

    logdir: Path = field(
        default=Path(".snakemake/pbs_logs"),
        metadata={
            "help": "Folder for the scripts and logs of PBS jobs, in a file system that the "
            "nodes share; relative to the working directory."
        },
    )
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
    full_jobs: bool = field(
        default=False,
        metadata={
            "help": "Start Snakemake inside every job, also where the job is one plain shell "
            "command that could be submitted itself at a fraction of the cost."
        },
    )


common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,  # they are in the environment file
    auto_deploy_default_storage_provider=False,
)
