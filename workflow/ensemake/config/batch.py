"""The config's section on jobs that run many members."""

from pydantic import ConfigDict, Field

from ensemake.config.scalars import Count, Name, Section, Text


class BatchSettings(Section):
    """Many members in one cluster job."""

    model_config = ConfigDict(serialize_by_alias=True)

    size: Count | None = Field(None, description="members per job; default all of them")
    nodes: Count = Field(1, description="nodes of the job")
    runtime: Count | Text | None = Field(None, description="time limit of the job, minutes")
    queue: Text | None = Field(None, description="queue or partition")
    account: Text | None = Field(None, description="account to charge")
    batch_args: dict[str, Text | int | float | None] = Field(
        {}, description="further options of the submit command, without dashes"
    )
    preamble: list[Text] = Field(
        [], description="shell lines before the members, such as `module load foo`"
    )
    with_: Name | None = Field(
        None,
        alias="with",
        description="an entity that this one takes from: run its members in the same jobs",
    )
