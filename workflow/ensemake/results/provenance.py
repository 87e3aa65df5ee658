"""What each run leaves about itself: config, code version, packages, host; `runs/<id>.json`.

The id reaches the members through the environment, so that run.sh can put it into status.json.
Jobs on other machines find it in a file: they may not inherit the environment.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

from ensemake.atomic import write_atomically
from ensemake.config.schema import Config, shareable
from ensemake.member.layout import config_copy

VARIABLE = "ENSEMAKE_RUN"
PROFILE_OPTIONS = ("--profile", "--workflow-profile")


def new_run() -> str:
    """Begin a run: members that this process starts learn its id from the environment."""
    run = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid4().hex[:4]}"
    os.environ[VARIABLE] = run
    return run


def record_start(
    root: Path, config: Config, pending: Mapping[str, int], base: Path = Path()
) -> None:
    """Record that members are about to run.

    Parameters
    ----------
    root
        Folder of the experiment's results.
    config
        As it is run.
    pending
        How many members of each entity are to run.
    base
        The working directory.
    """
    run = os.environ[VARIABLE]
    record = {
        "run": run,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "pending": dict(pending),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "profile": profiles(sys.argv, os.environ),
        "directory": str(base.absolute()),
        "host": platform.node(),
        "pid": os.getpid(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "git": git_state(base),
        "packages": packages(),
        "config": shareable(config).model_dump(mode="json"),
    }
    _save(_folder(root, base), record)
    write_atomically(_folder(root, base) / "latest", f"{run}\n".encode())


def record_end(root: Path, succeeded: bool, base: Path = Path()) -> None:
    """Add to the record of this run how it ended."""
    record = latest_run(root, base)
    if record and record["run"] == os.environ.get(VARIABLE):
        ended = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        _save(_folder(root, base), {**record, "ended": ended, "succeeded": succeeded})


def join_run(root: Path, base: Path = Path()) -> None:
    """Tell the members that this process starts which run they belong to."""
    try:
        run = (_folder(root, base) / "latest").read_text().strip()
    except FileNotFoundError:
        return
    os.environ.setdefault(VARIABLE, run)


def latest_run(root: Path, base: Path = Path()) -> dict[str, Any] | None:
    """Return the record of the last run, or None if there was none."""
    folder = _folder(root, base)
    try:
        return read_run(root, (folder / "latest").read_text().strip(), base)
    except FileNotFoundError:
        return None


def read_run(root: Path, run: str, base: Path = Path()) -> dict[str, Any] | None:
    """Return the record of a run, or None if there is none."""
    try:
        text = (_folder(root, base) / f"{run}.json").read_text(encoding="utf-8")
    except OSError:
        return None
    return dict(json.loads(text))


def is_over(record: Mapping[str, Any]) -> bool:
    """Tell whether the run is over, as far as can be seen from this machine."""
    if "ended" in record:
        return True
    if record["host"] != platform.node():
        return False
    try:
        os.kill(record["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        pass
    return False


def _folder(root: Path, base: Path) -> Path:
    return base / config_copy(root).with_name("runs")


def _save(folder: Path, record: Mapping[str, Any]) -> None:
    write_atomically(folder / f"{record['run']}.json", json.dumps(record, indent=2).encode())


def profiles(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the profiles that a command line, or else the environment, names."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option in PROFILE_OPTIONS:
            found.append(value or following)
    return found or [name for name in [environ.get("SNAKEMAKE_PROFILE")] if name]


def git_state(base: Path) -> dict[str, Any] | None:
    """Return commit and whether anything differs from it; None outside of a repository."""
    commit = _git(base, "rev-parse", "HEAD")
    if not commit:
        return None
    return {
        "commit": commit,
        "branch": _git(base, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": bool(_git(base, "status", "--porcelain")),
    }


def _git(base: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=base, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def packages() -> dict[str, str]:
    """Return the versions of all packages of this Python."""
    found = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
