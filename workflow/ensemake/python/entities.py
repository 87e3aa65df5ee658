"""Models and ensembles as a script holds them: each knows how the config writes it."""

import copy
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.check import check_shape
from ensemake.config import schema
from ensemake.config.faults import did_you_mean
from ensemake.config.yamlfile import Document
from ensemake.errors import EntityExistsError, UnsupportedError
from ensemake.member.layout import located
from ensemake.python.face import Face, Key
from ensemake.python.launcher_settings import loaded_settings
from ensemake.python.settings import BatchSettings, RunSettings
from ensemake.python.table import merged, table
from ensemake.python.values import FilesArgument, existing_paths, parameter_values, spaces
from ensemake.sweep import strategies
from ensemake.sweep.members import Member, expand
from ensemake.sweep.spaces import axis

FILE_KEYS = ("to_copy", "to_symlink", "to_configure")
MEMBER_KEYS = ("params_as_args", "files", "resources")  # what a member as a model has of these
SAMPLING_KEYS = ("perm_strategy", "n_models", "replicas")  # what a table says by its rows


@dataclass(frozen=True)
class Place:
    """Where an experiment lies.

    Attributes
    ----------
    base
        The working directory, from which the config's relative paths start.
    folder
        The experiment's folder: an entity's path is ``folder / name``.
    """

    base: Path
    folder: Path

    def shown(self, path: str | Path) -> str:
        """Write a path as the config has it: relative to the working directory if below it."""
        absolute = Path(os.path.abspath(self.base / path))
        return str(absolute.relative_to(self.base) if self._holds(absolute) else absolute)

    def _holds(self, path: Path) -> bool:
        return path.is_relative_to(self.base)


class Entity(Face):
    """What models and ensembles have in common. Made by `Experiment`, not by scripts."""

    params: Key[dict[str, Any]] = Key(lambda entity, params: spaces(params))
    params_as_args: Key[list[str]] = Key(
        lambda entity, names: [names] if isinstance(names, str) else list(names)
    )
    files: Key[dict[str, Any]] = Key()

    def __init__(
        self,
        name: str,
        place: Place,
        run_settings: RunSettings | None,
        batch_settings: BatchSettings | None,
        keys: Mapping[str, Any],
    ) -> None:
        super().__init__()
        for key in keys:
            if key not in self.section.model_fields:
                raise TypeError(
                    f"there is no argument {key!r}{did_you_mean(key, self.section.model_fields)}"
                )
        self.name = name
        self.place = place
        self.run_settings = run_settings
        self.batch_settings = batch_settings
        for key, value in keys.items():
            if value is not None:
                self.assign(key, value)

    @property
    def path(self) -> str:
        """The entity's folder."""
        return str(self.place.folder / self.name)

    def attach_generator_files(
        self,
        to_copy: FilesArgument = None,
        to_symlink: FilesArgument = None,
        to_configure: FilesArgument = None,
    ) -> None:
        """Attach files that each member's directory gets; what was attached before is replaced.

        Parameters
        ----------
        to_copy, to_symlink
            Files or directories.
        to_configure
            Files whose tags are replaced by parameters; ``*.j2`` are Jinja2 templates.

        Raises
        ------
        FileNotFoundError
            If one is not there.
        TypeError
            If one is no path.
        """
        given = dict(zip(FILE_KEYS, (to_copy, to_symlink, to_configure), strict=True))
        found = {key: existing_paths(key, paths) for key, paths in given.items()}
        for key, paths in found.items():
            self.files.pop(key, None)
            if paths:
                self.files[key] = [self.place.shown(path) for path in paths]
        if to_configure:  # as SmartSim: the text between unknown tags is their default
            self.files.setdefault("unknown_tags", "default")

    def set_tag(self, tag: str | tuple[str, str]) -> None:
        """Set the text around the tags of configured files; a pair for open and close."""
        self.files = {**self.files, "tag": tag if isinstance(tag, str) else list(tag)}

    @property
    def attached_files_table(self) -> str:
        """The attached files, as text."""
        rows = [(key, name) for key in FILE_KEYS for name in self.files.get(key, [])]
        return tabulate(rows, headers=("", "file"), tablefmt="grid") if rows else "no files"

    def print_attached_files(self) -> None:
        """Print `attached_files_table`."""
        print(self.attached_files_table)

    def params_to_args(self, names: Iterable[str] | None = None) -> None:
        """Pass parameters as arguments as well: those named, or those chosen at creation."""
        if names is not None:
            self.params_as_args = names

    def _entry(self) -> dict[str, Any]:
        """Return the entry of the config: what the entity has, and what its settings have."""
        run, batch = self._run, self.batch_settings
        settings = run.as_config()
        if "exe" not in run.written and "/" in run.exe and not run.container:
            settings["exe"] = self.place.shown(run.exe)
        given = {"run_settings": settings, "batch_settings": batch and batch.as_config()}
        resources = {**run.needs, **self.data.get("resources", {})}
        entry = self.pruned({**self.data, **given, "resources": resources})
        return entry if batch is None else {**entry, "batch_settings": given["batch_settings"]}

    @property
    def _run(self) -> RunSettings:
        assert self.run_settings is not None
        return self.run_settings


class Model(Entity):
    """One run with fixed parameters.

    Parameters
    ----------
    name
        Its name, which is also the name of its folder.
    place
        Where the experiment lies.
    run_settings
        How it is run.
    params
        Values by name: text or numbers.
    keys
        Further keys of the config: outputs, metrics, derived, resources.

    Raises
    ------
    TypeError
        If a parameter is neither text nor a number.
    """

    section = schema.Model
    home = ("models", "models")
    params: Key[dict[str, Any]] = Key(lambda model, params: parameter_values(params))
    ensemble: str | None = None  # name of the one it is a member of

    def __init__(
        self,
        name: str,
        place: Place,
        run_settings: RunSettings,
        params: Mapping[str, Any] | None = None,
        batch_settings: BatchSettings | None = None,
        params_as_args: Iterable[str] | None = None,
        **keys: Any,
    ) -> None:
        super().__init__(name, place, run_settings, batch_settings, keys)
        self.params_as_args = params_as_args or []
        self.params = params or {}

    @property
    def path(self) -> str:
        """The model's folder; of a member, below its ensemble's."""
        if self.ensemble is None:
            return str(self.place.folder / self.name)
        return str(located(self.place.folder / self.ensemble, self.name))

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config's ``models``."""
        return self._entry()

    def __repr__(self) -> str:
        return f"Model({self.name!r}, params={self.params})"


class Ensemble(Entity):
    """Many runs: from parameters and a strategy, replicas, or models that are added.

    Parameters
    ----------
    name
        Its name, which is also the name of its folder.
    place
        Where the experiment lies.
    params
        Name to values: a list, tuple, range or array; a scalar is a constant; a space of the
        config such as ``{"linspace": [0, 1, 5]}``.
    perm_strategy
        A strategy of the config, or a function of (names, values) or (names, values, n_models)
        that returns a list of dicts.
    n_models, replicas
        As in the config. Without n_models, ``random`` takes all combinations.
    keys
        Further keys of the config: seed, where, naming, outputs, metrics, derived, resources.

    Raises
    ------
    TypeError, ValueError
        If the parameters cannot be used, or the arguments do not say what to run.
    """

    section = schema.Ensemble
    home = ("ensembles", "ensembles")
    perm_strategy: Key[str] = Key()
    n_models: Key[int | None] = Key()
    replicas: Key[int] = Key()
    _models: list["Model"] | None = None

    def __init__(
        self,
        name: str,
        place: Place,
        params: Mapping[str, Any] | None = None,
        batch_settings: BatchSettings | None = None,
        run_settings: RunSettings | None = None,
        replicas: int | None = None,
        perm_strategy: str | Callable[..., Any] = "all_perm",
        n_models: int | None = None,
        params_as_args: Iterable[str] | None = None,
        **keys: Any,
    ) -> None:
        _check_combination(params, run_settings, batch_settings, replicas)
        keys = {"naming": "index", "replicas": replicas, **keys}
        super().__init__(name, place, run_settings, batch_settings, keys)
        self.params = params or {}
        self.params_as_args = params_as_args or []
        self._choose(perm_strategy, n_models)
        self.members()  # what is wrong with the parameters is told now

    # ---- from arguments to the config ----

    def _choose(self, strategy: str | Callable[..., Any], n_models: int | None) -> None:
        """Set the strategy; what a function returns is kept as a table."""
        if isinstance(strategy, str):
            self.perm_strategy, self.n_models = self._sampled(strategy, n_models)
            return
        if not callable(strategy):
            raise UnsupportedError(f"perm_strategy is a name or a function, not {strategy!r}")
        found = [axis(key, spec, self.place.base) for key, spec in self.params.items()]
        name = getattr(strategy, "__name__", "perm_strategy")
        rows = strategies.call_strategy(strategy, found, name, n_models)
        self.params = table(list(rows[0]), [list(row.values()) for row in rows])
        self.perm_strategy = "step"

    def _sampled(self, strategy: str, n_models: int | None) -> tuple[str, int | None]:
        """Take what there is if no number, or more than that, is asked of ``random``."""
        if strategy != "random":
            return strategy, n_models
        if not n_models:
            return "all_perm", None
        lists = [space for space in self.params.values() if isinstance(space, list)]
        only_lists = not any(isinstance(space, dict) for space in self.params.values())
        size = math.prod(len(values) for values in lists)
        return strategy, min(n_models, size) if only_lists else n_models

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config's ``ensembles``."""
        is_table = self.run_settings is None or self._is_changed()
        return self._as_table() if is_table else self._entry()

    def members(self) -> Sequence[Member]:
        """Return the members as the config describes them; of an empty ensemble, none."""
        if self.run_settings is None and not self._models:
            return []
        data = {"experiment": "e", "ensembles": {self.name: self.as_config()}}
        settings = check_shape(Document(f"ensemble {self.name}", data)).ensembles[self.name]
        return expand(self.name, settings, self.place.base)

    # ---- members ----

    @property
    def models(self) -> list[Model]:
        """The members as models; a change to one of them changes that member alone."""
        if self._models is None:
            self._models = [] if self.run_settings is None else self._expanded()
        return list(self._models)

    def _expanded(self) -> list[Model]:
        return [self._as_model(member) for member in self.members()]

    def _as_model(self, member: Member) -> Model:
        keys = {key: self.data[key] for key in MEMBER_KEYS if key in self.data}
        model = Model(member.name, self.place, copy.deepcopy(self._run), member.params, **keys)
        model.ensemble = self.name
        return model

    def add_model(self, model: Model) -> None:
        """Add a model; the models of an ensemble run one program, in one batch if it has one.

        Raises
        ------
        TypeError
            If it is no model.
        EntityExistsError
            If there is one of that name.
        """
        if not isinstance(model, Model):
            raise TypeError(f"a model can be added to an ensemble, not {model!r}")
        if model.name in (other.name for other in self.models):
            raise EntityExistsError(f"{self.name} has a model {model.name!r} already")
        assert self._models is not None
        model.ensemble = self.name
        self._models.append(model)

    def attach_generator_files(
        self,
        to_copy: FilesArgument = None,
        to_symlink: FilesArgument = None,
        to_configure: FilesArgument = None,
    ) -> None:
        """Attach files that each member's directory gets; see `Entity.attach_generator_files`."""
        super().attach_generator_files(to_copy, to_symlink, to_configure)
        for model in self._models or []:
            model.files = self.files

    def set_tag(self, tag: str | tuple[str, str]) -> None:
        """Set the text around the tags of configured files, for every member."""
        super().set_tag(tag)
        for model in self._models or []:
            model.set_tag(tag)

    def _is_changed(self) -> bool:
        """Whether a member was added, or is not what the ensemble describes."""
        if self._models is None:
            return False
        models, self._models = self._models, None
        try:
            described = [model.as_config() for model in self._expanded()]
        finally:
            self._models = models
        return [model.as_config() for model in models] != described

    def _as_table(self) -> dict[str, Any]:
        """Write models that are what they are one by one as a table with a row for each."""
        models = self.models
        if not models:
            raise ValueError(f"{self.name} is empty. Nothing to launch.")
        columns, common = merged(self.name, {model.name: model.as_config() for model in models})
        own = {key: value for key, value in self.data.items() if key not in SAMPLING_KEYS}
        rows = table(list(columns), list(zip(*columns.values(), strict=True)))
        named = {"params": rows, "perm_strategy": "step", "naming": next(iter(columns))}
        resources = {**common.get("resources", {}), **own.get("resources", {})}
        entry = self.pruned({**own, **common, **named, "resources": resources})
        batch = self.batch_settings
        return entry if batch is None else {**entry, "batch_settings": batch.as_config()}

    def __len__(self) -> int:
        return len(self.members() if self._models is None else self._models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __getitem__(self, name: str) -> Model | None:
        return next((model for model in self.models if model.name == name), None)

    def __repr__(self) -> str:
        return f"Ensemble({self.name!r}, {len(self)} members)"

    def _repr_html_(self) -> str:
        from ensemake.python.notebook import members_table

        return members_table(self.name, self.members())


# ---- checks ----


def _check_combination(
    params: object, run: RunSettings | None, batch: BatchSettings | None, replicas: int | None
) -> None:
    if run is None and (params or replicas):
        raise ValueError("params and replicas need run_settings: how a member is run")
    if run is not None and not params and replicas is None:
        raise ValueError("an ensemble with run_settings needs params or replicas")
    if run is None and batch is None:
        raise ValueError("an ensemble needs params or replicas, or batch_settings to add models to")


# ---- from a config ----


def entities(config: Mapping[str, Any], place: Place, launcher: str) -> dict[str, Model | Ensemble]:
    """Return the models and ensembles of a config as objects, for the words of a launcher."""
    kinds: dict[str, type[Model | Ensemble]] = {"models": Model, "ensembles": Ensemble}
    return {
        name: _loaded(kind, name, entry, place, launcher)
        for key, kind in kinds.items()
        for name, entry in config.get(key, {}).items()
    }


def _loaded(
    kind: type[Model | Ensemble], name: str, entry: Mapping[str, Any], place: Place, launcher: str
) -> Model | Ensemble:
    batch = entry.get("batch_settings")
    others = {"run_settings", "resources"} | ({"batch_settings"} if batch is not None else set())
    return kind.of(
        {key: value for key, value in entry.items() if key not in others},
        written=set(entry),
        name=name,
        place=place,
        run_settings=loaded_settings(entry["run_settings"], entry.get("resources", {})),
        batch_settings=None if batch is None else BatchSettings.of(batch, launcher=launcher),
    )
