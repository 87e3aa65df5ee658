"""What an entity takes from others, in the config's words: members' files, or parameters."""

from typing import Literal

from pydantic import ConfigDict, Field

from ensemake.config.scalars import Count, InsidePath, Name, Section, Text


class Input(Section):
    """What a member takes from the members of another model or ensemble."""

    model_config = ConfigDict(serialize_by_alias=True)

    members: Literal["one", "all"] = Field(
        "one",
        description="`one`: the member with the same values of the parameters that both have; "
        "`all`: every such member",
    )
    match: list[Text] | None = Field(
        None, description="parameters that must be equal; default all that both have"
    )
    files: list[InsidePath] | dict[InsidePath, InsidePath] | None = Field(
        None,
        description="files to take, or a mapping `file there: name here`; patterns as in "
        "`outputs`; default the `outputs` of the other",
    )
    as_: Literal["link", "copy"] = Field(
        "link", alias="as", description="`link`, or `copy` where the code changes the file"
    )
    allow_failed: bool = Field(
        False, description="with `members: all`: take what has completed, once all have ended"
    )


class Choice(Section):
    """A space whose points are members of another model or ensemble."""

    members: Name = Field(
        examples=["train"], description="the other entity: its members are the points"
    )
    where: Text | None = Field(
        None,
        description="Jinja2 expression over its results: only the members for which it holds",
    )
    sort_by: Text | None = Field(None, description="column of its results to sort by")
    descending: bool = Field(False, description="largest first")
    first: Count | None = Field(None, description="only so many, from the first")
    per: list[Text] = Field(
        [], description="parameters: `first` counts for each combination of their values"
    )

    @property
    def by_results(self) -> bool:
        """Whether the other's results decide, so that nobody knows before it has finished."""
        return bool(self.where or self.sort_by or self.first)
