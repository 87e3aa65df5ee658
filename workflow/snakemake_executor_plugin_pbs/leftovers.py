"""Jobs that an earlier main process left behind (it was killed), and whether they still serve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from . import commands, jobscript, listing, names


@dataclass(frozen=True)
class Leftover:
    """A job in the queue, or over, of which the earlier main process never learned the end."""

    job_id: str
    log: Path


def log_of(folder: Path, name: str, index: str = "") -> Path:
    """Return where the output of a job, or of an array's sub-job, arrives."""
    return folder / (f"{name}.{index}.log" if index else f"{name}.log")


def index_of(job_id: str) -> str:
    """Return the array index in ``9[3].host``, else an empty string."""
    return job_id.partition("[")[2].partition("]")[0]


def leftover_named(folder: Path, job_id: str, name: str) -> tuple[str, Leftover] | None:
    """Return name and `Leftover` of one entry of the queue if it comes from `folder`."""
    index = index_of(job_id)
    script = folder / (f"{name}.{index}.sh" if index else f"{name}.sh")
    if not names.is_ours(name) or not script.exists():
        return None
    own_name = script.resolve().stem  # a sub-job's script is a link to the job's
    return own_name, Leftover(job_id, log_of(folder, name, index))


def in_queue(folder: Path, queue: commands.Queue) -> dict[str, Leftover]:
    """Return this folder's jobs that PBS still has, by name; PBS is not asked if none can exist."""
    if not any(folder.glob("*.sh")):
        return {}
    ids = commands.own_jobs()
    found = look(queue, ids) if ids else {}
    entries = (
        leftover_named(folder, job_id, record_name(found, job_id))
        for job_id, record in found.items()
        if "[]" not in job_id and record.get("job_state") not in ("F", "X")
    )
    return dict(entry for entry in entries if entry)


def record_name(found: listing.Listing, job_id: str) -> str:
    """Return the name of a job, of a sub-job that of its array."""
    record = found.get(listing.parent(job_id) or "", found[job_id])
    return str(record.get("Job_Name", ""))


def look(queue: commands.Queue, ids: list[str]) -> listing.Listing:
    """Ask until there is an answer; the first ones may show how to ask."""
    for _ in range(3):
        found = queue.look(ids)
        if found is not None:
            return found
    raise WorkflowError("PBS does not say which jobs of an earlier run are in the queue.")


def serves(paths: jobscript.Paths, fingerprint: str, inputs: Iterable[str]) -> bool:
    """Tell whether a job's script does what would be submitted now, from inputs as they are now."""
    try:
        submitted = paths.script.stat().st_mtime
        same = jobscript.fingerprint_in(paths.script.read_text()) == fingerprint
        return same and all(Path(path).stat().st_mtime <= submitted for path in inputs)
    except OSError:
        return False


def finished(paths: jobscript.Paths, outputs: Iterable[str]) -> Leftover | None:
    """Return a job that ended well, with its outputs, while no main process was there."""
    try:
        owner, _, code = paths.marker.read_text().strip().rpartition(" ")
    except OSError:
        return None
    complete = code == "0" and all(Path(path).exists() for path in outputs)
    return Leftover(owner, paths.log) if complete and owner else None
