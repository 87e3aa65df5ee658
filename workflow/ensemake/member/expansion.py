"""From a config to the members of all its entities, with their digests: expanded once for a run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ensemake.config.faults import ConfigError, Fault, KeyedError, KeyPath
from ensemake.config.inputs import Choice
from ensemake.config.schema import Config
from ensemake.errors import NotYetKnownError
from ensemake.member.files import are_filled
from ensemake.member.layout import RESERVED_MEMBERS, Layout, layout, places, root
from ensemake.member.plan import (
    Origin,
    Planned,
    SweptAxis,
    Work,
    chain_of,
    known_values,
    read_work,
)
from ensemake.member.recipe import Recipe, recipe_hash
from ensemake.sweep.identity import canonical
from ensemake.sweep.members import Member, Members, duplicates, expand
from ensemake.sweep.upstream import Intake, Others, TrialIntake, Upstream, choices, takes_from


def expand_work(config: Config, entity: str, base: Path = Path()) -> Work:
    """Make all members of an entity; as `Expansion.work`."""
    return Expansion(config, base).work(entity)


class Expansion:
    """The members of all entities of a config, each made once, after those that it takes from.

    Parameters
    ----------
    config
        The experiment.
    base
        The working directory.
    choose
        Returns the names of the members of an entity that a choice by results means (of None:
        those that have completed), or None if that is not known yet. By default nobody knows.
    """

    def __init__(
        self,
        config: Config,
        base: Path = Path(),
        choose: "Callable[[Work, Choice | None], list[str] | None] | None" = None,
    ) -> None:
        self.config, self.base = config, base
        self._choose = choose
        self._works: dict[str, Work] = {}

    def work(self, entity: str) -> Work:
        """Make all members of an entity.

        Raises
        ------
        ConfigError
            If two members have equal parameters, or a member cannot be made.
        NotYetKnownError
            If they are chosen by results that are not there yet.
        """
        if entity not in self._works:
            self._works[entity] = self._expanded(entity)
        return self._works[entity]

    def members(self, entity: str) -> Members:
        """Return the members of an entity without what they are on disk; raises as `work`."""
        settings = self.config.entities[entity]
        sources = {name: self.work(name) for name in takes_from(settings)}
        return expand(entity, settings, self.base, self._upstream(entity, sources))

    def _expanded(self, entity: str) -> Work:
        settings, where = self.config.entities[entity], layout(self.config, entity)
        sources = {name: self.work(name) for name in takes_from(settings)}
        members = self.members(entity)
        recipe = Recipe(settings, self.base)
        made = _made(members, where, self.config.max_members)
        names = [member.name for member in made]
        _check_names(members, made, where)
        swept = [SweptAxis(axis.names, axis.log) for axis in members.axes]
        shared, drawn = recipe.shared, members.drawn
        work = Work(entity, where, settings, shared, [], swept, drawn, self.base, sources)
        plan = partial(_planned, work, recipe, members.sources, work.origins)
        places = _places(members, where, names, self.base)
        work.planned.extend(map(plan, made, places))
        return work

    def _upstream(self, entity: str, sources: Mapping[str, Work]) -> Upstream:
        settings = self.config.entities[entity]
        points = {
            key: Others(
                self._chosen(entity, sources[choice.members], choice),
                sources[choice.members].settings.derived,
            )
            for key, choice in choices(settings).items()
        }
        return Upstream(points, [self._source(entity, sources[name]) for name in settings.inputs])

    def _chosen(self, entity: str, source: Work, choice: Choice | None) -> list[Planned]:
        if choice is not None and not choice.by_results:
            return source.planned
        names = self._choose(source, choice) if self._choose else None
        if names is None:
            raise NotYetKnownError(entity, source.entity)
        return [source.by_name[name] for name in names]

    def _source(self, entity: str, source: Work) -> Intake:
        settings = self.config.entities[entity]
        taken = settings.inputs[source.entity]
        lenient = taken.members == "all" and taken.allow_failed
        members = self._chosen(entity, source, None) if lenient else source.planned
        several = [getattr(one, "replicas", 1) > 1 for one in (settings, source.settings)]
        link = links(self.config, entity).get(source.entity)
        others = Others(members, source.settings.derived)
        return Intake(source.entity, taken, others, all(several), link)


def trial_upstream(config: Config, entity: str, base: Path) -> Upstream:
    """Return what an entity takes from others with one member of each: enough to try its texts.

    Raises
    ------
    ValueError, OSError
        If the others cannot be made.
    """
    settings = config.entities[entity]
    others = {name: _first_of(config, name, base) for name in takes_from(settings)}
    points = {key: others[choice.members] for key, choice in choices(settings).items()}
    sources = [TrialIntake(name, taken, others[name]) for name, taken in settings.inputs.items()]
    return Upstream(points, sources)


def _first_of(config: Config, entity: str, base: Path) -> Others:
    settings, upstream = config.entities[entity], trial_upstream(config, entity, base)
    first = expand(entity, settings, base, upstream).first
    return Others([first] if first else [], settings.derived)


def links(config: Config, entity: str) -> dict[str, str]:
    """Return the parameters of an entity that name members of others, by the other's name."""
    settings, found = config.entities[entity], dict[str, str]()
    for key, choice in choices(settings).items():
        inherited = links(config, choice.members)
        found |= {name: other for name, other in inherited.items() if other not in settings.params}
        found[choice.members] = key
    return found


def _check_names(members: Members, made: Sequence[Member], where: Layout) -> None:
    names = [member.name for member in made]
    for name in set(names).intersection(RESERVED_MEMBERS if not where.is_model else ()):
        raise _fault(where, ("naming",), f"{name!r} is a name of ensemake's own; use another value")
    for first, second in duplicates(names):
        raise _fault(where, *_equal(members, made[first], made[second]))


def _made(members: Members, where: Layout, most: int) -> list[Member]:
    try:
        members.check_size(most)
        made = list(members)
    except ValueError as error:
        raise _fault(where, getattr(error, "path", ("params",)), str(error)) from None
    if not made and members.drawn:  # none need have been chosen by results
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


def _planned(
    work: Work,
    recipe: Recipe,
    sources: Sequence[Intake],
    origins: Mapping[str, Origin],
    member: Member,
    place: str,
) -> Planned:
    inputs = tuple(
        (entity, tuple(source.members[position].name for position in positions))
        for source, (entity, positions) in zip(sources, member.inputs, strict=True)
    )
    directory, values = work.layout.directory_of(place), member.values
    planned = Planned(member.name, directory, "", values, inputs)
    known = known_values(work.settings, planned, origins) if recipe.is_filled else values
    try:
        digest = recipe.digest(values, known, chain_of(work.settings, inputs, origins))
    except ValueError as error:
        params = ", ".join(f"{name}={value!r}" for name, value in member.params.items())
        message = f"{error} (the member with {params})"
        raise _fault(work.layout, getattr(error, "path", ("files",)), message) from None
    return Planned(member.name, directory, digest, values, inputs)


def known_work(expansion: Expansion, entity: str) -> Work:
    """Return what the last run worked on while the config says the same, else what it says now.

    What was run stays known when its input files are gone, and members that were chosen by results
    while there are no new ones to choose by.

    Raises
    ------
    ConfigError
        If it has never been run and its members cannot be made.
    NotYetKnownError
        If it has never been run and its members are not known yet.
    """
    try:
        saved = read_work(root(expansion.config), entity, expansion.base)
    except (OSError, ValueError, KeyError):  # never run, or by an older version
        return expansion.work(entity)
    try:
        return saved if _says_the_same(saved, expansion.config) else expansion.work(entity)
    except (OSError, KeyedError, NotYetKnownError):
        return saved


def _says_the_same(saved: Work, config: Config) -> bool:
    settings = config.entities[saved.entity]
    spaces = [spec for spec in settings.params.values() if isinstance(spec, dict)]
    if any("file" in spec for spec in spaces) or ":" in getattr(settings, "perm_strategy", ""):
        return False  # tables and strategies may have changed
    if takes_from(settings):  # so may the others
        return False
    if saved.settings != settings or saved.recipe != recipe_hash(settings, saved.base):
        return False
    recipe = Recipe(settings, saved.base, saved.recipe)
    return not are_filled(settings.files) or all(
        recipe.digest(member.values) == member.digest for member in saved.planned
    )


def equal_members(first: Member, second: Member) -> str:
    """Say that two members cannot be told apart, and what to do."""
    return (
        f"members {first.index} and {second.index} have equal parameters "
        f"{canonical(first.params)}; "
        "remove one, or use replicas to run the same parameters again"
    )
