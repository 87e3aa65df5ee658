"""The config's section on containers."""

from pydantic import Field, field_validator

from ensemake.config.scalars import Section, Text


class Container(Section):
    """An Apptainer or Singularity image that the command runs in."""

    image: Text = Field(
        examples=["image.sif"], description="image file, or a URI such as docker://python:3.12"
    )
    bind: list[Text] = Field(
        [], description="folders to see inside, as `source` or `source:target[:ro]`"
    )
    args: list[Text] = Field(
        [], examples=[["--nv"]], description="further options of `apptainer exec`, such as `--nv`"
    )
    working_directory: Text | None = Field(
        None,
        min_length=1,
        examples=["/workspace"],
        description="folder inside that the program starts in, instead of the member's",
    )

    @field_validator("args")
    @classmethod
    def _options(cls, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-"):  # it would be taken for the image
            raise ValueError("must begin with an option, such as --nv")
        return args
