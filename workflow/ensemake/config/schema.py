"""The config file as typed models: every key, its type, default and description.

The manual's tables (config/README.md) and the JSON schema are made from these classes. What is
checked here is the shape; what the keys mean together is checked in `check`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ensemake.config.batch import BatchSettings
from ensemake.config.database import Colocated, Database
from ensemake.config.inputs import Input
from ensemake.config.metric import Metric, Series
from ensemake.config.plots import Drawn, Function, picture_name
from ensemake.config.run import Check, ExitCode, Restart, RunSettings, Steps, Variable, as_list
from ensemake.config.scalars import (
    Count,
    Delimiter,
    Delimiters,
    InsidePath,
    Name,
    Section,
    Text,
)

SetValue = Text | int | float | bool
FileItem = Text | Annotated[dict[Text, Text], Field(min_length=1, max_length=1)]


class Files(Section):
    """What the generate step puts into each member's directory."""

    to_configure: list[FileItem] = Field(
        [], description="files whose tags are replaced; `*.j2` are Jinja2 templates, suffix dropped"
    )
    to_copy: list[FileItem] = Field(
        [], description="files to copy, mode kept; of a directory, what it contains"
    )
    to_symlink: list[FileItem] = Field([], description="files or directories to link to")
    tag: Annotated[tuple[Delimiter, Delimiter], Delimiters] = Field(
        (";", ";"), description="text around a tag, or a list of two: open and close"
    )
    unknown_tags: Literal["error", "default", "keep"] = Field(
        "error",
        description="a tag that is no parameter: `error`, `default` (keep the text between the "
        "tags) or `keep` (leave untouched)",
    )
    values: Literal["python", "fortran", "json"] = Field(
        "python",
        description="how values are written at tags: as Python's `str()`, for Fortran (`.true.`, "
        "`1.0d-05`, quoted text), or as JSON",
    )
    set: dict[InsidePath, dict[Text, SetValue | list[SetValue]]] = Field(
        {},
        description="`file: {key: value}`: keys of namelists, JSON, YAML, TOML and INI files to "
        "set, dotted for nesting; Jinja2 over the parameters",
    )
    create: bool = Field(False, description="make keys of `set` that are not there")


Resource = Text | int | float


def _stores(names: str | list[str]) -> str | list[str]:
    """One of a list is as one."""
    if isinstance(names, str):
        return names
    if len(set(names)) < len(names):
        raise ValueError("names a store twice")
    return names[0] if len(names) == 1 else names


Stores = Annotated[Name | Annotated[list[Name], Field(min_length=1)], AfterValidator(_stores)]


class Model(Section):
    """One run with fixed parameters."""

    run_settings: Steps = Field(
        examples=["{exe: echo}"],
        description="how it is run; see below. A list: commands that run one after another",
    )
    preamble: list[Text] = Field(
        [], description="shell lines before the commands, after those for all entities"
    )
    params: dict[str, Any] = Field({}, description="name: value")
    derived: dict[str, Text] = Field(
        {}, description="name: Jinja2 expression over the parameters and the earlier derived ones"
    )
    params_as_args: list[Text] = Field(
        [], description="parameters to append to the arguments: `--NAME=value`, `-n value`"
    )
    files: Files = Field(Files(), description="files of each member; see below")
    resources: dict[str, Resource] = Field(
        {},
        description="what one member needs, in Snakemake's names; Jinja2 over the parameters and "
        "`attempt`",
    )
    inputs: dict[Name, Input] = Field(
        {}, description="what it takes from other models and ensembles; see below"
    )
    outputs: list[InsidePath] = Field(
        [],
        description="files a member must leave; if one is missing, the member failed; parameters "
        "and patterns as in `files`",
    )
    success_codes: list[ExitCode] = Field(
        [0], min_length=1, description="exit codes of its commands that are no failure"
    )
    checks: list[Check] = Field(
        [], description="texts that files of a member must hold; else it failed; see below"
    )
    restart: Restart | None = Field(
        None, description="what is run instead once a stopped attempt has left a file; see below"
    )
    metrics: dict[Name, Metric] = Field({}, description="columns of results.csv; see below")
    series: dict[Name, Series] = Field(
        {}, description="curves, in series.parquet or series.csv; see below"
    )
    labels: dict[Text, Text] = Field(
        {},
        examples=[{"T": "temperature [K]"}],
        description="what tables, plots and the page call parameters and metrics; with the unit",
    )
    plots: list[Drawn | Function] | None = Field(
        None,
        description="what is drawn in place of every metric over the parameters: `{x: ..., y: "
        "...}`, see below, or `FILE.py:FUNC`",
    )
    batch_settings: BatchSettings | None = Field(
        None, description="many members in one job; see below"
    )
    database: Stores | None = Field(
        None,
        description="a store of `databases` that its members share with others, or a list of "
        "several; see store.md",
    )
    colocated_db: Colocated | None = Field(
        None, description="a store of each member's own, on its node; see store.md"
    )
    key_prefixing: bool = Field(
        False, description="with a store: the keys that a SmartRedis client writes get its name"
    )
    reads_from: list[Name] = Field(
        [], description="with a store: entities whose prefixed keys SmartRedis clients may read"
    )

    @property
    def stores(self) -> list[str]:
        """Names of the stores that its members share."""
        return as_list(self.database) if self.database else []

    @property
    def has_named_stores(self) -> bool:
        """Whether programs find them by variables that have their names."""
        return len(self.stores) > 1 or (bool(self.stores) and self.colocated_db is not None)

    @property
    def pictures(self) -> list[str]:
        """Names of the files of its plots."""
        plots = self.plots
        return list(self.metrics) if plots is None else [picture_name(plot) for plot in plots]

    @property
    def drawn(self) -> list[str]:
        """Names of all pictures: of series, and of the rest where parameters may vary."""
        varies = isinstance(self, Ensemble) and self.params
        return [*(self.pictures if varies else ()), *self.series]


class Ensemble(Model):
    """Many runs: parameters, and the strategy that combines them."""

    params: dict[str, Any] = Field({}, description="name: space; a scalar is a constant")
    perm_strategy: Text = Field(
        "all_perm",
        description="`all_perm`, `step`, `random`, `latin_hypercube`, `sobol`, `FILE.py:FUNC` or "
        "`pkg.mod:FUNC`",
    )
    n_models: Count | None = Field(None, description="how many members, for strategies that sample")
    seed: int = Field(0, ge=0, description="same seed, same members, on every machine")
    replicas: Count = Field(
        1, description="every parameter set this many times; `replica` counts from 0"
    )
    where: Text | None = Field(
        None, description="Jinja2 expression: keep only the members for which it holds"
    )
    naming: Text = Field(
        "hash",
        description="names of members: `hash` of the parameters, `<ensemble>_<i>` with `index`, or "
        "the values of a parameter that is named here",
    )


class Config(Section):
    """The whole file."""

    experiment: Name = Field(
        examples=["training-run"], description="name of the experiment: a folder under `results`"
    )
    results: Text = Field(
        "results", min_length=1, description="root of all output; may begin with `~` or `$SCRATCH`"
    )
    max_members: Count = Field(
        1_000_000,
        description="members that an ensemble may have, before `where`; more are a mistake",
    )
    preamble: list[Text] = Field(
        [],
        examples=[["module load gromacs"]],
        description="shell lines before every member's commands; a profile may set it",
    )
    labels: dict[Text, Text] = Field(
        {}, description="as those of a model or ensemble, for all of them"
    )
    models: dict[Name, Model] = Field({}, description="single runs; see below")
    ensembles: dict[Name, Ensemble] = Field({}, description="sweeps; see below")
    databases: dict[Name, Database] = Field(
        {}, description="stores in memory that members share while they run; see store.md"
    )

    @property
    def entities(self) -> dict[str, Model]:
        """Models and ensembles by name, in the order of the file, with what is said for all."""
        found: dict[str, Model] = {**self.models, **self.ensembles}
        return {name: self._prepared(entity) for name, entity in found.items()}

    def linked(self, store: str) -> list[str]:
        """Names of the stores in whose job a store is: whose members share both, and so on."""
        found, entities = [store], [*self.models.values(), *self.ensembles.values()]
        for name in found:  # it grows
            for entity in entities:
                if name in entity.stores:
                    found += [other for other in entity.stores if other not in found]
        return found

    def _job(self, store: str) -> BatchSettings:
        """The one that says something."""
        found = [
            self.databases[x].batch_settings for x in self.linked(store) if x in self.databases
        ]
        return next((batch for batch in found if batch != BatchSettings()), found[0])

    def _prepared(self, entity: Model) -> Model:
        update: dict[str, Any] = {}
        if self.preamble or self.labels:
            lines, labels = [*self.preamble, *entity.preamble], {**self.labels, **entity.labels}
            update |= {"preamble": lines, "labels": labels}
        stores = [name for name in entity.stores if name in self.databases]
        if stores and entity.batch_settings is None:  # whose job runs all that share them
            update["batch_settings"] = self._job(stores[0])
        return entity.model_copy(update=update) if update else entity


def without_values(entity: Model) -> Model:
    """Return an entity as others may see it: environment variables by their names alone."""
    update: dict[str, Any] = {"run_settings": [*map(_hidden, entity.run_settings)]}
    if entity.restart:
        runs = entity.restart.run_settings
        update["restart"] = entity.restart.model_copy(
            update={"run_settings": runs and _hidden(runs)}
        )
    return entity.model_copy(update=update)


def _hidden(settings: RunSettings) -> RunSettings:
    hidden = {
        name: value if isinstance(value, Variable) and value.from_env else "(not shown)"
        for name, value in settings.env_vars.items()
    }
    return settings.model_copy(update={"env_vars": hidden})


def shareable(config: Config) -> Config:
    """Return a config as others may see it, without the values of environment variables."""
    hidden = {
        kind: {name: without_values(entity) for name, entity in getattr(config, kind).items()}
        for kind in ("models", "ensembles")
    }
    return config.model_copy(update=hidden)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the config file, for editors."""
    return Config.model_json_schema(mode="validation")
