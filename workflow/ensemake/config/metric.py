"""The config's section on metrics: what is read from the files that a member leaves."""

from pydantic import Field, model_validator

from ensemake.config.scalars import InsidePath, Section, Text


class Metric(Section):
    """A number or text read from a file that a member leaves behind."""

    file: InsidePath = Field(examples=["out.json"], description="file in the member's directory")
    key: Text | None = Field(
        None, description="JSON: key, dotted for nesting (`final.loss`, `losses.-1`)"
    )
    regex: Text | None = Field(
        None, description="text: regular expression, group 1 of its last match"
    )
    column: Text | None = Field(None, description="CSV: name of the column")
    row: int = Field(-1, description="CSV: row, from 0, or from the end with a minus")

    @model_validator(mode="after")
    def _one_kind(self) -> "Metric":
        given = [self.key, self.regex, self.column]
        if sum(value is not None for value in given) != 1:
            raise ValueError("needs exactly one of key (JSON), regex (text), column (CSV)")
        return self
