"""TOML files and Fortran namelists, by libraries that keep comments and layout."""

import io
from importlib.util import find_spec
from typing import Any

from ensemake.formats.keys import Keys, innermost, value_in

CANNOT = "cannot be set where it stands, such as after a repeat count 3*0.5; use a tag"
MISSING = "is changed with {}: pip install 'ensemake[formats]'"


def need(library: str) -> None:
    """Raise ValueError, with what to install, if a library is missing."""
    if find_spec(library) is None:
        raise ValueError(MISSING.format(library))


class TomlText:
    """A TOML text whose values are replaced one after another."""

    def __init__(self, text: str) -> None:
        need("tomlkit")
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            self._document = tomlkit.parse(text)
        except TOMLKitError as error:
            raise ValueError(f"is no TOML: {error}") from None

    @property
    def text(self) -> str:
        """The text as it is now."""
        return str(self._document.as_string())

    @property
    def data(self) -> Any:
        """What it holds."""
        return self._document.unwrap()

    def set(self, way: Keys, value: Any) -> None:
        """Replace a value."""
        *above, last = way
        value_in(self._document, tuple(above))[last] = value

    def create(self, key: str, value: Any) -> None:
        """Put in a key that is not there."""
        import tomlkit

        way, names = innermost(self.data, key)
        holder = value_in(self._document, way)
        for name in names[:-1]:
            holder[name] = tomlkit.table()
            holder = holder[name]
        holder[names[-1]] = value


class NamelistText:
    """A text with Fortran namelists, whose variables are replaced one after another."""

    def __init__(self, text: str) -> None:
        need("f90nml")
        self.text = text
        self.data = _parsed(text)

    def set(self, way: Keys, value: Any) -> None:
        """Replace a variable."""
        if not all(isinstance(key, str) for key in way):
            raise ValueError("stands in one of several groups of that name; use a tag")
        self._patch([str(key) for key in way], value)

    def create(self, key: str, value: Any) -> None:
        """Put in a variable that is not there."""
        self._patch(key.lower().split("."), value)

    def _patch(self, names: list[str], value: Any) -> None:
        import f90nml

        for name in reversed(names):
            value = {name: value}
        out = io.StringIO()
        f90nml.Parser().read(io.StringIO(self.text), f90nml.Namelist(value), out)
        try:
            self.text, self.data = out.getvalue(), _parsed(out.getvalue())
        except ValueError:
            raise ValueError(CANNOT) from None


def _parsed(text: str) -> Any:
    import f90nml

    try:
        return _plain(f90nml.Parser().reads(text))
    except (ValueError, IndexError, KeyError, StopIteration, AssertionError) as error:
        raise ValueError(f"is no namelist that f90nml reads: {error}") from None


def _plain(value: Any) -> Any:
    """Return mappings and lists of Python's own."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key != "_start_index"}
    return [_plain(one) for one in value] if isinstance(value, list) else value
