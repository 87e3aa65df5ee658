"""Jobs that an earlier main process left behind (it was killed), and whether they still serve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from snakemake.io import is_flagged

from ensemake.submit import calls, jobscript, names
from ensemake.submit.manager import Manager, Queued


@dataclass(frozen=True)
class Leftover:
    """A job in the queue, or over, of which the earlier main process never learned the end."""

    job_id: str
    log: Path


def log_of(folder: Path, name: str, index: str = "") -> Path:
    """Return where the output of a job, or of an array's sub-job, arrives."""
    return folder / (f"{name}.{index}.log" if index else f"{name}.log")


def leftover_named(folder: Path, job: Queued) -> tuple[str, Leftover] | None:
    """Return name and `Leftover` of one entry of the queue if it comes from `folder`."""
    script = folder / (f"{job.name}.{job.index}.sh" if job.index else f"{job.name}.sh")
    if not names.is_ours(job.name) or not script.exists():
        return None
    own_name = script.resolve().stem  # a sub-job's script is a link to the job's
    return own_name, Leftover(job.job_id, log_of(folder, job.name, job.index))


def in_queue(folder: Path, manager: Manager) -> dict[str, Leftover]:
    """Return this folder's jobs that are queued, by name; nobody is asked if none can exist."""
    if not any(folder.glob("*.sh")):
        return {}
    entries = (leftover_named(folder, job) for job in calls.queued_patiently(manager))
    return dict(entry for entry in entries if entry)


def serves(paths: jobscript.Paths, fingerprint: str, inputs: Iterable[str]) -> bool:
    """Tell whether a job's script does what would be submitted now, from inputs as they are now."""
    try:
        submitted = paths.script.stat().st_mtime
        same = jobscript.fingerprint_in(paths.script.read_text()) == fingerprint
        return same and all(Path(path).stat().st_mtime <= submitted for path in inputs)
    except OSError:
        return False


def finished(paths: jobscript.Paths, outputs: Iterable[str], began: float) -> Leftover | None:
    """Return a job that ended well, with its outputs, while no main process was there.

    Parameters
    ----------
    outputs
        Its files, flagged as Snakemake does. What the main process itself touches is not there.
    began
        When this run did: what had ended before, it has seen in other ways, and wants again.
    """
    try:
        marker = jobscript.marker_in(paths.marker.read_text())
        is_new = paths.marker.stat().st_mtime > began
    except OSError:
        return None
    if marker is None or marker.code != 0:
        return None
    awaited = [path for path in outputs if not (is_new and is_flagged(path, "touch"))]
    is_whole = all(Path(path).exists() for path in awaited)
    return Leftover(marker.owner, paths.log) if is_whole else None
