"""The work that is measured: members that do nothing but leave one small file with their number."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SNAKEFILE = REPOSITORY / "workflow" / "Snakefile"
PROFILES = REPOSITORY / "profiles"
CONFIG = """\
experiment: bench
ensembles:
  sweep:
    params: {{x: {{range: [0, {members}]}}}}
    run_settings: {{exe: "true"}}
    files: {{to_configure: [member.cfg]}}
"""
# As many members again, each of which goes on from one of those; and one that gathers some of them.
STAGES = """\
  then:
    params: {start: {members: sweep}}
    inputs: {sweep: {files: {member.cfg: before.cfg}}}
    run_settings: {exe: "true"}
    batch_settings: {size: 500}
"""
GATHERED = """\
models:
  gathered:
    inputs: {sweep: {members: all, files: [member.cfg]}}
    run_settings: {exe: "true"}
"""


def environment() -> dict[str, str]:
    """Return the environment of every measured command: this Python's tools first."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if k not in ("SNAKEMAKE_PROFILE", "PYTHONPATH")}
    return {**kept, "PATH": path, "MPLBACKEND": "Agg"}


def write(folder: Path, members: int, batch: int | None = None) -> None:
    """Write a user's project: one config, one tagged file."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(members=members)
    if batch is not None:
        text += f"    batch_settings: {{size: {batch}}}\n" if batch else "    batch_settings: {}\n"
    (folder / "config" / "config.yaml").write_text(text)
    (folder / "member.cfg").write_text("number = ;x;\nrest = unchanged\n")


def write_stages(folder: Path, members: int, is_gathered: bool) -> None:
    """Write a project whose members are used by others: by as many, or by one."""
    write(folder, members, 500)
    path = folder / "config" / "config.yaml"
    path.write_text(path.read_text() + (GATHERED if is_gathered else STAGES))


def snakemake(*words: str, profile: str = "local") -> list[str]:
    """Return the command that runs ensemake's workflow as a user does."""
    where = ["--snakefile", str(SNAKEFILE), "--profile", str(PROFILES / profile)]
    return [sys.executable, "-m", "snakemake", *words, *where]


def scheduler_words(rate: str | None = None) -> list[str]:
    """Return the local profile's scheduler settings as options; with another rate limit."""
    import yaml  # not at the top: what measures stays small

    profile = yaml.safe_load((PROFILES / "local" / "config.yaml").read_text())
    names = ("scheduler", "scheduler-subsample", "max-jobs-per-timespan")
    given = {name: str(profile[name]) for name in names if name in profile}
    if rate:
        given["max-jobs-per-timespan"] = rate
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def member_scripts(folder: Path) -> Sequence[Path]:
    """Return the members' run.sh."""
    return sorted(folder.glob("results/bench/sweep/**/run.sh"))
