"""Where everything lies on disk: the only place that knows these paths."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ensemake.config.schema import Config, Model
from ensemake.paths import expanded_path

MOST = 10_000  # members in one folder; many cluster file systems are slow beyond

# Names that are ours: in a member's directory, in an entity's folder beside the members (those of
# its logs among them), and in the folder of an experiment and its .ensemake.
OWN = (
    *("run.sh", "params.json", "run.out", "run.err", "status.json", ".lock", "previous"),
    *(".nodes", ".preamble"),
)
TABLES = ("members.csv", "results.csv", "results.parquet", "plots")
SERIES = ("series.parquet", "series.csv")
RESERVED_MEMBERS = (*TABLES, *SERIES, "members", "collect", "parquet", "plot")
RESERVED_ENTITIES = ("overview.html", "overview.log", "config.json", "runs")
SUBFOLDER = re.compile("[0-9a-f]{2}")  # of members whose names start so


@dataclass(frozen=True)
class Layout:
    """Paths of one model or ensemble; relative to the working directory."""

    root: Path
    entity: str
    is_model: bool

    @cached_property
    def directory(self) -> Path:
        """Folder of the tables and of the members."""
        return self.root / self.entity

    @property
    def state(self) -> Path:
        """Folder of markers, plans and logs: nothing a user needs to read."""
        return self.root / ".ensemake" / self.entity

    def member(self, place: str) -> Path:
        """Directory of a member, from its name or its place; of a model, the model's own."""
        return self.directory if self.is_model else self.directory / place

    def directory_of(self, place: str) -> str:
        """Return the same as text, quickly."""
        return str(self.directory) if self.is_model else f"{self.directory}/{place}"

    def place(self, name: str, directory: str) -> str:
        """Return what stands for a member in the rules: its name, behind that of a sub-folder."""
        return name if self.is_model else directory.removeprefix(f"{self.directory}/")

    def done(self, place: str) -> Path:
        """Marker of a finished member or batch; derived from status.json, never the truth."""
        return self.state / f"{place}.done"

    def plan(self, chunk: str) -> Path:
        """Plan of the members that are generated, or run in a batch, together."""
        return self.state / f"{chunk}.plan.json"

    @property
    def ended(self) -> Path:
        """Marker of a source all of whose members have ended."""
        return self.state / "all.ended"

    def generated(self, chunk: str) -> Path:
        """Marker of a generated chunk."""
        return self.state / f"{chunk}.generated"

    @property
    def planned(self) -> Path:
        """All members as the last run worked on them: read by everything after it."""
        return self.state / "planned.json"

    @property
    def env_vars(self) -> Path:
        """Environment variables of the last run, for its user's eyes alone."""
        return self.state / "env_vars.json"

    @property
    def collected(self) -> Path:
        """What results.csv was made from."""
        return self.state / "collected.json"

    @property
    def curves(self) -> Path:
        """What has been read of the members' series, to go on from."""
        return self.state / "series.npz"

    @property
    def lock(self) -> Path:
        """Held by the run that works on the entity."""
        return self.state / "run.lock"


def places(directory: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield where the members of an ensemble lie in its folder: spread, if they are many.

    What is there stays where it is, however the ensemble grows or shrinks.

    Parameters
    ----------
    directory
        The ensemble's folder.
    names
        Names of the members; hashes, which spread evenly.
    """
    there = set(os.listdir(directory)) if directory.is_dir() else set()
    for name in names:
        is_deep = len(names) > MOST or (name[:2] in there and (directory / _deep(name)).is_dir())
        yield _deep(name) if is_deep and name not in there else name


def located(directory: Path, name: str) -> Path:
    """Return the directory of a member that has been generated."""
    path = directory / _deep(name)
    return path if path.is_dir() else directory / name


def _deep(name: str) -> str:
    return f"{name[:2]}/{name}"


def tables(settings: Model) -> tuple[str, ...]:
    """Return the names of the tables of an entity, which lie in a model's own directory."""
    return (*TABLES, *SERIES) if settings.series else TABLES


def layout(config: Config, entity: str) -> Layout:
    """Return the paths of an entity of the config."""
    return Layout(root(config), entity, entity in config.models)


def store_layout(root: Path, name: str) -> Layout:
    """Return the paths of a store in memory, which has its place beside the entities."""
    return Layout(root, name, True)


def root(config: Config) -> Path:
    """Return the folder of an experiment's results."""
    return Path(expanded_path(config.results)) / config.experiment


def experiment_folders(data: Mapping[str, Any]) -> list[Path]:
    """Return the folders of experiments that have been run, as far as a config names one."""
    results, name = data.get("results", "results"), data.get("experiment", "*")
    if not isinstance(results, str) or not isinstance(name, str):
        return []
    found = Path(expanded_path(results)).glob(f"{name}/.ensemake/config.json")
    return sorted(path.parent.parent for path in found)


def config_copy(root: Path) -> Path:
    """Return the path of an experiment's config as it was run, which scripts read."""
    return root / ".ensemake" / "config.json"
