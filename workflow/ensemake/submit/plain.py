"""Jobs that are one shell command and need no Snakemake of their own on the node.

Starting Snakemake costs seconds of CPU and thousands of file system calls per job. What it does
around a shell command - waiting for inputs, removing old outputs, making folders, setting
variables - the job script does as well; checking and recording outputs, logs and parameters is
done by the main process for remote jobs anyway.
"""

from __future__ import annotations

import shlex
from itertools import chain
from pathlib import Path
from typing import Any

from snakemake.io import is_flagged
from snakemake.settings.types import DeploymentMethod, SharedFSUsage
from snakemake.shell import MAX_ARG_LEN, shell

from ensemake.submit import jobscript
from ensemake.submit.resources import UNKNOWN

# What a member's job is for Snakemake; the executor `members` knows it again.
RUN_MEMBER = "{params.carry_on} {params.limit} exec {params.command:q} > {log:q} 2>&1"

UNUSUAL_FILES = ("pipe", "service", "update")


def deploys_software(job: Any, workflow: Any) -> bool:
    """Tell whether Snakemake would wrap the command into an environment or a container."""
    methods = workflow.deployment_settings.deployment_method
    return (
        (DeploymentMethod.CONDA in methods and bool(job.conda_env_spec))
        or (DeploymentMethod.APPTAINER in methods and bool(job.container_img_url))
        or (DeploymentMethod.ENV_MODULES in methods and bool(job.env_modules))
    )


def has_unusual_files(job: Any) -> bool:
    """Tell whether a file is not just a file on the shared file system."""
    return any(
        getattr(file, "is_storage", False) or any(is_flagged(file, flag) for flag in UNUSUAL_FILES)
        for file in chain(job.input, job.output, job.log)
    )


def is_simple_rule(rule: Any, workflow: Any) -> bool:
    """Tell whether the rule is a ``shell:`` rule of this Snakefile without extras."""
    caching = workflow.workflow_settings.cache is not None and rule.cache
    # A module has variables of its own, which only Snakemake in the job looks up rightly.
    own_names = rule.run_func is not None and rule.run_func.__globals__ is not workflow.globals
    return (
        rule.is_shell
        and rule.shadow_depth is None
        and not (rule.is_handover or caching or own_names)
    )


def shares_everything(workflow: Any) -> bool:
    """Tell whether nodes see all files, and nothing has to happen before Snakemake there."""
    everything = SharedFSUsage.all() <= set(workflow.storage_settings.shared_fs_usage)
    return everything and not workflow.remote_execution_settings.precommand


def tmpdir_of(job: Any) -> str | None:
    """Return the expression that gives the job's tmpdir, if it has one."""
    resource = job.rule.resources.get("tmpdir")
    return None if resource is None else str(resource.raw)


def is_plain(job: Any, workflow: Any) -> bool:
    """Tell whether submitting the command itself gives the same result."""
    return (
        not job.is_group()
        and is_simple_rule(job.rule, workflow)
        and shares_everything(workflow)
        and not job.benchmark
        and "shell_exec" not in job.resources.keys()  # noqa: SIM118  (Snakemake's Namedlist)
        and tmpdir_of(job) in (None, "system_tmpdir")
        and not has_unusual_files(job)
        and not deploys_software(job, workflow)
        and UNKNOWN not in job.shellcmd
    )


def whole_command(command: str) -> str:
    """Return `command` with the prefix (``set -euo pipefail``) and suffix of this workflow."""
    return " ".join((shell._get_process_prefix(), command, shell._process_suffix)).strip()


def command_line(command: str, stem: Path) -> tuple[str, dict[Path, str]]:
    """Return the line that runs `command`, and files that have to be written for it.

    Parameters
    ----------
    command
        The whole shell command.
    stem
        Where a file may go: the kernel limits the length of one argument.
    """
    executable = shlex.quote(shell.get_executable() or "/bin/sh")
    if len(shlex.quote(command)) <= MAX_ARG_LEN:
        return f"{executable} -c {shlex.quote(command)}", {}
    file = stem.with_name(stem.name + ".cmd")
    return f"{executable} {shlex.quote(str(file))}", {file: command + "\n"}


def body(job: Any, workflow: Any, stem: Path) -> tuple[str, dict[Path, str]]:
    """Return the part of the script that does a plain job, and the files it needs."""
    line, files = command_line(whole_command(job.shellcmd), stem)
    folders = [str(file) for file in job.output if file.is_directory]
    others = [str(file) for file in chain(job.output, job.log) if str(file) not in folders]
    before = jobscript.preparation(
        map(str, job.input), others, folders, workflow.execution_settings.latency_wait
    )
    return before + jobscript.variables(job.threads, tmpdir_of(job) is not None) + line, files
