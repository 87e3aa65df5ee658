"""A section of the config in a script's hands: what is assigned is checked, and kept once."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from ensemake.check.config import check_shape
from ensemake.config.faults import ConfigError, did_you_mean, dotted
from ensemake.config.scalars import Section, keys_of
from ensemake.config.yamlfile import Document
from ensemake.errors import WrongValueError

T = TypeVar("T")


class Face:
    """A section of the config in a script's hands.

    Attributes
    ----------
    data
        The section as the config writes it: the one place of its values.
    written
        Keys that a config file has: they are kept also where they say what is the default.
    """

    section: ClassVar[type[Section]]
    home: ClassVar[tuple[str, ...]]  # where a config has such a section

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.written: set[str] = set()

    @classmethod
    def of(cls, data: dict[str, Any], **attributes: Any) -> Self:
        """Return the face of a section that was read from a config; nothing is looked for."""
        face = cls.__new__(cls)
        vars(face).update({"data": data, "written": set(data), **attributes})
        return face

    def assign(self, key: str, value: Any) -> None:
        """Set a key to a copy of a value that the config has there; None for what is the default.

        Raises
        ------
        WrongValueError
            If it is none; a TypeError and a ValueError.
        """
        if value is None and not keys_of(self.section)[key].is_required():
            self.data.pop(key, None)
        else:
            self._check(key, value)
            self.data[key] = copy.deepcopy(value)
        self.written.discard(key)

    def _check(self, key: str, value: Any) -> None:
        trial: dict[str, Any] = {"experiment": "trial"}
        for kind in ("models", "ensembles"):
            trial[kind] = {kind: {"run_settings": {"exe": "trial"}}}
        section = trial
        for part in self.home:
            section = section.setdefault(part, {})
        section[key] = value
        depth = len(self.home)
        try:
            check_shape(Document("trial", trial))
        except ConfigError as error:
            own = [fault for fault in error.faults if fault.path[: depth + 1] == (*self.home, key)]
            if own:
                told = [f"{dotted(fault.path[depth:])}: {fault.message}" for fault in own]
                raise WrongValueError("\n".join(told)) from None

    def assign_keys(self, keys: Mapping[str, Any]) -> None:
        """Set attributes by the names that the config has for them; raise TypeError for others."""
        known = keys_of(self.section)
        for key in keys.keys() - known.keys():
            raise TypeError(f"there is no argument {key!r}{did_you_mean(key, known)}")
        for key, value in keys.items():
            setattr(self, key, value)

    def pruned(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy without what the config says by itself, in the order of the schema."""
        return {
            key: copy.deepcopy(config[key])
            for key, field in keys_of(self.section).items()
            if key in config
            and (key in self.written or config[key] not in (None, [], {}, field.default))
        }

    def as_config(self) -> dict[str, Any]:
        """Return the section of the config."""
        return self.pruned(self.data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data})"


class Key(Generic[T]):
    """An attribute that is a key of the config.

    Parameters
    ----------
    convert
        Turns (face, value) into what the config has there.
    name
        The config's name of it, if it is another.
    """

    def __init__(
        self, convert: Callable[[Any, Any], T] = lambda face, value: value, name: str = ""
    ):
        self.convert = convert
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    def __get__(self, face: Face, owner: type) -> T:
        default = keys_of(face.section)[self.name].default
        if isinstance(default, list | dict | Section):  # may be filled in place
            empty: Any = [] if isinstance(default, list) else {}
            return face.data.setdefault(self.name, empty)  # type: ignore[no-any-return]
        return face.data.get(self.name, default)  # type: ignore[no-any-return]

    def __set__(self, face: Face, value: Any) -> None:
        face.assign(self.name, self.convert(face, value))


class Part(Generic[T]):
    """An attribute that is a face itself, of this kind, or None."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, face: Face, owner: type) -> T | None:
        return vars(face)[self.name]  # type: ignore[no-any-return]

    def __set__(self, face: Face, value: T | None) -> None:
        if not isinstance(value, self.kind | None):
            raise TypeError(f"{self.name}: expected {self.kind.__name__}, not {value!r}")
        vars(face)[self.name] = value


class Parts(Part[T]):
    """As `Part`; or a list of them."""

    def __set__(self, face: Face, value: T | list[T] | None) -> None:
        if not isinstance(value, list):
            super().__set__(face, value)
        elif value and all(isinstance(one, self.kind) for one in value):
            vars(face)[self.name] = list(value)
        else:
            raise TypeError(f"{self.name}: expected a list of {self.kind.__name__}, not {value!r}")
