"""What sections of the config are made of: texts, names, numbers and paths."""

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.fields import FieldInfo

Scalar = str | int | float | bool
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=200)]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Count = Annotated[int, Field(ge=1)]


def _one_line(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or str(path) == ".":
        raise ValueError("must be a path inside the member's directory, such as out/model.json")
    if text.startswith("-") or "\0" in text:
        raise ValueError("must not begin with - or hold a NUL character")
    return text


def _tag(value: Any) -> Any:
    """A list of two is open and close; one text is both."""
    if isinstance(value, list):
        return tuple(value)
    return (value, value) if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_one_line)]
InsidePath = Annotated[str, AfterValidator(_inside)]
Delimiter = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\r\n]+$")]
Delimiters = BeforeValidator(
    _tag,
    json_schema_input_type=Delimiter
    | Annotated[list[Delimiter], Field(min_length=2, max_length=2)],
)


class Section(BaseModel):
    """A mapping of the config file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def keys_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a section as the config calls them: some are words of Python's."""
    return {field.alias or name: field for name, field in section.model_fields.items()}
