"""Slurm jobs that are their shell command, without a Snakemake or two on the node.

Starting Snakemake in the job, and once more in its step, costs 3 s of CPU and 300 MB. What it does
around a shell command on a shared file system the job's script does as well; the rest is done by
the main process, which looks at outputs and logs of its jobs anyway.
"""

import shlex
from pathlib import Path
from typing import Any

from ensemake.atomic import write_atomically
from snakemake_executor_plugin_pbs import jobscript, plain

# SIGTERM, at scancel or the time limit, is for the command; we wait for how it ends.
SCRIPT = """\
#!/bin/bash
# Slurm runs this for {job}. Written by ensemake.
trap : TERM
export {variable}={run}
job() {{
{preparation}{variables}{command}
}}
job </dev/null
"""


def submit_plainly(executor: Any, variable: str, run: str) -> None:
    """Have the plugin's executor submit plain commands as they are, and all else as before.

    Parameters
    ----------
    executor
        Of the official Slurm plugin; what its ``format_job_exec`` returns is what it submits.
    variable, run
        Name and value of what tells members to which run they belong.
    """
    workflow, with_snakemake = executor.workflow, executor.format_job_exec

    def format_job_exec(job: Any) -> str:
        # the plugin unpacks an array's commands in a Snakemake on the node
        if executor.array_jobs or not job.log or not plain.is_plain(job, workflow):
            return str(with_snakemake(job))
        path = Path(job.log[0]).with_suffix(".job.sh")
        if shlex.quote(str(path)) != str(path):  # the plugin puts it between double quotes
            return str(with_snakemake(job))
        write_atomically(path, _script(job, workflow, variable, run).encode())
        return f"exec bash {path}"

    executor.format_job_exec = format_job_exec


def _script(job: Any, workflow: Any, variable: str, run: str) -> str:
    # Outputs stay: a job that waited in the queue for too long would take another run's marker.
    preparation = jobscript.preparation(
        map(str, job.input),
        map(str, job.log),
        (),
        workflow.execution_settings.latency_wait,
    )
    return SCRIPT.format(
        job=" ".join([job.rule.name, *map(str, job.wildcards)]),
        variable=variable,
        run=shlex.quote(run),
        preparation=preparation,
        variables=jobscript.variables(job.threads, tmpdir=False),
        command=plain.whole_command(job.shellcmd),
    )
