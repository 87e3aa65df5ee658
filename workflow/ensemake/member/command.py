"""The exact command of a member: program, arguments, environment; every word a list item."""

import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from math import ceil
from pathlib import Path

from ensemake.config.run import Raw, RunSettings, Variable
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Model, Resource
from ensemake.paths import expanded_path, left_in_path
from ensemake.sweep.expressions import template

TIME = re.compile(r"\s*([0-9.]+)\s*(s|m|min|h|d)?[a-z]*\s*")
MINUTES = {"s": 1 / 60, "m": 1, "min": 1, "h": 60, "d": 1440}


def command_words(
    entity: Model,
    run: RunSettings,
    values: Mapping[str, Scalar],
    own: Collection[str],
    base: Path,
    directory: Path,
) -> list[list[str]]:
    """Return the words of a command of a member, and of its further programs (``mpmd``)."""
    first = [program(run.exe, own, base, directory), *_arguments(entity, run, values)]
    others = [
        [program(other.exe, own, base, directory), *filled(other.exe_args, values)]
        for other in run.mpmd
    ]
    return [first, *others]


def filled(words: Sequence[object], values: Mapping[str, Scalar]) -> list[str]:
    """Return words with parameters filled in."""
    return [_filled(word, values) for word in words]


def _filled(word: object, values: Mapping[str, Scalar]) -> str:
    text = template_of(word)
    text = str(getattr(word, "raw", "")) if text is None else template(text).render(values)
    if "\0" in text:
        raise ValueError(f"{word!r} gives a NUL character, which no program can be given")
    return text


def template_of(word: object) -> str | None:
    """Return the template that a word of the config is; None if it says that it is none."""
    return None if isinstance(word, Raw | Variable) else str(word)


def _arguments(entity: Model, run: RunSettings, values: Mapping[str, Scalar]) -> list[str]:
    """Fill parameters in; those of ``params_as_args`` come behind, in the first command alone."""
    words = filled(run.exe_args, values)
    for name in entity.params_as_args if run is entity.run_settings[0] else ():
        words += as_arguments(name, values[name])
    return words


def member_outputs(entity: Model, values: Mapping[str, Scalar]) -> list[str]:
    """Return the outputs that a member has to leave, with parameters filled in."""
    return filled(entity.outputs, values) if "{" in "".join(entity.outputs) else entity.outputs


def as_arguments(name: str, value: Scalar) -> list[str]:
    """Write a parameter as SmartSim does: ``-n value`` for one letter, else ``--name=value``."""
    return [f"-{name}", str(value)] if len(name) == 1 else [f"--{name}={value}"]


def environment(run: RunSettings, values: Mapping[str, Scalar]) -> dict[str, str]:
    """Return the environment variables with parameters filled in."""
    own = {k: v for k, v in run.env_vars.items() if not _passed(v)}
    return dict(zip(own, filled(list(own.values()), values), strict=True))


def passed(run: RunSettings) -> dict[str, str]:
    """Return the variables that come from the submitting shell, and how they are called there."""
    return {name: _passed(value) for name, value in run.env_vars.items() if _passed(value)}


def restarts(entity: Model) -> list[RunSettings]:
    """Return what is run in place of each command once it was stopped; nothing without restart."""
    restart = entity.restart
    if restart is None:
        return []
    if restart.run_settings is not None:
        return [restart.run_settings for _ in entity.run_settings]
    if restart.exe_args is None:
        return list(entity.run_settings)
    return [run.model_copy(update={"exe_args": restart.exe_args}) for run in entity.run_settings]


def stdin(run: RunSettings, values: Mapping[str, Scalar]) -> str | None:
    """Return the text that a command reads from its standard input."""
    return None if run.stdin is None else _filled(run.stdin, values)


def _passed(value: object) -> str:
    return (isinstance(value, Variable) and value.from_env) or ""


def resource(value: Resource, values: Mapping[str, Scalar | int]) -> Resource:
    """Fill parameters into a resource: ``"{{ nx // 8 }}"`` becomes a number; fractions round up."""
    if not isinstance(value, str) or "{" not in value:
        return value
    text = template(value).render(values)
    try:
        return ceil(float(text))
    except (ValueError, OverflowError):
        return text


def runtime_minutes(runtime: object) -> float:
    """Return a runtime in minutes: a number, or text such as ``90m``, ``1.5h``, ``2d``."""
    found = TIME.fullmatch(str(runtime).lower())
    return float(found[1]) * MINUTES.get(found[2] or "m", 1) if found else 0.0


def program(exe: str, own: Collection[str], base: Path, directory: Path) -> str:
    """Return the word that runs ``exe`` from inside a member's directory.

    Parameters
    ----------
    exe
        As in the config.
    own
        Files of the member's directory: a code that was copied there is run from there.
    base
        The working directory of the workflow.
    directory
        The member's directory. The path to ``exe`` is relative to it, so that the whole project
        can be moved.
    """
    if "/" not in exe and shutil.which(exe):
        return exe
    if exe.removeprefix("./") in own:
        return f"./{exe.removeprefix('./')}"
    exe = expanded_path(exe)
    if (base / exe).exists() and not os.path.isabs(exe):
        return relative(base / exe, directory)
    return exe


def relative(path: Path, directory: Path) -> str:
    """Return a path as seen from a directory, wherever a link on the way to that leads."""
    return os.path.relpath(path, os.path.realpath(directory))


def program_fault(exe: str, own: Collection[str], base: Path) -> str | None:
    """Say why ``exe`` cannot be run here, or return None."""
    if exe.removeprefix("./") in own:
        return None
    path = base / expanded_path(exe)
    if "/" not in exe and shutil.which(exe):
        return None
    if not path.is_file() and left_in_path(exe):
        return f"no program {exe!r}: {left_in_path(exe)} stands for nothing here"
    if not path.is_file():
        where = "on PATH or " if "/" not in exe else ""
        return f"no program {exe!r} {where}in the working directory {base.absolute()}"
    if not os.access(path, os.X_OK):
        return f"{exe!r} is not executable: chmod +x {exe}, or name its interpreter as exe"
    return None


def program_file(exe: str, base: Path) -> Path | None:
    """Return the file behind ``exe`` if it lies under the working directory: it can be edited."""
    path = base / expanded_path(exe)
    if ("/" not in exe and shutil.which(exe)) or not path.is_file():
        return None
    return path if path.resolve().is_relative_to(base.resolve()) else None
