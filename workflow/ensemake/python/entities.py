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
from ensemake.config import schema as configs
from ensemake.config.faults import did_you_mean
from ensemake.config.schema import Config, Scalar
from ensemake.config.yamlfile import Document
from ensemake.errors import EntityExistsError, UnsupportedError
from ensemake.member.layout import located
from ensemake.python.settings import BatchSettings, RunSettings, from_config
from ensemake.sweep import strategies
from ensemake.sweep.members import Member, expand
from ensemake.sweep.spaces import axis

FILE_KEYS = ("to_copy", "to_symlink", "to_configure")
OWN_KEYS = ("params", "params_as_args", "run_settings", "files", "batch_settings")
LABELS = ("model", "model_name", "label")  # for the parameter that names added models

FilesArgument = str | Path | Sequence[str | Path] | None


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


class Entity:
    """What models and ensembles have in common. Made by `Experiment`, not by scripts."""

    def __init__(
        self,
        name: str,
        place: Place,
        run_settings: RunSettings | None,
        batch_settings: BatchSettings | None,
        params_as_args: Iterable[str] | None,
        keys: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.place = place
        self.run_settings = run_settings
        self.batch_settings = batch_settings
        self.params_as_args = list(params_as_args or [])
        self.files: dict[str, Any] = dict(keys.get("files") or {})
        self.keys = {key: value for key, value in keys.items() if key not in OWN_KEYS}

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
        for key, given in zip(FILE_KEYS, (to_copy, to_symlink, to_configure), strict=True):
            self.files[key] = [self.place.shown(path) for path in _paths(key, given)]
        if to_configure:  # as SmartSim: the text between unknown tags is their default
            self.files.setdefault("unknown_tags", "default")

    def set_tag(self, tag: str | tuple[str, str]) -> None:
        """Set the text around the tags of configured files; a pair for open and close."""
        self.files["tag"] = tag if isinstance(tag, str) else list(tag)

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
        self.params_as_args = list(names) if names is not None else self.params_as_args

    def _common(self, run: RunSettings) -> dict[str, Any]:
        """Return the part of the config that does not depend on parameters."""
        settings = run.as_config()
        if "/" in settings["exe"] and not run.container:
            settings["exe"] = self.place.shown(settings["exe"])
        given = {
            "params_as_args": self.params_as_args,
            "run_settings": settings,
            "files": {key: value for key, value in self.files.items() if value},
            "resources": {**run.needs, **(self.keys.get("resources") or {})},
            "batch_settings": self.batch_settings and self.batch_settings.as_config(),
        }
        others = {key: value for key, value in self.keys.items() if key != "resources"}
        return {k: copy.deepcopy(v) for k, v in {**given, **others}.items() if v or v == 0}


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
        check_keys(keys, configs.Model)
        super().__init__(name, place, run_settings, batch_settings, params_as_args, keys)
        self.params: dict[str, Scalar] = _values(params or {})
        self.ensemble: str | None = None  # name of the one it is a member of

    @property
    def path(self) -> str:
        """The model's folder; of a member, below its ensemble's."""
        if self.ensemble is None:
            return str(self.place.folder / self.name)
        return str(located(self.place.folder / self.ensemble, self.name))

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config's ``models``."""
        assert self.run_settings is not None
        return {**({"params": self.params} if self.params else {}), **self._common(self._run)}

    @property
    def _run(self) -> RunSettings:
        assert self.run_settings is not None
        return self.run_settings

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
        check_keys(keys, configs.Ensemble)
        super().__init__(name, place, run_settings, batch_settings, params_as_args, keys)
        self.keys.setdefault("naming", "index")
        _check_combination(params, run_settings, batch_settings, replicas)
        self.params = spaces(params or {})
        self.replicas = _checked_replicas(replicas)
        self.perm_strategy = "all_perm"
        self.n_models: int | None = None
        self._choose(perm_strategy, n_models)
        self._models: list[Model] | None = None
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
        if self.run_settings is None or self._is_changed():
            return self._as_table()
        return self._as_described(self.run_settings)

    def _as_described(self, run: RunSettings) -> dict[str, Any]:
        config: dict[str, Any] = {"params": self.params} if self.params else {}
        if self.perm_strategy != "all_perm":
            config["perm_strategy"] = self.perm_strategy
        config |= {"n_models": self.n_models} if self.n_models else {}
        config |= {"replicas": self.replicas} if self.replicas > 1 else {}
        return {**config, **self._common(run)}

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
        assert self.run_settings is not None
        settings = copy.deepcopy(self.run_settings)
        model = Model(member.name, self.place, settings, member.params)
        model.params_as_args = list(self.params_as_args)
        model.files = copy.deepcopy(self.files)
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
            model.files = copy.deepcopy(self.files)

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
        columns, common = merged(self.name, models)
        entry = self._common(models[0]._run) | common
        entry |= {"params": table(list(columns), list(zip(*columns.values(), strict=True)))}
        return {**entry, "perm_strategy": "step", "naming": next(iter(columns))}

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


# ---- models that differ, in one table ----


def merged(ensemble: str, models: list[Model]) -> tuple[dict[str, list[Scalar]], dict[str, Any]]:
    """Put models that run one program into one table: what differs becomes a parameter.

    Returns
    -------
    columns, common
        Values by name, the first column being the models' names; and the entries of the config
        that all of them share.
    """
    entries = [model.as_config() for model in models]
    runs = [entry.pop("run_settings") for entry in entries]
    params = [entry.pop("params", {}) for entry in entries]
    columns: dict[str, list[Scalar]] = {}
    label = next(name for name in LABELS if name not in params[0])
    columns[label] = [model.name for model in models]
    _same(ensemble, models, [list(row) for row in params], "parameters")
    columns |= {name: [row[name] for row in params] for name in params[0]}
    arguments = [run.pop("exe_args", []) for run in runs]
    _same(ensemble, models, [len(words) for words in arguments], "number of arguments")
    words = _columns_of([dict(enumerate(row)) for row in arguments], "arg_", columns)
    variables = [run.pop("env_vars", {}) for run in runs]
    _same(ensemble, models, [sorted(row) for row in variables], "environment variables")
    env_vars = _columns_of(variables, "env_", columns)
    for entry in entries:
        entry.pop("batch_settings", None)  # the ensemble's count
    _same(ensemble, models, runs, "program or launcher")
    _same(ensemble, models, entries, "files or resources")
    run = {**runs[0], "exe_args": list(words.values()), "env_vars": env_vars}
    return columns, {**entries[0], "run_settings": {k: v for k, v in run.items() if v}}


def _columns_of(
    rows: list[dict[Any, Any]], prefix: str, columns: dict[str, list[Scalar]]
) -> dict[Any, Any]:
    """Return the texts that all rows share; one that differs becomes a column, and its tag."""
    shared: dict[Any, Any] = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        is_same = all(value == values[0] for value in values)
        shared[key] = values[0] if is_same else f"{{{{ {prefix}{key} }}}}"
        columns |= {} if is_same else {f"{prefix}{key}": values}
    return shared


def _same(ensemble: str, models: list[Model], found: list[Any], what: str) -> None:
    for model, value in zip(models, found, strict=True):
        if value != found[0]:
            raise ValueError(
                f"{ensemble}: {model.name} differs from {models[0].name} in its {what}; models of "
                f"one ensemble run one program. Make it a model of its own, or another ensemble"
            )


def table(names: list[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return ``params`` that give each member its row, under the strategy ``step``."""
    if len(names) == 1:
        return {names[0]: [row[0] for row in rows]}
    return {", ".join(names): [list(row) for row in rows]}


# ---- values ----


def spaces(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as a config has them: plain numbers and lists.

    Raises
    ------
    TypeError
        If it is no mapping, or a value is neither text, a number, nor a series of them.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"params is a dict of names and values, not {params!r}")
    return {_name(name): _space(name, value) for name, value in params.items()}


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a parameter is text, not {name!r}")
    return name


def _space(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _space(name, items) for key, items in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy, pandas
    if isinstance(value, list | tuple | range):
        return [_space(name, item) for item in value]
    return _scalar(name, value)


def _values(params: Mapping[str, Any]) -> dict[str, Scalar]:
    found = spaces(params)
    for name, value in found.items():
        if isinstance(value, list | dict):
            raise TypeError(f"{name}: a model's parameter is text or a number, not {value!r}")
    return found


def _scalar(name: str, value: Any) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"{name}: expected text, a number, or a list of these, not {value!r}")


# ---- checks ----


def check_keys(keys: Mapping[str, Any], section: type[configs.Model]) -> None:
    """Refuse arguments that are no key of the config."""
    for key in keys:
        if key not in section.model_fields:
            hint = did_you_mean(key, section.model_fields)
            raise TypeError(f"there is no argument {key!r}{hint}")


def _check_combination(
    params: object, run: RunSettings | None, batch: BatchSettings | None, replicas: int | None
) -> None:
    if run is None and (params or replicas):
        raise ValueError("params and replicas need run_settings: how a member is run")
    if run is not None and not params and replicas is None:
        raise ValueError("an ensemble with run_settings needs params or replicas")
    if run is None and batch is None:
        raise ValueError("an ensemble needs params or replicas, or batch_settings to add models to")


def _checked_replicas(replicas: int | None) -> int:
    if replicas is None:
        return 1
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
        raise ValueError(f"replicas: expected a number from 1, not {replicas!r}")
    return replicas


def _paths(key: str, given: FilesArgument) -> list[Path]:
    listed = [given] if isinstance(given, str | Path) else given or []
    if not isinstance(listed, list | tuple):
        raise TypeError(f"{key}: expected a path or a list of paths, not {given!r}")
    for path in listed:
        if not isinstance(path, str | Path):
            raise TypeError(f"{key}: expected a path, not {path!r}")
        if not Path(path).exists():
            raise FileNotFoundError(f"{key}: no such file: {path} (looked in {Path.cwd()})")
    return [Path(os.path.abspath(path)) for path in listed]


# ---- from a config ----


def entities(config: Config, place: Place) -> dict[str, Model | Ensemble]:
    """Return the models and ensembles of a config as objects."""
    return {name: _restored(name, entity, place) for name, entity in config.entities.items()}


def _restored(name: str, entity: configs.Model, place: Place) -> Model | Ensemble:
    keys = entity.model_dump(exclude_unset=True, exclude=set(OWN_KEYS), mode="json")
    keys |= {"files": entity.files.model_dump(exclude_unset=True, mode="json")}
    run, batch = from_config(entity)
    shared: dict[str, Any] = {"run_settings": run, "batch_settings": batch}
    shared |= {"params": entity.params, "params_as_args": entity.params_as_args}
    if not isinstance(entity, configs.Ensemble):
        return Model(name, place, **shared, **keys)
    keys.setdefault("naming", "hash")
    replicas = keys.pop("replicas", 1)
    return Ensemble(name, place, **shared, replicas=replicas, **keys)
