"""Models and ensembles as a script holds them: each knows how the config writes it."""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.check.config import check_shape
from ensemake.config import schema
from ensemake.config.run import as_list
from ensemake.config.yamlfile import Document
from ensemake.errors import EntityExistsError, UnsupportedError
from ensemake.member.expansion import Expansion
from ensemake.member.layout import located
from ensemake.python import values
from ensemake.python.batch_settings import BatchSettings
from ensemake.python.colocated import colocated
from ensemake.python.face import Face, Key, Part, Parts
from ensemake.python.settings import RunSettings
from ensemake.python.table import merged, table
from ensemake.results.choose import choose
from ensemake.sweep.members import Member, expand

FILE_KEYS = ("to_copy", "to_symlink", "to_configure")
MEMBER_KEYS = ("params_as_args", "files", "resources")  # what a member as a model has of these
SWEEP_KEYS = ("params", "perm_strategy", "n_models", "replicas")  # a table says it by its rows


class Entity(Face):
    """What models and ensembles have in common. Made by `Experiment`, not by scripts."""

    params: Key[dict[str, Any]] = Key(lambda entity, params: values.spaces(params))
    params_as_args: Key[list[str]] = Key(lambda entity, names: values.name_list(names))
    derived: Key[dict[str, str]] = Key()
    files: Key[dict[str, Any]] = Key()
    inputs: Key[dict[str, Any]] = Key(lambda entity, taken: values.inputs(taken) or {})
    outputs: Key[list[str]] = Key()
    preamble: Key[list[str]] = Key()
    success_codes: Key[list[int]] = Key()
    checks: Key[list[dict[str, str]]] = Key()
    restart: Key[dict[str, Any] | None] = Key()
    metrics: Key[dict[str, Any]] = Key()
    series: Key[dict[str, Any]] = Key()
    labels: Key[dict[str, str]] = Key()
    plots: Key[list[dict[str, Any] | str] | None] = Key()
    resources: Key[dict[str, Any]] = Key()  # beside those of the run settings, and before them
    database: Key[str | list[str] | None] = Key(lambda entity, store: values.store_names(store))
    colocated_db: Key[dict[str, Any] | None] = Key()
    key_prefixing: Key[bool] = Key()
    reads_from: Key[list[str]] = Key(lambda entity, others: [*map(values.entity_name, others)])
    run_settings = Parts(RunSettings)
    batch_settings = Part(BatchSettings)

    def __init__(
        self,
        name: str,
        place: values.Place,
        run_settings: RunSettings | list[RunSettings] | None,
        batch_settings: BatchSettings | None,
        keys: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.name = name
        self.place = place
        self.run_settings = run_settings
        self.batch_settings = batch_settings
        self.assign_keys(keys)

    @property
    def is_batched(self) -> bool:
        """Whether its members run in one job with others: in a batch, or beside a store."""
        return self.batch_settings is not None or self.database is not None

    @property
    def path(self) -> str:
        """The entity's folder."""
        return str(self.place.folder / self.name)

    def set_path(self, path: str | os.PathLike[str]) -> None:
        """Accept the entity's own folder; another is an error that says what to do instead."""
        self.place.check_path(self.name, path)

    @property
    def type(self) -> str:
        """``Model`` or ``Ensemble``."""
        return type(self).__name__

    def attach_generator_files(
        self,
        to_copy: values.FilesArgument = None,
        to_symlink: values.FilesArgument = None,
        to_configure: values.FilesArgument = None,
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
        found = {key: values.existing_paths(key, paths) for key, paths in given.items()}
        configured = found["to_configure"]  # as SmartSim: it takes the place of a copy of it
        found["to_copy"] = [path for path in found["to_copy"] if path not in configured]
        others = {key: value for key, value in self.files.items() if key not in FILE_KEYS}
        if to_configure:  # as SmartSim: the text between unknown tags is their default
            others.setdefault("unknown_tags", "default")
        shown = {key: [*map(self.place.shown, paths)] for key, paths in found.items() if paths}
        self.files = {**shown, **others}

    def set_tag(self, tag: str | tuple[str, str]) -> None:
        """Set the text around the tags of configured files; a pair for open and close."""
        self.files = {**self.files, "tag": values.listed(tag)}

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

    def enable_key_prefixing(self) -> None:
        """Have what SmartRedis writes into the store begin with the names of members."""
        self.key_prefixing = True

    def disable_key_prefixing(self) -> None:
        """Have it written without them."""
        self.key_prefixing = False

    def query_key_prefixing(self) -> bool:
        """Return whether keys are prefixed."""
        return self.key_prefixing

    def register_incoming_entity(self, incoming_entity: "Entity") -> None:
        """Let programs read what another one, which shares the store, writes with prefixes."""
        name = getattr(incoming_entity, "ensemble", None) or incoming_entity
        self.reads_from = dict.fromkeys([*self.reads_from, values.entity_name(name)])

    def colocate_db_uds(
        self,
        unix_socket: str | None = None,
        socket_permissions: int | None = None,
        db_cpus: int = 1,
        **keys: Any,
    ) -> None:
        """Give each member a store of its own, which programs reach by a Unix socket.

        Parameters
        ----------
        unix_socket, socket_permissions
            Are ensemake's to choose; the error says how programs find the socket.
        db_cpus
            CPUs beside those of the member.
        keys
            Directives of the server; mem_mb.

        Raises
        ------
        UnsupportedError
            For what SmartSim has and ensemake has not.
        """
        keys |= {"unix_socket": unix_socket, "socket_permissions": socket_permissions}
        self.colocated_db = colocated({**keys, "db_cpus": db_cpus}, True)

    def colocate_db_tcp(
        self,
        port: int | None = None,
        ifname: str | list[str] = "lo",
        db_cpus: int = 1,
        **keys: Any,
    ) -> None:
        """Give each member a store of its own, which programs reach by a port of the loopback.

        Parameters and errors as those of `colocate_db_uds`; the port is any that is free.
        """
        keys |= {"port": port, "ifname": ifname, "db_cpus": db_cpus}
        self.colocated_db = colocated(keys, False)

    def colocate_db(self, *arguments: Any, **keys: Any) -> None:
        """Do as `colocate_db_tcp`, whose older name it is."""
        self.colocate_db_tcp(*arguments, **keys)

    def add_ml_model(self, *arguments: Any, **keys: Any) -> NoReturn:
        """Raise an error that says where models and scripts run."""
        raise UnsupportedError(
            "a store keeps data alone: load models and scripts in a program that takes tensors "
            "from the store and puts its results there, an entity of its own (database=db), or "
            "name a module of the server that runs them (create_database(modules=[...]))"
        )

    add_script = add_function = add_ml_model

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config: what the entity has, and what its settings have."""
        runs = self._runs
        settings = [self._shown(run) for run in runs]
        resources = {**_needs(runs), **self.data.get("resources", {})}
        run = settings[0] if len(settings) == 1 else settings
        return self._whole({**self.data, "run_settings": run, "resources": resources})

    def _shown(self, run: RunSettings) -> dict[str, Any]:
        settings = run.as_config()
        if "exe" not in run.written and "/" in settings["exe"] and not run.container:
            settings["exe"] = self.place.shown(settings["exe"])
        return settings

    def _whole(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Prune an entry and add the batch, which says something also if it is empty."""
        batch = self.batch_settings
        own = {} if batch is None else {"batch_settings": batch.as_config()}
        return {**self.pruned(entry), **own}

    @property
    def _runs(self) -> list[RunSettings]:
        assert self.run_settings is not None
        return as_list(self.run_settings)  # type: ignore[no-any-return]


class Model(Entity):
    """One run with fixed parameters.

    Parameters
    ----------
    name
        Its name, which is also the name of its folder.
    place
        Where the experiment lies.
    run_settings
        How it is run; a list: commands that run one after another.
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
    params: Key[dict[str, Any]] = Key(lambda model, params: values.parameter_values(params))
    ensemble: str | None = None  # name of the one it is a member of

    def __init__(
        self,
        name: str,
        place: values.Place,
        run_settings: RunSettings | list[RunSettings],
        params: Mapping[str, Any] | None = None,
        batch_settings: BatchSettings | None = None,
        params_as_args: Iterable[str] | None = None,
        **keys: Any,
    ) -> None:
        keys |= {"params": params, "params_as_args": params_as_args}
        super().__init__(name, place, run_settings, batch_settings, keys)

    @property
    def path(self) -> str:
        """The model's folder; of a member, below its ensemble's."""
        if self.ensemble is None:
            return str(self.place.folder / self.name)
        return str(located(self.place.folder / self.ensemble, self.name))

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
    seed: Key[int] = Key()
    where: Key[str | None] = Key()
    naming: Key[str] = Key()
    replicas: Key[int] = Key()
    _models: list["Model"] | None = None

    def __init__(
        self,
        name: str,
        place: values.Place,
        params: Mapping[str, Any] | None = None,
        batch_settings: BatchSettings | None = None,
        run_settings: RunSettings | list[RunSettings] | None = None,
        replicas: int | None = None,
        perm_strategy: str | Callable[..., Any] = "all_perm",
        n_models: int | None = None,
        params_as_args: Iterable[str] | None = None,
        **keys: Any,
    ) -> None:
        _check_combination(params, run_settings, batch_settings, replicas)
        keys |= {"params_as_args": params_as_args, "replicas": replicas}
        keys |= values.sampling(values.spaces(params or {}), perm_strategy, n_models, place.base)
        super().__init__(name, place, run_settings, batch_settings, {"naming": "index", **keys})
        if not self.takes_from:
            self.members()  # what is wrong with the parameters is told now

    @property
    def takes_from(self) -> list[str]:
        """Names of the entities that it takes from."""
        spaces = [spec for spec in self.params.values() if isinstance(spec, Mapping)]
        return [*(spec["members"] for spec in spaces if "members" in spec), *self.inputs]

    def as_config(self) -> dict[str, Any]:
        """Return the entry of the config's ``ensembles``."""
        is_table = self.run_settings is None or self._is_changed()
        return self._as_table() if is_table else super().as_config()

    def members(self) -> Sequence[Member]:
        """Return the members as the config describes them; of an empty ensemble, none.

        Raises
        ------
        NotYetKnownError
            If they are chosen by the results of another entity that has not finished.
        """
        if self.run_settings is None and not self._models:
            return []
        if self.takes_from:
            config = check_shape(Document("the experiment", self.place.config()))
            return Expansion(config, self.place.base, choose).members(self.name)
        data = {"experiment": "e", "ensembles": {self.name: self.as_config()}}
        settings = check_shape(Document(f"ensemble {self.name}", data)).ensembles[self.name]
        return expand(self.name, settings, self.place.base)

    # ---- members ----

    @property
    def models(self) -> list[Model]:
        """The members as models; a change to one of them changes that member alone."""
        if self._models is None:
            self._models = [self._as_model(member) for member in self.members()]
        return list(self._models)

    @property
    def entities(self) -> list[Model]:
        """Another name of `models`."""
        return self.models

    def _as_model(self, member: Member) -> Model:
        keys = {key: copy.deepcopy(self.data[key]) for key in MEMBER_KEYS if key in self.data}
        return Model.of(
            {"params": member.params, **keys},
            written=set(),
            name=member.name,
            place=self.place,
            run_settings=copy.deepcopy(self.run_settings),
            batch_settings=None,
            ensemble=self.name,
        )

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

    def assign(self, key: str, value: Any) -> None:
        """Set a key of the config, for all members; another sweep has other members."""
        super().assign(key, value)
        if key in MEMBER_KEYS:
            for model in self._models or []:
                model.assign(key, value)
        elif key in SWEEP_KEYS and self.run_settings is not None:
            self._models = None

    def _is_changed(self) -> bool:
        """Whether a member was added, or is not what the ensemble describes."""
        if self._models is None:
            return False
        models, self._models = self._models, None
        try:
            described = [model.as_config() for model in self.models]
        finally:
            self._models = models
        return [model.as_config() for model in models] != described

    def _as_table(self) -> dict[str, Any]:
        """Write models that are what they are one by one as a table with a row for each."""
        models = self.models
        if not models:
            raise ValueError(f"{self.name} is empty. Nothing to launch.")
        columns, common = merged(self.name, {model.name: model.as_config() for model in models})
        own = {key: value for key, value in self.data.items() if key not in SWEEP_KEYS}
        rows = table(list(columns), list(zip(*columns.values(), strict=True)))
        named = {"params": rows, "perm_strategy": "step", "naming": next(iter(columns))}
        resources = {**common.get("resources", {}), **own.get("resources", {})}
        return self._whole({**own, **common, **named, "resources": resources})

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that it could run."""
        return not self.takes_from and not len(self)

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


def _needs(runs: Sequence[RunSettings]) -> dict[str, Any]:
    """Return the size of a member that has room for each of its commands."""
    needs: dict[str, Any] = {}
    for name, size in (item for run in runs for item in run.needs.items()):
        are_numbers = isinstance(size, int) and isinstance(needs.get(name), int)
        needs[name] = max(size, needs[name]) if are_numbers else needs.get(name, size)
    return needs


def _check_combination(
    params: object, run: object, batch: BatchSettings | None, replicas: int | None
) -> None:
    if run is None and (params or replicas):
        raise ValueError("params and replicas need run_settings: how a member is run")
    if run is not None and not params and replicas is None:
        raise ValueError("an ensemble with run_settings needs params or replicas")
    if run is None and batch is None:
        raise ValueError("an ensemble needs params or replicas, or batch_settings to add models to")
