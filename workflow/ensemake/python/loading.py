"""From a config that was read to the objects that a script changes; nothing is looked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemake.python.batch_settings import BATCH_KINDS, BatchSettings
from ensemake.python.database import Orchestrator
from ensemake.python.entities import Ensemble, Model
from ensemake.python.launcher_settings import CLASSES
from ensemake.python.settings import RunSettings
from ensemake.python.values import Place


def loaded(config: Mapping[str, Any], place: Place, launcher: str) -> dict[str, Model | Ensemble]:
    """Return the models and ensembles of a config as objects, for the words of a launcher."""
    kinds: dict[str, type[Model | Ensemble]] = {"models": Model, "ensembles": Ensemble}
    return {
        name: _entity(kind, name, entry, place, launcher)
        for key, kind in kinds.items()
        for name, entry in config.get(key, {}).items()
    }


def loaded_databases(config: Mapping[str, Any], launcher: str) -> dict[str, Orchestrator]:
    """Return the stores of a config as objects."""
    return {
        name: _database(name, entry, launcher)
        for name, entry in config.get("databases", {}).items()
    }


def _database(name: str, entry: Mapping[str, Any], launcher: str) -> Orchestrator:
    batch = entry.get("batch_settings")
    own = {key: value for key, value in entry.items() if key != "batch_settings"}
    settings = None if batch is None else _batch_settings(batch, launcher)
    return Orchestrator.of(own, name=name, batch_settings=settings)


def _entity(
    kind: type[Model | Ensemble], name: str, entry: Mapping[str, Any], place: Place, launcher: str
) -> Model | Ensemble:
    batch = entry.get("batch_settings")
    others = {"run_settings", "resources"} | ({"batch_settings"} if batch is not None else set())
    return kind.of(
        {key: value for key, value in entry.items() if key not in others},
        written=set(entry),
        name=name,
        place=place,
        run_settings=_all_settings(entry["run_settings"], entry.get("resources", {})),
        batch_settings=None if batch is None else _batch_settings(batch, launcher),
    )


def _batch_settings(data: dict[str, Any], launcher: str) -> BatchSettings:
    words = "pbs" if launcher == "pals" else launcher
    kind: type[BatchSettings] = BATCH_KINDS.get(words, BatchSettings)
    return kind.of(data, launcher=words)


def _all_settings(data: Any, resources: Mapping[str, Any]) -> RunSettings | list[RunSettings]:
    if isinstance(data, list):
        return [_run_settings(one, resources) for one in data]
    return _run_settings(data, resources)


def _run_settings(data: Mapping[str, Any], resources: Mapping[str, Any]) -> RunSettings:
    """Return the settings that a config has, with the resources that it gives the member."""
    kind = CLASSES.get(Path(data.get("run_command", "auto")).name, RunSettings)
    command = {key: data[key] for key in ("run_command",) if key in data}
    parts = [
        _run_settings({**part, **command}, {k: part[k] for k in ("tasks",) if k in part})
        for part in data.get("mpmd", [])
    ]
    sizes = dict(resources)
    if isinstance(sizes.get("tasks"), int):  # they count all programs
        sizes["tasks"] -= sum(part.tasks for part in parts)
    own = {key: value for key, value in data.items() if key != "mpmd"}
    kept = set(data.get("run_args", {}))
    return kind.of(own, written=set(data), mpmd=parts, resources=sizes, kept=kept)
