"""Where everything lies on disk: the only place that knows these paths."""

from dataclasses import dataclass
from pathlib import Path

from ensemake.config import Config


@dataclass(frozen=True)
class Layout:
    """Paths of one model or ensemble; relative to the working directory."""

    root: Path
    entity: str
    is_model: bool

    @property
    def directory(self) -> Path:
        """Folder of the tables and of the members."""
        return self.root / self.entity

    @property
    def state(self) -> Path:
        """Folder of markers, plans and logs: nothing a user needs to read."""
        return self.root / ".ensemake" / self.entity

    def member(self, name: str) -> Path:
        """Directory of a member; of a model, the model's own."""
        return self.directory if self.is_model else self.directory / name

    def done(self, name: str) -> Path:
        """Marker of a finished member or batch; derived from status.json, never the truth."""
        return self.state / f"{name}.done"

    def plan(self, chunk: str) -> Path:
        """Plan of the members that are generated, or run in a batch, together."""
        return self.state / f"{chunk}.plan.json"

    def generated(self, chunk: str) -> Path:
        """Marker of a generated chunk."""
        return self.state / f"{chunk}.generated"

    @property
    def stamp(self) -> Path:
        """Rewritten whenever members are found pending."""
        return self.state / "pending.json"


def layout(config: Config, entity: str) -> Layout:
    """Return the paths of an entity of the config."""
    return Layout(root(config), entity, entity in config.models)


def root(config: Config) -> Path:
    """Return the folder of an experiment's results."""
    return Path(config.results) / config.experiment


def config_copy(config: Config) -> Path:
    """Return the path of the config as it was run, which scripts read."""
    return root(config) / ".ensemake" / "config.json"
