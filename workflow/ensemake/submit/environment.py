"""The submitting process's environment as a file that jobs source.

``qsub -V`` would do this too, but PATH does not survive the login shell, a variable with a quote
makes qsub fail, and each variable reappears in every answer of qstat, where one non-ASCII
character spoils the JSON of all jobs. ``sbatch --export=ALL`` leaves values with the controller.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

# Facts about this host, terminal or shell that would be lies inside the job.
HOST = "HOME USER LOGNAME SHELL TMPDIR TMP TEMP TEMPDIR HOSTNAME NCPUS ENVIRONMENT"
SESSION = "DISPLAY XAUTHORITY SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY TERM TTY"
GPUS = "CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ZE_AFFINITY_MASK"
PROCESS = "PWD OLDPWD SHLVL _ XDG_RUNTIME_DIR XDG_SESSION_ID"
# A Snakemake inside the job runs locally, whatever profile started this one.
LEFT_OUT = frozenset(f"{HOST} {SESSION} {GPUS} {PROCESS} SNAKEMAKE_PROFILE".split())


# What a job has of its own, also where this process is in a job itself; but not where the workload
# manager is, and what people set.
OF_A_JOB = re.compile("(PBS|SLURM|SLURMD|SRUN)_(?!CONF_FILE$|CONF$|CLUSTERS$|MPI_TYPE$)", re.ASCII)


def travels(name: str) -> bool:
    """Tell whether a variable belongs into the job."""
    return name not in LEFT_OUT and not OF_A_JOB.match(name)


def statement(name: str, value: str) -> str:
    """Return the shell statement that sets one variable; nothing if no shell can."""
    function = re.fullmatch(r"BASH_FUNC_([\w.:-]+)(%%|\(\))", name)
    if function and value.startswith("() {"):  # `module` of most sites arrives this way
        return f"{function[1]} {value}\nexport -f {function[1]}\n"
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        return f"export {name}={shlex.quote(value)}\n"
    return ""


def shell_text(environment: Mapping[str, str]) -> str:
    """Return the text to source for having `environment`."""
    return "".join(
        statement(name, value) for name, value in sorted(environment.items()) if travels(name)
    )
