"""The texts that run on a node. Pure functions."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ensemake.member.needs import THREADS
from ensemake.submit.manager import Marker

# What the workload manager itself gets. It is the same for every job, so that neither its length
# nor a carriage return in a command matter, and one array can have a script per index.
LAUNCHER = """\
#!/bin/bash
script={script}${{{index}:+.${index}}}.sh
for _ in {{1..60}}; do [ -r "$script" ] && break; sleep 1; done  # slow shared file systems
exec /bin/bash "$script"
"""

# SIGTERM is for the command, which may end in its own way; that it came is written down with the
# exit code. SIGUSR1 says that the time limit is near, to this shell alone. A job that is run a
# second time must not be judged by the first time's marker.
SCRIPT = """\
#!/bin/bash
# fingerprint {fingerprint}
told= again=1
trap 'told=${{told:-TERM}} again=1' TERM
trap 'told=LIMIT again=1; kill -TERM 0' USR1
rm -f {marker}
. {environment}
umask {umask:04o}
job() {{
cd {workdir} || return
{command}
}}
{{ trap : TERM USR1; trap - INT QUIT; job; }} < /dev/null &
while [ -n "$again" ]; do again=; wait $!; code=$?; done
{{
echo "{job_id} $code $told" > {marker}.part && mv -f {marker}.part {marker}
exit $code
}}
"""

PREPARATION = """\
for file in {inputs}; do
  for _ in {{1..{patience}}}; do [ -e "$file" ] && break; sleep 1; done
  [ -e "$file" ] || {{ echo "missing input: $file" >&2; return 1; }}
done
rm -f -- {files}
rm -rf -- {directories}
mkdir -p -- {parents} || return
"""

# Snakemake's own choice; a login shell on the node knows the job's TMPDIR.
TMPDIR = """\
export TMPDIR="${TMPDIR:-${TEMP:-${TMP:-/tmp}}}"
export TMP="$TMPDIR" TEMP="$TMPDIR" TEMPDIR="$TMPDIR"
"""


@dataclass(frozen=True)
class Paths:
    """The files of one job, all absolute and in one folder."""

    script: Path
    log: Path
    marker: Path
    reason: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Paths:
        """Return the files of the job called `name`."""
        kinds = ("sh", "log", "exit", "reason")
        return cls(*(folder / f"{name}.{kind}" for kind in kinds))


def quoted(path: object) -> str:
    """Return a path as one word of the shell."""
    return shlex.quote(str(path))


def shell_words(paths: Iterable[object]) -> str:
    """Return paths as words of the shell."""
    return " ".join(map(quoted, paths))


def launcher(stem: Path, index: str) -> str:
    """Return what is submitted: it runs ``<stem>.sh``, in an array ``<stem>.<index>.sh``.

    Parameters
    ----------
    index
        Name of the variable that an array's job knows its index by.
    """
    return LAUNCHER.format(script=quoted(stem), index=index)


def job_script(
    command: str,
    fingerprint: str,
    paths: Paths,
    environment: Path,
    workdir: Path,
    umask: int,
    job_id: str,
) -> str:
    """Return the script of one job, which can also be run by hand.

    Parameters
    ----------
    job_id
        What the shell knows the job's id by.
    """
    return SCRIPT.format(
        fingerprint=fingerprint,
        marker=quoted(paths.marker),
        environment=quoted(environment),
        umask=umask,
        workdir=quoted(workdir),
        command=command,
        job_id=job_id,
    )


def preparation(
    inputs: Iterable[str],
    files: Iterable[str],
    directories: Iterable[str],
    patience: int,
) -> str:
    """Return what Snakemake does on the node before a command: wait, clear away, make folders.

    Parameters
    ----------
    inputs
        Files that must have arrived.
    files, directories
        Outputs and logs of an earlier attempt, to be removed.
    patience
        Seconds to wait for each input.
    """
    files, directories = [file for file in files if file != os.devnull], list(directories)
    parents = dict.fromkeys(Path(path).parent for path in files + directories)
    return PREPARATION.format(
        inputs=shell_words(inputs),
        files=shell_words(files),
        directories=shell_words(directories),
        parents=shell_words(parents) or ".",
        patience=max(patience, 1),
    )


def variables(threads: int, tmpdir: bool) -> str:
    """Return the variables that Snakemake sets for a shell command."""
    counts = " ".join(f"{name}={threads}" for name in THREADS)
    return f"export {counts}\n" + (TMPDIR if tmpdir else "")


def fingerprint_in(text: str) -> str | None:
    """Return the fingerprint that a script was written with."""
    found = re.search(r"^# fingerprint (\w+)$", text, re.MULTILINE)
    return found[1] if found else None


def environment_in(script: Path) -> list[Path]:
    """Return the environment file of a script; none if the script is gone."""
    text = script.read_text() if script.exists() else ""
    return [Path(shlex.split(line)[0]) for line in re.findall(r"^\. (.+)$", text, re.MULTILINE)[:1]]


def marker_in(text: str) -> Marker | None:
    """Return what a marker says; None if it is none."""
    owner, code, told, *_ = [*text.split(), "", "", ""]
    return Marker(owner, int(code), told) if code.isdigit() else None
