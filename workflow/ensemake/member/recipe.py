"""What the members of an ensemble share and what decides their results, as one hash."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ensemake.config.container import Container
from ensemake.config.run import Program, Raw, RunSettings, Variable
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Files, Model
from ensemake.member.command import passed, program_file
from ensemake.member.files import (
    Entry,
    are_filled,
    content_hash,
    entries,
    fingerprint,
    sources,
)
from ensemake.sweep.identity import canonical, recipe_digest


def gather_recipe(entity: Model, base: Path) -> list[dict[str, Any]]:
    """Gather the recipe: program, arguments, environment, container, contents of files.

    The first command comes with all that the commands share; those that follow by themselves.
    Not in it: resources, launcher, profile, preamble, times of files. Those may change without a
    rerun.
    """
    first, *others = entity.run_settings
    shared = {
        "derived": list(entity.derived.items()),
        "params_as_args": entity.params_as_args,
        "files": [fingerprint(source, content_hash) for source in sources(entity.files, base)],
        "tag": entity.files.tag,
        "unknown_tags": entity.files.unknown_tags,
        **_written(entity.files),
        **({"inputs": _inputs(entity)} if entity.inputs else {}),
        **({"database": _store(entity)} if entity.database else {}),
        **({"colocated_db": entity.key_prefixing} if entity.colocated_db else {}),
    }
    return [{**_command(first, base), **shared}, *(_command(other, base) for other in others)]


def _written(files: Files) -> dict[str, Any]:
    """How values come into files, where that is said."""
    values = {"values": files.values} if files.values != "python" else {}
    return {**values, **({"set": files.set} if files.set else {})}


def _command(run: RunSettings, base: Path) -> dict[str, Any]:
    own = {name: value for name, value in run.env_vars.items() if name not in passed(run)}
    exe_file = program_file(run.exe, base)
    return {
        "exe": run.exe,
        "exe_content": exe_file and content_hash(exe_file),
        "exe_args": _plain(run.exe_args),
        "env_vars": dict(zip(own, _plain(own.values()), strict=True)),
        "container": run.container and _container(run.container),
        # only where there are some: a key more would run everybody's members again
        **({"mpmd": [_program(other, base) for other in run.mpmd]} if run.mpmd else {}),
        **({} if run.stdin is None else {"stdin": _plain([run.stdin])}),
    }


def _inputs(entity: Model) -> dict[str, Any]:
    """Which files are taken under which names; of whom, the digests of those members tell."""
    return {name: [taken.members, taken.files] for name, taken in entity.inputs.items()}


def _store(entity: Model) -> list[Any]:
    """Which store, and under which keys: never its address."""
    return [entity.database, entity.key_prefixing, entity.reads_from]


def _plain(words: Iterable[object]) -> list[Any]:
    return [{"raw": word.raw} if isinstance(word, Raw | Variable) else word for word in words]


def _container(container: Container) -> dict[str, Any]:
    """Leave out later keys that say nothing: they would run everybody's members again."""
    later = {"args", "working_directory"}
    return {k: v for k, v in container.model_dump().items() if v or k not in later}


def _program(other: Program, base: Path) -> dict[str, Any]:
    file = program_file(other.exe, base)
    content = file and content_hash(file)
    return {"exe": other.exe, "exe_content": content, "exe_args": _plain(other.exe_args)}


def recipe_hash(entity: Model, base: Path) -> str:
    """Return the recipe as one short text, the same for all members: a hash for each command."""
    return ":".join(map(_hash, gather_recipe(entity, base)))


class Recipe:
    """The recipe of each member: what all share, and the files that only it gets.

    A file that several members get is read once. ``is_filled`` says whether there are such files.
    """

    def __init__(self, entity: Model, base: Path, shared: str | None = None) -> None:
        self.entity, self.base = entity, base
        self.shared = shared or recipe_hash(entity, base)
        self._first, *self._others = self.shared.split(":")
        self._fingerprints = cache(self._of_entry)
        self._hash_of = cache(content_hash)
        self.is_filled = are_filled(entity.files)

    def digest(
        self,
        values: Mapping[str, Scalar],
        known: Mapping[str, Any] | None = None,
        chain: Sequence[Any] = (),
    ) -> str:
        """Return the recipe digest of the member with these values.

        Parameters
        ----------
        values
            Its parameters, derived ones, replica.
        known
            All that its templates may use, if that is more.
        chain
            The digests of what it takes from others.

        Raises
        ------
        KeyedError
            If a file that only this member gets is not there.
        """
        return self.digests(values, known, chain)[-1]

    def digests(
        self,
        values: Mapping[str, Scalar],
        known: Mapping[str, Any] | None = None,
        chain: Sequence[Any] = (),
    ) -> list[str]:
        """Return the digests of a member's commands, each of all up to it; see `digest`.

        The first is what it would be if the others were not there.
        """
        # derived values follow from the recipe; hashed, their last digit would tie it to a machine
        params = {name: value for name, value in values.items() if name not in self.entity.derived}
        recipe = self._recipe(values if known is None else known)
        digests = [recipe_digest(_hash([recipe, chain]) if chain else recipe, params)]
        for other in self._others:
            digests.append(recipe_digest(other, {"after": digests[-1]}))
        return digests

    def _recipe(self, values: Mapping[str, Scalar]) -> str:
        if not self.is_filled:
            return self._first
        if self.entity.files.set:  # which file that is may depend on all the others
            found = sources(self.entity.files, self.base, values)
            return _hash([self._first, [fingerprint(one, self._hash_of) for one in found]])
        own = [entry for entry in entries(self.entity.files, values) if entry.is_filled]
        return _hash([self._first, [self._fingerprints(entry) for entry in own]])

    def _of_entry(self, entry: Entry) -> list[list[str | bool]]:
        return [fingerprint(source, content_hash) for source in entry.sources(self.base)]


def _hash(data: object) -> str:
    return hashlib.sha256(canonical(data).encode()).hexdigest()
