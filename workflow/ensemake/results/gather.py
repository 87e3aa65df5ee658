"""What a member gathers from many others: their files in its directory, and a table of them."""

import csv
import glob
import io
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ensemake.atomic import sibling, write_atomically
from ensemake.member.plan import Origin, Plan, Planned
from ensemake.member.state import StatusFile
from ensemake.member.taking import TakenFile, of_member
from ensemake.metrics.read import Reader


def gather(plan: Plan, name: str, base: Path = Path()) -> str:
    """Put what a member gathers into its directory: ``<entity>/<member>/...``, and a table.

    Parameters
    ----------
    plan
        A plan that holds the member.
    name
        The member's name.
    base
        The working directory.

    Returns
    -------
    str
        What stands in the way, such as a member that has not completed; empty if all went well.
    """
    member = next(one for one in plan.members if one.name == name)
    blocking = plan.blocking(member)
    if blocking:
        return f"needs {blocking}, which has not completed"
    for entity, names in member.inputs:
        if plan.settings.inputs[entity].members == "all":
            fault = _gather_from(plan, member, entity, plan.origins[entity].only(names), base)
            if fault:
                _record(base / member.directory, member.digest, fault)
                return fault
    return ""


def _record(directory: Path, digest: str, reason: str) -> None:
    host, started = socket.gethostname(), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    run = os.environ.get("ENSEMAKE_RUN", "")
    status = StatusFile("failed", 0, digest, host, started, reason=reason, run=run)
    (directory / "run.err").unlink(missing_ok=True)
    write_atomically(directory / "run.err", f"ensemake: {reason}\n".encode())
    write_atomically(directory / "status.json", (json.dumps(asdict(status)) + "\n").encode())


def _gather_from(plan: Plan, member: Planned, entity: str, origin: Origin, base: Path) -> str:
    taken = plan.settings.inputs[entity]
    folder = base / member.directory / entity
    for other in origin.members.values():
        for one in of_member(entity, taken, origin, other.name):
            if not _bring(one, folder / other.name, base):
                return f"{entity}/{other.name} left no {one.file}"
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(folder / "members.csv", origin, base)
    return ""


def _bring(one: TakenFile, folder: Path, base: Path) -> bool:
    """Link or copy a file, or all of a pattern; False if there is none."""
    source = base / one.directory
    found = glob.glob(one.file, root_dir=source) if one.how in ("links", "copys") else [one.file]
    for name in found:
        target = folder / (one.target + Path(name).name if one.how.endswith("s") else one.target)
        if not (source / name).exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, source / name, is_copy=one.how.startswith("cop"))
    return bool(found)


def _replace(target: Path, source: Path, is_copy: bool) -> None:
    wanted = os.path.relpath(source, os.path.realpath(target.parent))
    if not is_copy and target.is_symlink() and os.readlink(target) == wanted:
        return
    temporary = sibling(target)
    if not is_copy:
        temporary.symlink_to(wanted)
    elif source.is_dir():
        shutil.copytree(source, temporary)
    else:
        shutil.copy2(source, temporary)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    temporary.replace(target)


def _write_table(path: Path, origin: Origin, base: Path) -> None:
    rows = list(_rows(origin, base, path.parent))
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else ["member"], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def _rows(origin: Origin, base: Path, folder: Path) -> Iterator[Mapping[str, Any]]:
    metrics, nothing = origin.settings.metrics, dict.fromkeys(origin.settings.metrics, "")
    with Reader(metrics, base) as reader:
        for member in origin.members.values():
            directory = base / member.directory
            values, _ = reader.read(directory, member.values)
            place = os.path.relpath(directory, os.path.realpath(folder.parent))
            own = {"member": member.name, **member.values, "status": "completed"}
            yield {**own, **nothing, **values, "directory": place}
