"""What is still to be done, in chunks: the bridge from a config to the rules and the scripts.

State lives in the members' status.json and nowhere else. A plan names the members that are
pending now; its id is a hash of its content, so that an unchanged plan is the same plan and a
changed one cannot be mistaken for it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemake.atomic import PRIVATE, write_atomically
from ensemake.config.faults import ConfigError, Fault, KeyedError, KeyPath
from ensemake.config.run import as_list
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Config, Ensemble, Model, without_values
from ensemake.member.command import member_outputs
from ensemake.member.files import are_filled
from ensemake.member.layout import RESERVED_MEMBERS, Layout, config_copy, layout, places, root
from ensemake.member.recipe import Recipe, recipe_hash
from ensemake.member.state import is_complete
from ensemake.sweep.identity import canonical
from ensemake.sweep.members import Member, Members, duplicates, expand

CHUNK = 500  # members one generate job writes: about half a second


@dataclass(frozen=True)
class Planned:
    """A member as scripts need it: where, with which recipe, with which values."""

    name: str
    directory: str
    digest: str
    values: dict[str, Scalar]


@dataclass(frozen=True)
class Plan:
    """Members that are generated, or run in one batch, together."""

    entity: str
    settings: Model
    members: list[Planned]
    forced: int = 0  # when -R or -F asked for it, in ns: what has finished runs again

    def as_json(self) -> str:
        """Return the plan as one JSON document."""
        # by hand: asdict copies every value, which is most of the time of a large plan
        members = [
            {"name": m.name, "directory": m.directory, "digest": m.digest, "values": m.values}
            for m in self.members
        ]
        settings = self.settings.model_dump(mode="json")
        data = {"entity": self.entity, "settings": settings, "members": members}
        return json.dumps({**data, "forced": self.forced})


def read_plan(path: Path) -> Plan:
    """Read a plan that `Plan.as_json` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    settings = _settings(data["settings"])
    members = [Planned(**member) for member in data["members"]]
    return Plan(data["entity"], settings, members, data["forced"])


def read_config(path: Path) -> Config:
    """Read the config that the workflow saved for its scripts."""
    return Config.model_validate_json(path.read_bytes())


@dataclass(frozen=True)
class SweptAxis:
    """Parameters that vary together; ``log`` if they are spread evenly on a logarithmic scale."""

    names: tuple[str, ...]
    log: bool


@dataclass(frozen=True)
class Work:
    """All members of an entity with their digests, and those that still have to run.

    Made by `expand_work` from a config, or read by `read_work` as the last run saved it.
    """

    entity: str
    layout: Layout
    settings: Model
    recipe: str
    planned: list[Planned]
    swept: list[SweptAxis]
    drawn: int  # members before ``where``
    base: Path = Path()

    @property
    def is_batched(self) -> bool:
        """Whether many members go into one job."""
        return self.settings.batch_settings is not None

    def pending(self) -> list[Planned]:
        """Return the members that are not complete; reads one small file a member."""
        return [
            member
            for member in self.planned
            if not is_complete(self.base / member.directory, member.digest, self.outputs(member))
        ]

    def outputs(self, member: Planned) -> list[str]:
        """Return the outputs that a member has to leave."""
        return member_outputs(self.settings, member.values)

    def chunks(
        self, members: Sequence[Planned], forced: int = 0, left: Iterable[str] = ()
    ) -> Iterator[tuple[str, Plan]]:
        """Split members into plans, each with its id.

        Parameters
        ----------
        left
            Ids of saved plans that may be under way. Where one has pending members and would be
            written the same today, it stays one plan, so that its job is known again; what is
            complete in it is skipped there.
        """
        names = {member.name for member in members}
        for chunk in left:
            plan = self._saved(chunk)
            if plan and not names.isdisjoint(member.name for member in plan.members):
                yield chunk, plan
                names.difference_update(member.name for member in plan.members)
        yield from self._split([member for member in members if member.name in names], forced)

    def _saved(self, chunk: str) -> Plan | None:
        """Return a saved plan if its members and settings are still the same."""
        saved = json.loads((self.base / self.layout.plan(chunk)).read_text(encoding="utf-8"))
        names = {member["name"] for member in saved["members"]}
        members = [member for member in self.planned if member.name in names]
        plan = Plan(self.entity, self.settings, members, saved["forced"])
        return plan if plan_id(plan) == chunk else None

    def _split(self, members: Sequence[Planned], forced: int) -> Iterator[tuple[str, Plan]]:
        size = CHUNK
        if self.settings.batch_settings is not None:
            size = self.settings.batch_settings.size or max(1, len(members))
        for start in range(0, len(members), size):
            plan = Plan(self.entity, self.settings, list(members[start : start + size]), forced)
            yield plan_id(plan), plan


def expand_work(config: Config, entity: str, base: Path = Path()) -> Work:
    """Make all members of an entity.

    Parameters
    ----------
    config, entity
        The experiment, and the name of a model or an ensemble of it.
    base
        The working directory.

    Raises
    ------
    ConfigError
        If two members have equal parameters, or a member cannot be made.
    """
    settings, where = config.entities[entity], layout(config, entity)
    members, recipe = expand(entity, settings, base), Recipe(settings, base)
    made = _made(members, where, config.max_members)
    names = [member.name for member in made]
    for name in set(names).intersection(RESERVED_MEMBERS if not where.is_model else ()):
        raise _fault(where, ("naming",), f"{name!r} is a name of ensemake's own; use another value")
    for first, second in duplicates(names):
        raise _fault(where, *_equal(members, made[first], made[second]))
    places = _places(members, where, names, base)
    planned = [_planned(where, recipe, *both) for both in zip(made, places, strict=True)]
    swept = [SweptAxis(axis.names, axis.log) for axis in members.axes]
    return Work(entity, where, settings, recipe.shared, planned, swept, members.drawn, base)


def _made(members: Members, where: Layout, most: int) -> list[Member]:
    try:
        members.check_size(most)
        made = list(members)
    except ValueError as error:
        raise _fault(where, getattr(error, "path", ("params",)), str(error)) from None
    if not made:
        raise _fault(where, ("where",), "keeps none of the members; write a wider condition")
    return made


def _places(members: Members, where: Layout, names: Sequence[str], base: Path) -> Iterable[str]:
    # names that somebody chose are looked for where they say
    is_spread = members.ensemble.naming == "hash" and not where.is_model
    return places(base / where.directory, names) if is_spread else names


def _equal(members: Members, first: Member, second: Member) -> tuple[KeyPath, str]:
    if members.ensemble.naming == "hash":
        return ("params",), equal_members(first, second)
    return ("naming",), f"members {first.index} and {second.index} are both {first.name!r}"


def _fault(where: Layout, path: KeyPath, message: str) -> ConfigError:
    kind = "models" if where.is_model else "ensembles"
    return ConfigError("the config", [Fault((kind, where.entity, *path), message)])


def _planned(where: Layout, recipe: Recipe, member: Member, place: str) -> Planned:
    values = member.values
    try:
        digest = recipe.digest(values)
    except ValueError as error:
        params = ", ".join(f"{name}={value!r}" for name, value in member.params.items())
        message = f"{error} (the member with {params})"
        raise _fault(where, getattr(error, "path", ("files",)), message) from None
    return Planned(member.name, str(where.member(place)), digest, values)


def save_work(work: Work) -> None:
    """Write what a run works on, for all that comes after: tables, plots, questions."""
    settings = without_values(work.settings)
    names = list(work.planned[0].values)
    rows = [
        [m.name, work.layout.place(m.name, m.directory), m.digest, *m.values.values()]
        for m in work.planned
    ]
    data = {
        "is_model": work.layout.is_model,
        "settings": settings.model_dump(mode="json"),
        "recipe": work.recipe,
        "swept": [[axis.names, axis.log] for axis in work.swept],
        "drawn": work.drawn,
        "names": names,
        "members": rows,
    }
    secret = json.dumps(_secrets(work.settings))
    write_atomically(work.base / work.layout.env_vars, secret.encode(), PRIVATE)
    path = work.base / work.layout.planned
    write_atomically(path, json.dumps(data, separators=(",", ":")).encode())


def read_work(root: Path, entity: str, base: Path = Path()) -> Work:
    """Read what the last run of an entity worked on.

    Parameters
    ----------
    root
        Folder of the experiment's results, wherever it lies now.
    entity
        Name of a model or an ensemble.

    Raises
    ------
    FileNotFoundError
        If it has never been run.
    """
    data = json.loads((base / Layout(root, entity, False).planned).read_bytes())
    where = Layout(root, entity, data["is_model"])
    names = data["names"]
    planned = [
        Planned(name, str(where.member(place)), digest, dict(zip(names, values, strict=True)))
        for name, place, digest, *values in data["members"]
    ]
    swept = [SweptAxis(tuple(names), log) for names, log in data["swept"]]
    with suppress(OSError):  # somebody else's
        secret = json.loads((base / where.env_vars).read_bytes())
        for run, own in zip(_runs(data["settings"]), as_list(secret), strict=False):
            run |= own
    settings = _settings(data["settings"])
    return Work(entity, where, settings, data["recipe"], planned, swept, data["drawn"], base)


def last_run(root: Path, entities: Sequence[str] = ()) -> tuple[Config, list[Work]]:
    """Return what was run last in an experiment's folder, wherever that lies now.

    Parameters
    ----------
    root
        The experiment's folder.
    entities
        Names of models and ensembles; by default all that have been run.
    """
    config = read_config(config_copy(root))
    here = config.model_copy(update={"results": str(root.parent), "experiment": root.name})
    were = [name for name in config.entities if (Layout(root, name, False).planned).exists()]
    return here, [read_work(root, name) for name in entities or were]


def known_work(config: Config, entity: str, base: Path = Path()) -> Work:
    """Return what the last run worked on while the config says the same, else what it says now.

    What was run stays known when its input files are gone.

    Raises
    ------
    ConfigError
        If it has never been run and its members cannot be made.
    """
    try:
        saved = read_work(root(config), entity, base)
    except (OSError, ValueError, KeyError):  # never run, or by an older version
        return expand_work(config, entity, base)
    try:
        return saved if _says_the_same(saved, config) else expand_work(config, entity, base)
    except (OSError, KeyedError):
        return saved


def _says_the_same(saved: Work, config: Config) -> bool:
    settings = config.entities[saved.entity]
    spaces = [spec for spec in settings.params.values() if isinstance(spec, dict)]
    if any("file" in spec for spec in spaces) or ":" in getattr(settings, "perm_strategy", ""):
        return False  # tables and strategies may have changed
    if saved.settings != settings or saved.recipe != recipe_hash(settings, saved.base):
        return False
    recipe = Recipe(settings, saved.base, saved.recipe)
    return not are_filled(settings.files) or all(
        recipe.digest(member.values) == member.digest for member in saved.planned
    )


def _secrets(settings: Model) -> list[Any]:
    data = settings.model_dump(mode="json")
    return [{"env_vars": run["env_vars"]} for run in _runs(data)]


def _runs(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all commands of saved settings."""
    restart = (settings.get("restart") or {}).get("run_settings")
    return [*as_list(settings["run_settings"]), *([restart] if restart else [])]


def _settings(data: Mapping[str, Any]) -> Model:
    kind = Ensemble if "perm_strategy" in data else Model
    return kind.model_validate_json(json.dumps(data))


def plan_id(plan: Plan) -> str:
    """Return a short hash of a plan's content."""
    return hashlib.sha256(plan.as_json().encode()).hexdigest()[:12]


def equal_members(first: Member, second: Member) -> str:
    """Say that two members cannot be told apart, and what to do."""
    return (
        f"members {first.index} and {second.index} have equal parameters "
        f"{canonical(first.params)}; "
        "remove one, or use replicas to run the same parameters again"
    )
