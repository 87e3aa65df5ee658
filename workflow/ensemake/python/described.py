"""An experiment as what is written: its entities as a config, saved and loaded."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from ensemake.atomic import write_atomically
from ensemake.check.config import check_config, check_shape
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.config.yamltext import config_text
from ensemake.member.expansion import Expansion
from ensemake.member.plan import Work
from ensemake.paths import expanded_path
from ensemake.python.database import Orchestrator
from ensemake.python.entities import Ensemble, Model
from ensemake.python.loading import loaded, loaded_databases
from ensemake.python.values import Place
from ensemake.results import runs
from ensemake.results.choose import choose

CONFIG = "experiment.yaml"
COMMENT = """\
Described by ensemake's Python interface. To continue without Python, from {base}:
snakemake --snakefile "$(ensemake path snakefile)" --profile local --configfile {file}"""

Item = Model | Ensemble
KINDS: dict[str, type[Item]] = {"models": Model, "ensembles": Ensemble}


class Described:
    """Entities of one folder, and the config that they are."""

    name: str
    launcher: str
    place: Place
    head: dict[str, Any]
    written: set[str]
    entities: dict[str, Item]
    databases: dict[str, Orchestrator]
    _children: list[subprocess.Popen[bytes]]  # kept so that they are reaped

    @property
    def exp_path(self) -> str:
        """The experiment's folder."""
        return str(self.place.folder)

    def as_config(self) -> dict[str, Any]:
        """Return the config that this experiment is; members of ensembles stand in those."""
        own = [item for item in self.entities.values() if not ensemble_of(item)]
        found = {
            kind: {item.name: item.as_config() for item in own if isinstance(item, of_kind)}
            for kind, of_kind in KINDS.items()
        }
        found["databases"] = {name: store.as_config() for name, store in self.databases.items()}
        kept = {kind: part for kind, part in found.items() if part or kind in self.written}
        return {**self.head, **kept}

    def save(self) -> Path:
        """Write the config into the experiment's folder and return its path.

        Raises
        ------
        ConfigError
            If it cannot be run; every fault is named.
        """
        check_config(self._document(), self.place.base)
        data = self._with_running(self.as_config())
        path = self.place.folder / CONFIG
        comment = COMMENT.format(base=self.place.base, file=self.place.shown(path))
        write_atomically(path, config_text(data, comment).encode())
        write_atomically(self._session, json.dumps(self._settings()).encode())
        return path

    def _with_running(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep what another process runs now: its jobs read this file too."""
        running = {name for run in runs.alive(self.place.folder) for name in run.entities}
        path = self.place.folder / CONFIG
        if running - self.entities.keys() and path.exists():
            saved = load_yaml(path).data
            for kind in ("models", "ensembles"):
                kept = {k: v for k, v in saved.get(kind, {}).items() if k in running}
                data[kind] = {**kept, **data.get(kind, {})}
            if stores := {**saved.get("databases", {}), **data.get("databases", {})}:
                data["databases"] = stores
        return data

    @property
    def _session(self) -> Path:
        return self.place.folder / ".ensemake" / "session.json"

    def _settings(self) -> dict[str, str]:
        return {"name": self.name, "launcher": self.launcher, "base": str(self.place.base)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the experiment that was saved in a folder, or as a config file.

        Parameters
        ----------
        path
            The experiment's folder, or its ``experiment.yaml``.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        file = Path(os.path.abspath(path))
        file = file / CONFIG if file.is_dir() else file
        if not file.exists():
            raise FileNotFoundError(f"no experiment was saved as {file}")
        document = load_yaml(file)
        check_shape(document)
        experiment = cls.__new__(cls)
        experiment._restore(document.data, file.parent)
        return experiment

    def _restore(self, config: dict[str, Any], folder: Path) -> None:
        try:
            known = json.loads((folder / ".ensemake" / "session.json").read_text("utf-8"))
        except OSError:  # a config that no script wrote
            known = {}
        base = Path(known.get("base", Path.cwd()))
        if not base.is_dir():  # the project was moved
            base = Path.cwd()
        results = expanded_path(config.get("results", "results"))
        root = base / results / config["experiment"]
        self.name = known.get("name", config["experiment"])
        self.launcher = known.get("launcher", "local")
        self.place = Place(base, Path(os.path.abspath(root)), self.as_config)
        self.head = {k: config[k] for k in config if k not in {*KINDS, "databases"}}
        self.written = set(config)
        self.entities = dict(loaded(config, self.place, self.launcher))
        self.databases = loaded_databases(config, self.launcher)
        self._children = []

    def _document(self) -> Document:
        return Document(f"experiment {self.name}", self.as_config())

    def _works(self, items: Iterable[Item]) -> list[Work]:
        """Expand entities, as the workflow would."""
        expansion = Expansion(check_shape(self._document()), self.place.base, choose)
        return [expansion.work(item.name) for item in items]


def ensemble_of(item: Item) -> str | None:
    """Return the name of the ensemble that a model is a member of."""
    return item.ensemble if isinstance(item, Model) else None
