"""Templates and expressions of an entity: whether they can be read, and know what they name."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ensemake.check.attempts import attempt
from ensemake.config.faults import KeyPath, Problem, did_you_mean
from ensemake.config.run import RunSettings, Variable
from ensemake.config.schema import Ensemble, Model
from ensemake.member.command import template_of
from ensemake.member.files import is_filled, listed_files
from ensemake.member.runscript import IS_FOR_BASH
from ensemake.member.setting import set_texts
from ensemake.paths import VARIABLES
from ensemake.sweep.expressions import expression, template
from ensemake.sweep.spaces import check_name

NO_TEMPLATE = "for a text that is no template write {raw: '...'}"


def text_problems(entity: Model, known: list[str]) -> Iterator[Problem]:
    """Yield templates and expressions that cannot be read, or name what there is not."""
    names = list(known)
    for key, text in entity.derived.items():
        yield from attempt(("derived", key), partial(check_name, key))
        for path, message in _undefined(("derived", key), expression, text, names):
            later = any(message == f"{other!r} is no parameter" for other in entity.derived)
            yield path, f"{message} yet; move its line up" if later else message
        names.append(key)
    if isinstance(entity, Ensemble) and entity.where is not None:
        yield from _undefined(("where",), expression, entity.where, names)
    for path, word in all_words(entity):
        yield from _undefined_word(path, word, names)
    for where, run in command_paths(entity):
        for key, value in run.env_vars.items():
            yield from _literal((*where, "env_vars", key), key, value)
    for path, text in _filled_paths(entity):
        yield from _undefined(path, template, text, names)
    for key, value in entity.resources.items():
        path = ("resources", key)
        yield from _undefined(path, template, str(value), [*names, "attempt"])
    for item, name in enumerate(entity.params_as_args):
        if name not in names:
            hint = did_you_mean(name, names) if name not in entity.params else "; list its names"
            yield ("params_as_args", item), f"{name!r} is no parameter{hint}"


def command_paths(entity: Model) -> Iterator[tuple[KeyPath, RunSettings]]:
    """Yield key path and settings of each command of a member."""
    runs, restart = entity.run_settings, entity.restart
    for item, run in enumerate(runs):
        yield ("run_settings", *((item,) if len(runs) > 1 else ())), run
    if restart and restart.run_settings:
        yield ("restart", "run_settings"), restart.run_settings


def all_words(entity: Model) -> Iterator[tuple[KeyPath, object]]:
    for where, run in command_paths(entity):
        for path, word in _words(run):
            yield (*where, *path), word
    for item, word in enumerate((entity.restart and entity.restart.exe_args) or ()):
        yield ("restart", "exe_args", item), word
    if entity.restart:
        yield ("restart", "from"), entity.restart.from_


def _words(run: RunSettings) -> Iterator[tuple[KeyPath, object]]:
    """Yield key path, within its settings, and content of each text that a program is given."""
    for item, word in enumerate(run.exe_args):
        yield ("exe_args", item), word
    for place, other in enumerate(run.mpmd):
        for item, word in enumerate(other.exe_args):
            yield ("mpmd", place, "exe_args", item), word
    for key, value in run.env_vars.items():
        yield ("env_vars", key), value
    if run.stdin is not None:
        yield ("stdin",), run.stdin


def _undefined_word(path: KeyPath, word: object, known: list[str]) -> Iterator[Problem]:
    """As `_undefined`, of a word that may say that it is no template."""
    text = template_of(word)
    if text is None:
        return
    for found, message in _undefined(path, template, text, known):
        yield found, message + ("" if _compiles(text) else f"; {NO_TEMPLATE}")


def _compiles(text: str) -> bool:
    return not list(attempt((), partial(template, text)))


def _literal(path: KeyPath, name: str, value: object) -> Iterator[Problem]:
    """No shell reads a value: what only a shell expands would be taken as it is."""
    if isinstance(value, Variable) and value.from_env and IS_FOR_BASH.fullmatch(value.from_env):
        yield path, f"{value.from_env} cannot be passed on: bash sets it itself"
    if name.endswith("PATH") and isinstance(value, str) and VARIABLES.search(value):
        message = "no shell reads it, so $ stands for itself; set it in the shell that starts the"
        yield path, f"{message} workflow, or in batch_settings.preamble"


def _filled_paths(entity: Model) -> Iterator[Problem]:
    """Yield key path and text of every path with parameters."""
    for key, item, *texts in listed_files(entity.files):
        for text in filter(is_filled, texts):
            yield ("files", key, item), text
    for file, keys in entity.files.set.items():
        for name, value in keys.items():
            for text in set_texts({name: value}):
                yield ("files", "set", file, name), text
    for item, text in enumerate(entity.outputs):
        yield ("outputs", item), text


def _undefined(
    path: KeyPath, compiled: Callable[[str], Any], text: str, known: list[str]
) -> Iterator[Problem]:
    try:
        unknown = sorted(compiled(text).names - set(known))
    except ValueError as error:
        yield path, without_line(text, error)
        return
    for name in unknown:
        yield path, f"{name!r} is no parameter{did_you_mean(name, known)}"


def without_line(text: object, error: ValueError) -> str:
    """Return a message of jinja's; of a text of one line without its number."""
    return str(error).removeprefix("" if "\n" in str(text) else "line 1: ")
