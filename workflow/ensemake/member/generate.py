"""Writes members' directories: configured files, copies, links, params.json, run.sh.

A file is written only if its content differs, and replaced as a whole: repeating the step changes
nothing, and killing it leaves no half file. run.sh comes last: where it is, the rest is.
"""

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Any

from ensemake.atomic import clear_dead, granted, open_regular, replacing, sibling, write_atomically
from ensemake.config.container import Container
from ensemake.config.faults import KeyedError
from ensemake.config.run import RunSettings
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Ensemble, Model
from ensemake.member import steps, tags
from ensemake.member.colocated import keeper_words, threads, told_names, voucher_words
from ensemake.member.command import (
    command_words,
    environment,
    filled,
    member_outputs,
    passed,
    relative,
    resource,
    restarts,
    runtime_minutes,
    stdin,
)
from ensemake.member.files import Source, are_filled, sources
from ensemake.member.launchers import launch_lines
from ensemake.member.layout import tables
from ensemake.member.plan import Plan, Planned, chain_of, key_prefix
from ensemake.member.previous import make_way
from ensemake.member.recipe import Recipe
from ensemake.member.runscript import RunScript, Step, run_script
from ensemake.member.setting import set_texts, with_set
from ensemake.member.taking import NEEDS, TAKE, input_lines, taken_files
from ensemake.member.templates import render_file
from ensemake.paths import expanded_path
from ensemake.sweep.expressions import template

CHANGED = (
    "a template, a copied file or the program has changed since this run looked at it; start again"
)
Templates = Callable[[Path], tuple[bytes, int]]  # content and mode of a file to configure


def generate(plan: Plan, base: Path) -> list[str]:
    """Write the directories of all members of a plan.

    Parameters
    ----------
    plan
        The members and their entity's settings.
    base
        The working directory, from which relative paths start.

    Returns
    -------
    list of str
        A line for every member that could not be written.
    """
    recipe = _current(plan, base)
    if recipe is None:
        return _changed(plan)
    files = plan.settings.files
    shared = None if are_filled(files) else sources(files, base)
    templates = cache(_read)
    faults = []
    for member in plan.members:
        try:
            found = sources(files, base, plan.known(member)) if shared is None else shared
            _write_member(plan, member, _digests(recipe, plan, member), found, templates, base)
        except (OSError, ValueError) as error:
            faults.append(f"{member.directory}: {error}")
    return faults if _current(plan, base) else _changed(plan)


def _current(plan: Plan, base: Path) -> Recipe | None:
    """Return the recipe if the files are those that the digests were made from; each is read once.

    None if they are not.
    """
    some = plan.members if are_filled(plan.settings.files) else plan.members[:1]
    try:
        recipe = Recipe(plan.settings, base)
        is_same = all(_digests(recipe, plan, member)[-1] == member.digest for member in some)
    except (OSError, KeyedError):  # a file is gone
        return None
    return recipe if is_same else None


def _digests(recipe: Recipe, plan: Plan, member: Planned) -> list[str]:
    chain = chain_of(plan.settings, member.inputs, plan.origins)
    return recipe.digests(member.values, plan.known(member), chain)


def _changed(plan: Plan) -> list[str]:
    return [f"{member.directory}: {CHANGED}" for member in plan.members]


def _read(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), stat.S_IMODE(path.stat().st_mode)


def _write_member(
    plan: Plan,
    member: Planned,
    digests: Sequence[str],
    found: list[Source],
    templates: Templates,
    base: Path,
) -> None:
    directory = base / member.directory
    directory.mkdir(parents=True, exist_ok=True)
    with _not_running(directory, member.digest) as ran:
        if ran is None:
            return
        for folder in {directory, *((directory / source.target).parent for source in found)}:
            clear_dead(folder)
        if plan.forced:
            steps.forget(directory)
        if not make_way(directory, digests, ran, _kept(plan)):
            for source in found:
                _write_source(source, directory, plan.settings, plan.known(member), templates)
            _link_inputs(plan, member, directory, base)
        write_atomically(directory / "params.json", _params_json(member.values))
        text = run_script(_run(plan, member, digests, [s.target for s in found], base))
        write_atomically(directory / "run.sh", text.encode())
        if plan.forced:
            (directory / "status.json").unlink(missing_ok=True)


def _link_inputs(plan: Plan, member: Planned, directory: Path, base: Path) -> None:
    """Link to files that are to be there once the member starts; make folders for the others."""
    for one in taken_files(plan.settings, member, plan.origins):
        target = directory / one.target
        _make_inside(directory, target if one.target.endswith("/") else target.parent)
        if one.how == "linked":
            path = base / one.directory / one.file
            _link(os.path.relpath(path, os.path.realpath(target.parent)), target)


def _kept(plan: Plan) -> Sequence[str]:
    """A model's tables lie in its member's directory."""
    return () if isinstance(plan.settings, Ensemble) else tables(plan.settings)


@contextmanager
def _not_running(directory: Path, digest: str) -> Iterator[str | None]:
    """Keep run.sh from starting meanwhile, and yield the recipe that ran last, "" if none has.

    None if the member runs with this recipe already.
    """
    if (directory / ".lock").is_symlink():  # a program's; what it leads to is not ours
        (directory / ".lock").unlink()
    try:
        lock = os.fdopen(open_regular(directory / ".lock"), "rb")
    except FileNotFoundError:  # it never ran
        yield ""
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if lock.read().decode().startswith(digest):
                yield None
                return
            raise ValueError("runs with an older recipe; wait for it or stop it") from None
        except OSError:  # a file system without locks
            pass
        yield lock.readline().decode(errors="replace").partition(" ")[0]


def _write_source(
    source: Source,
    directory: Path,
    settings: Model,
    values: Mapping[str, Scalar],
    templates: Templates,
) -> None:
    target = directory / source.target
    if target.parent != directory:
        _make_inside(directory, target.parent)
    if source.kind == "link":
        _link(os.path.relpath(source.path, os.path.realpath(target.parent)), target)
    elif source.kind == "inner":
        _link(source.text, target)
    elif source.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
    elif source.kind == "copy":
        _copy(source.path, target)
    else:
        data, mode = templates(source.path)
        write_atomically(target, configured(source, data, settings, values), mode)


def _make_inside(directory: Path, folder: Path) -> None:
    """Make a folder of a member; a link on the way is a program's and leads out of here."""
    if folder == directory:
        return
    for name in reversed(folder.relative_to(directory).parents[:-1]):
        _not_a_link(directory / name)
    _not_a_link(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _not_a_link(path: Path) -> None:
    if path.is_symlink():
        path.unlink()


def configured(source: Source, data: bytes, settings: Model, values: Mapping[str, Scalar]) -> bytes:
    """Return a template's bytes with the parameters filled in.

    Raises
    ------
    ValueError
        If a tag or a variable is no parameter; names the template.
    """
    files = settings.files
    try:
        if source.kind == "template":
            data = render_file(data, values)
        elif source.kind == "configure":
            data = tags.substitute(data, values, files.tag, files.unknown_tags, files.values)[0]
    except ValueError as error:
        raise ValueError(f"{source.path}: {error}") from None
    return with_set(source.target, data, files, values) if source.target in files.set else data


def configured_names(
    source: Source, data: bytes, settings: Model, values: Mapping[str, Scalar]
) -> set[str]:
    """Return the names of the parameters that a template uses."""
    keys = settings.files.set.get(source.target, {})
    names = {name for text in set_texts(keys) for name in template(text).names}
    if source.kind == "template":
        return names | template(data.decode(errors="replace")).names
    if source.kind == "configure":
        return names | tags.substitute(data, values, settings.files.tag, "keep")[1]
    return names


def _link(wanted: str, target: Path) -> None:
    if target.is_symlink() and os.readlink(target) == wanted:
        return
    temporary = sibling(target)
    temporary.symlink_to(wanted)
    temporary.replace(target)


def _copy(path: Path, target: Path) -> None:
    if _is_copy(path, target):
        return
    with replacing(target) as (temporary, _):
        shutil.copy2(path, temporary)
        temporary.chmod(stat.S_IMODE(granted(path.stat().st_mode)))


def _is_copy(path: Path, target: Path) -> bool:
    """Compare by content: files of other content can have the same size and time."""
    new, old = path.stat(), target.lstat() if target.is_file() else None
    if old is None or (old.st_mode, old.st_size) != (granted(new.st_mode), new.st_size):
        return False
    with path.open("rb") as first, target.open("rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
    return True


def _params_json(values: Mapping[str, Scalar]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _run(
    plan: Plan, member: Planned, digests: Sequence[str], own: Sequence[str], base: Path
) -> RunScript:
    settings, values, directory = plan.settings, plan.known(member), base / member.directory
    command = partial(_command, settings, values, own, base, directory)
    inputs = input_lines(settings, member, plan.origins, base) if member.inputs else ()
    restart = settings.restart
    return RunScript(
        title=f"{plan.entity}: {member.name}",
        commands=list(map(command, settings.run_settings, digests)),
        outputs=member_outputs(settings, values),
        preamble=settings.preamble,
        batch_preamble=settings.batch_settings.preamble if settings.batch_settings else (),
        top=relative(base, directory),
        beside=_kept(plan),
        success_codes=settings.success_codes,
        limit_s=_limit(settings, values),
        checks=[word for check in settings.checks for word in (check.file, check.regex)],
        restart_from=str(PurePosixPath(*filled([restart.from_], values))) if restart else "",
        restarts=list(map(command, restarts(settings), digests)),
        times=restart.times if restart else 0,
        inputs=inputs,
        needs=NEEDS if inputs else "",
        take=TAKE if inputs else "",
        keeper=keeper_words(settings.colocated_db) if settings.colocated_db else (),
        threads=threads(settings, values) if settings.colocated_db else (),
        voucher=voucher_words() if _goes_far(settings, values) else (),
        prefix=key_prefix(settings, plan.entity, member.name) if settings.key_prefixing else "",
    )


def _command(
    settings: Model,
    values: Mapping[str, Scalar],
    own: Sequence[str],
    base: Path,
    directory: Path,
    run: RunSettings,
    digest: str,
) -> Step:
    words, *others = command_words(settings, run, values, own, base, directory)
    return Step(
        words=words,
        digest=digest,
        launch=launch_lines(run, needs(settings, values), others, told_names(settings)),
        several=bool(others),
        is_vouched=_goes_far(settings, values),
        environment=environment(run, values),
        passed=passed(run),
        stdin=stdin(run, values),
        container=run.container and _reachable(run.container, base, directory),
    )


def _limit(settings: Model, values: Mapping[str, Scalar]) -> int | None:
    """Return the seconds that an attempt of a member may take."""
    runtime = resource(settings.resources.get("runtime", 0), {**values, "attempt": 1})
    return ceil(60 * runtime_minutes(runtime)) or None


def needs(settings: Model, values: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return the size of one member: nodes, tasks, cpus_per_task, as far as they are given."""
    keys = ("nodes", "tasks", "cpus_per_task")
    given = {key: settings.resources[key] for key in keys if key in settings.resources}
    return {key: resource(value, values) for key, value in given.items()}


def _goes_far(settings: Model, values: Mapping[str, Scalar]) -> bool:
    """Whether a program may come to run on other nodes than the member's own store."""
    size = needs(settings, values)
    is_wide = size.get("nodes", 1) != 1 or size.get("tasks", 1) != 1
    return settings.colocated_db is not None and is_wide


def _reachable(container: Container, base: Path, directory: Path) -> Container:
    """Write an image file's path as seen from the member's directory."""
    if "://" in container.image or os.path.isabs(container.image):
        return container
    image = relative(base / expanded_path(container.image), directory)
    return container.model_copy(update={"image": image})
