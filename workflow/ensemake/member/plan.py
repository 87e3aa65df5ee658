"""What is still to be done, in chunks: the bridge from a config to the rules and the scripts.

State lives in the members' status.json and nowhere else. A plan names the members that are
pending now; its id is a hash of its content, so that an unchanged plan is the same plan and a
changed one cannot be mistaken for it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ensemake.atomic import PRIVATE, write_atomically
from ensemake.config.database import Database
from ensemake.config.run import as_list
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Config, Ensemble, Model, without_values
from ensemake.member.command import member_outputs
from ensemake.member.layout import Layout, config_copy
from ensemake.member.state import has_completed, is_complete
from ensemake.sweep.upstream import variable

CHUNK = 2000  # members one generate job writes; it takes as long to start as to write most of them

Inputs = tuple[tuple[str, tuple[str, ...]], ...]  # entity, names of those of its members


@dataclass(frozen=True)
class Planned:
    """A member as scripts need it: where, with which recipe, with which values."""

    name: str
    directory: str
    digest: str
    values: dict[str, Scalar]
    inputs: Inputs = ()


@dataclass(frozen=True)
class Origin:
    """Another entity, as those that take from it need it: its settings, and members by name."""

    settings: Model
    members: Mapping[str, Planned]

    def only(self, names: Iterable[str]) -> "Origin":
        """Return the same with some of the members alone."""
        return Origin(self.settings, {name: self.members[name] for name in names})


@dataclass(frozen=True)
class Shared:
    """A store that members of a batch share.

    Parameters
    ----------
    name, settings
        As the config has them.
    data, state
        Its folders: among the results, and of markers and logs.
    is_loaded
        Whether it goes on with what it has saved.
    prefixes
        Of keys, by the names of the entities whose keys others read.
    checkpoint
        File of the script that holds it; "" if the job does.
    """

    name: str
    settings: Database
    data: str
    state: str
    is_loaded: bool
    prefixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    checkpoint: str = ""


@dataclass(frozen=True)
class Plan:
    """Members that are generated, or run in one batch, together."""

    entity: str
    settings: Model
    members: list[Planned]
    forced: int = 0  # when -R or -F asked for it, in ns: what has finished runs again
    origins: Mapping[str, Origin] = field(default_factory=dict)  # of what the members take
    followers: Sequence["Plan"] = ()  # members of others that are run in the same job
    stores: Sequence[Shared] = ()  # of this job

    def known(self, member: Planned) -> dict[str, Any]:
        """Return all that templates may use: a member's values, and those of its inputs."""
        return known_values(self.settings, member, self.origins)

    def blocking(self, member: Planned) -> str:
        """Return a member that this one takes from and that has not completed; "" if all have."""
        for entity, names in member.inputs:
            for name in names:
                other = self.origins[entity].members[name]
                if not has_completed(Path(other.directory), other.digest):
                    return f"{entity}/{name}"
        return ""

    def as_json(self) -> str:
        """Return the plan as one JSON document."""
        return json.dumps(self._as_data())

    def _as_data(self) -> dict[str, Any]:
        settings = self.settings.model_dump(mode="json")
        members = list(map(_member_data, self.members))
        data = {"entity": self.entity, "settings": settings, "members": members}
        origins = {name: _as_data(origin) for name, origin in self.origins.items()}
        more: dict[str, Any] = {"origins": origins} if origins else {}
        if self.followers:
            more["followers"] = [plan._as_data() for plan in self.followers]
        if self.stores:
            more["stores"] = list(map(_store_data, self.stores))
        return {**data, "forced": self.forced, **more}


def _member_data(member: Planned) -> dict[str, Any]:
    # by hand: asdict copies every value, which is most of the time of a large plan
    own = {"name": member.name, "directory": member.directory, "digest": member.digest}
    more = {"inputs": member.inputs} if member.inputs else {}
    return {**own, "values": member.values, **more}


def _as_data(origin: Origin) -> dict[str, Any]:
    settings = origin.settings.model_dump(mode="json")
    return {"settings": settings, "members": list(map(_member_data, origin.members.values()))}


def read_plan(path: Path) -> Plan:
    """Read a plan that `Plan.as_json` wrote."""
    return _as_plan(json.loads(path.read_text(encoding="utf-8")))


def _as_plan(data: Mapping[str, Any]) -> Plan:
    members = [_as_planned(member) for member in data["members"]]
    origins = {name: _as_origin(one) for name, one in data.get("origins", {}).items()}
    followers = list(map(_as_plan, data.get("followers", ())))
    settings, stores = _settings(data["settings"]), list(map(_as_shared, data.get("stores", ())))
    return Plan(data["entity"], settings, members, data["forced"], origins, followers, stores)


def _store_data(store: Shared) -> dict[str, Any]:
    return {**vars(store), "settings": store.settings.model_dump()}


def _as_shared(data: Mapping[str, Any]) -> Shared:
    return Shared(**{**data, "settings": Database.model_validate(data["settings"])})


def _as_planned(data: Mapping[str, Any]) -> Planned:
    return Planned(**{**data, "inputs": _as_inputs(data.get("inputs", ()))})


def _as_inputs(data: Iterable[Any]) -> Inputs:
    return tuple((entity, tuple(names)) for entity, names in data)


def _as_origin(data: Mapping[str, Any]) -> Origin:
    members = map(_as_planned, data["members"])
    return Origin(_settings(data["settings"]), {member.name: member for member in members})


def known_values(settings: Model, member: Planned, origins: Mapping[str, Origin]) -> dict[str, Any]:
    """Return what templates of a member may use: also the values of what it takes from."""
    if not member.inputs:
        return member.values
    taken = {
        variable(entity): origins[entity].members[names[0]].values
        for entity, names in member.inputs
        if settings.inputs[entity].members == "one"
    }
    return {**taken, **member.values}


def key_prefix(settings: Model, entity: str, member: str) -> str:
    """Return what a member's keys in a store begin with: its name, which no other has."""
    if not isinstance(settings, Ensemble):
        return entity
    is_named = member.startswith(f"{entity}_")
    return member if is_named else f"{entity}_{member}"


def chain_of(settings: Model, inputs: Inputs, origins: Mapping[str, Origin]) -> list[Any]:
    """Return what a member's digest is made of besides its own recipe: the digests it builds on.

    Of one member its name does not matter; of those that are gathered it is the name of a folder.
    """
    chain: list[Any] = []
    for entity, names in inputs:
        found = [origins[entity].members[name] for name in names]
        if settings.inputs[entity].members == "one":
            chain.append([entity, found[0].digest])
        else:
            chain.append([entity, [[one.name, one.digest] for one in found]])
    return chain


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
    sources: Mapping[str, "Work"] = field(default_factory=dict, compare=False)  # it takes from

    @cached_property
    def by_name(self) -> dict[str, Planned]:
        """The members by their names."""
        return {member.name: member for member in self.planned}

    @property
    def origins(self) -> dict[str, Origin]:
        """What those that take from others need of them."""
        return {name: Origin(one.settings, one.by_name) for name, one in self.sources.items()}

    def known(self, member: Planned) -> dict[str, Any]:
        """Return all that templates may use: a member's values, and those of its inputs."""
        return known_values(self.settings, member, self.origins)

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
        return member_outputs(self.settings, self.known(member) if member.inputs else member.values)

    def plan(self, members: Sequence[Planned], forced: int = 0) -> Plan:
        """Return a plan of some members, with what they take from others."""
        taken: dict[str, dict[str, None]] = {}
        for member in members:
            for entity, names in member.inputs:
                taken.setdefault(entity, {}).update(dict.fromkeys(names))
        origins = {
            name: one.only(taken[name]) for name, one in self.origins.items() if name in taken
        }
        return Plan(self.entity, self.settings, list(members), forced, origins)

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
        plan = self.plan(members, saved["forced"])
        return plan if plan_id(plan) == chunk else None

    def _split(self, members: Sequence[Planned], forced: int) -> Iterator[tuple[str, Plan]]:
        size = CHUNK
        if self.settings.batch_settings is not None:
            size = self.settings.batch_settings.size or max(1, len(members))
        for start in range(0, len(members), size):
            plan = self.plan(members[start : start + size], forced)
            yield plan_id(plan), plan


def save_work(work: Work) -> None:
    """Write what a run works on, for all that comes after: tables, plots, questions."""
    settings = without_values(work.settings)
    names = list(work.planned[0].values) if work.planned else []
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
        **({"inputs": _grouped(work.planned)} if work.settings.inputs else {}),
    }
    secret = json.dumps(_secrets(work.settings))
    write_atomically(work.base / work.layout.env_vars, secret.encode(), PRIVATE)
    path = work.base / work.layout.planned
    write_atomically(path, json.dumps(data, separators=(",", ":")).encode())


def _grouped(members: Iterable[Planned]) -> dict[str, Any]:
    """Write what each takes from others; what many of them take stands there once."""
    groups: dict[str, dict[tuple[str, ...], int]] = {}
    which: dict[str, list[int]] = {}
    for member in members:
        for entity, names in member.inputs:
            known = groups.setdefault(entity, {})
            which.setdefault(entity, []).append(known.setdefault(names, len(known)))
    return {entity: {"groups": list(groups[entity]), "of": which[entity]} for entity in groups}


def _inputs(data: Mapping[str, Any], place: int) -> Inputs:
    return tuple((entity, tuple(one["groups"][one["of"][place]])) for entity, one in data.items())


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
    names, inputs = data["names"], data.get("inputs", {})
    planned = [
        Planned(
            name,
            where.directory_of(place),
            digest,
            dict(zip(names, values, strict=True)),
            _inputs(inputs, number),
        )
        for number, (name, place, digest, *values) in enumerate(data["members"])
    ]
    swept = [SweptAxis(tuple(names), log) for names, log in data["swept"]]
    with suppress(OSError):  # somebody else's
        secret = json.loads((base / where.env_vars).read_bytes())
        for run, own in zip(_runs(data["settings"]), as_list(secret), strict=False):
            run |= own
    settings = _settings(data["settings"])
    sources = {name: read_work(root, name, base) for name in inputs}
    drawn, recipe = data["drawn"], data["recipe"]
    return Work(entity, where, settings, recipe, planned, swept, drawn, base, sources)


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
    """Return a short hash of a plan's content; what a member's values are is in its digest."""
    head = json.dumps([plan.entity, plan.settings.model_dump(mode="json"), plan.forced])
    members = (f"{m.name} {m.directory} {m.digest} {m.inputs or ''}" for m in plan.members)
    stores = repr(list(plan.stores) or None)
    text = "\n".join([head, stores, *members, *map(plan_id, plan.followers)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
