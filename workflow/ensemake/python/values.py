"""What a script gives, as the config has it: plain text, numbers, lists and mappings."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemake.config.scalars import Scalar
from ensemake.errors import StrategyError, UnsupportedError
from ensemake.python.table import table
from ensemake.sweep import strategies
from ensemake.sweep.spaces import axis

FilesArgument = str | Path | Sequence[str | Path] | None


# ---- settings ----


def program_path(exe: str) -> str:
    """Return a program's name, or its whole path, after looking whether it can be run."""
    if not isinstance(exe, str):
        raise TypeError(f"exe is the name or the path of a program, not {exe!r}")
    if "/" not in exe and shutil.which(exe):
        return exe
    path = Path(exe).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no program {exe!r} on PATH or in {Path.cwd()}")
    if not os.access(path, os.X_OK):
        raise TypeError(f"{exe!r} is not executable: chmod +x {exe}, or name its interpreter")
    return os.path.abspath(path)


def argument_words(args: Any) -> list[Any]:
    """Split text at blanks, and write numbers as text."""
    if args is None or isinstance(args, str):
        return (args or "").split()
    if not isinstance(args, list | tuple):
        raise TypeError(f"arguments are text or a list of texts, not {args!r}")
    return [_text(word) for word in args]


def env_texts(env_vars: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write numbers and bools as text; None passes on what the shell has, as in SmartSim."""
    given = _mapping("env_vars", env_vars)
    return {name: _env_text(name, value) for name, value in given.items()}


def _env_text(name: str, value: Any) -> Any:
    if value is None:
        return {"from_env": name}
    return str(value) if isinstance(value, bool) else _text(value)


def option_names(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options by their names without dashes."""
    return {
        str(name).strip().lstrip("-"): value.strip() if isinstance(value, str) else value
        for name, value in _mapping("options", options).items()
    }


def _mapping(what: str, given: Any) -> Mapping[Any, Any]:
    if not isinstance(given, Mapping | None):
        raise TypeError(f"{what}: expected a dict of names and values, not {given!r}")
    return given or {}


def name_list(names: Any) -> Any:
    """Return one name as a list too."""
    return [names] if isinstance(names, str) else listed(names)


def listed(given: Any) -> Any:
    """Return the items of a tuple or another series as a list; what is none, and text, as it is."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else given


def _text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def joined(items: str | list[str], separator: str = ",") -> str:
    """Return texts as one."""
    listed = [items] if isinstance(items, str) else items
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise TypeError(f"expected text or a list of texts, not {items!r}")
    return separator.join(item.strip() for item in listed)


def bind_list(folders: str | list[str] | Mapping[str, str]) -> list[str]:
    """Return folders that a container sees, as the config lists them."""
    if isinstance(folders, Mapping):
        return [f"{source}:{target}" if target else source for source, target in folders.items()]
    return [part for part in folders.split(",") if part] if isinstance(folders, str) else folders


# ---- parameters ----


def spaces(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as a config has them: plain numbers and lists.

    Raises
    ------
    TypeError
        If it is no mapping, or a value is neither text, a number, nor a series of them.
    """
    given = _mapping("params", params)
    return {_name(name): _space(name, value) for name, value in given.items()}


def inputs(given: Mapping[Any, Any] | Iterable[Any] | None) -> dict[str, Any] | None:
    """Return what is taken from others as a config has it: of entities, their names.

    Raises
    ------
    TypeError
        If one is neither an entity nor text.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        listed = [given] if isinstance(given, str) or hasattr(given, "name") else given
        given = dict.fromkeys(listed)
    return {entity_name(other): dict(taken or {}) for other, taken in given.items()}


def entity_name(other: Any) -> str:
    """Return the name of an entity, or the name that is given."""
    name = getattr(other, "name", other)
    if not isinstance(name, str):
        raise TypeError(f"expected a model, an ensemble or the name of one, not {other!r}")
    return name


def store_names(given: Any) -> str | list[str] | None:
    """Return the name of a store, or of each of several."""
    if given is None:
        return None
    if isinstance(given, list | tuple):
        return [entity_name(store) for store in given]
    return entity_name(given)


def listed_stores(database: str | list[str] | None) -> list[str]:
    """Return the names of an entity's stores."""
    return [database] if isinstance(database, str) else database or []


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a parameter is text, not {name!r}")
    return name


def _space(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: entity_name(items) if key == "members" else _space(name, items)
            for key, items in value.items()
        }
    value = value.tolist() if hasattr(value, "tolist") else value  # NumPy, pandas
    if isinstance(value, list | tuple | range):
        return [_space(name, item) for item in value]
    return _scalar(name, value)


def parameter_values(params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return parameters of which each has one value."""
    found = spaces(params)
    for name, value in found.items():
        if isinstance(value, list | dict):
            raise TypeError(f"{name}: a model's parameter is text or a number, not {value!r}")
    return found


def _scalar(name: str, value: Any) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise TypeError(f"{name}: expected text, a number, or a list of these, not {value!r}")


def sampling(
    params: dict[str, Any], strategy: str | Callable[..., Any], n_models: int | None, base: Path
) -> dict[str, Any]:
    """Return the config's params, perm_strategy and n_models; what a function returns is a table.

    Of ``random`` what there is is taken if no number, or more than that, is asked for.
    """
    if callable(strategy):
        axes = [axis(key, spec, base) for key, spec in params.items()]
        name = getattr(strategy, "__name__", "perm_strategy")
        try:
            rows = strategies.call_strategy(strategy, axes, name, n_models)
        except ValueError as error:
            raise StrategyError(str(error)) from error
        params = table(list(rows[0]), [list(row.values()) for row in rows])
        return {"params": params, "perm_strategy": "step"}
    if not isinstance(strategy, str):
        raise UnsupportedError(f"perm_strategy is a name or a function, not {strategy!r}")
    if strategy == "random" and not n_models:
        return {"params": params}
    if strategy == "random" and not any(isinstance(space, dict) for space in params.values()):
        lists = [values for values in params.values() if isinstance(values, list)]
        n_models = min(n_models or 0, math.prod(map(len, lists)))
    return {"params": params, "perm_strategy": strategy, "n_models": n_models}


# ---- files ----


@dataclass(frozen=True)
class Place:
    """Where an experiment lies.

    Attributes
    ----------
    base
        The working directory, from which the config's relative paths start.
    folder
        The experiment's folder: an entity's path is ``folder / name``.
    config
        Returns the experiment's config as it is now.
    """

    base: Path
    folder: Path
    config: Callable[[], dict[str, Any]] = dict

    def check_path(self, name: str, path: str | os.PathLike[str] | None) -> None:
        """Refuse a path for an entity that is another than its own; the error says what to write.

        Raises
        ------
        UnsupportedError
            If it is another.
        """
        own = self.folder / name
        if path is None or os.path.abspath(path) == str(own):
            return
        wanted = Path(os.path.abspath(path))
        instead = f"write Experiment(..., exp_path={str(wanted.parent)!r}), a folder that exists"
        if wanted.name != name:
            link = f"os.symlink({str(own)!r}, {str(wanted)!r})"
            instead = f"leave path out, and have a link there: {link}"
        raise UnsupportedError(f"path={str(path)!r}: {name} lies in {own}; {instead}")

    def shown(self, path: str | Path) -> str:
        """Write a path as the config has it: relative to the working directory if below it."""
        absolute = Path(os.path.abspath(self.base / path))
        is_below = absolute.is_relative_to(self.base)
        return str(absolute.relative_to(self.base) if is_below else absolute)


def existing_paths(key: str, given: FilesArgument) -> list[Path]:
    """Return the whole paths of files, all of which must be there."""
    listed = [given] if isinstance(given, str | Path) else given or []
    if not isinstance(listed, list | tuple):
        raise TypeError(f"{key}: expected a path or a list of paths, not {given!r}")
    for path in listed:
        if not isinstance(path, str | Path):
            raise TypeError(f"{key}: expected a path, not {path!r}")
        if not Path(path).exists():
            raise FileNotFoundError(f"{key}: no such file: {path} (looked in {Path.cwd()})")
    return [Path(os.path.abspath(path)) for path in listed]
