"""The config's sections on what a member runs: commands, restarts, what counts as a success."""

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_validator,
)

from ensemake.config.container import Container
from ensemake.config.scalars import Count, EnvName, InsidePath, Section, Text


class Raw(Section):
    """A text that is no template."""

    raw: Text = Field(
        examples=["echo ${#list}"], description="text, given as it is: `{{` and `{#` mean nothing"
    )


class Variable(Section):
    """A variable whose value is no template, or that stands in no file."""

    raw: Text | None = Field(None, description="value, given as it is: `{{` and `{#` mean nothing")
    from_env: EnvName | None = Field(
        None,
        description="variable of the shell that starts the workflow; its value is written nowhere",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Variable":
        if (self.raw is None) == (self.from_env is None):
            raise ValueError("needs one of raw: TEXT, from_env: NAME")
        return self


Word = Text | int | float | Raw
ExitCode = Annotated[int, Field(ge=0, le=255)]


class Program(Section):
    """A further program of the same launch (MPMD)."""

    exe: Text = Field(min_length=1, examples=["coupler.x"], description="program, as above")
    exe_args: list[Word] = Field([], description="its arguments, as above")
    run_args: dict[str, Text | int | float | bool | None] = Field(
        {}, description="options of the launcher for this program"
    )
    tasks: Count = Field(1, description="how many of the member's `tasks` are its")


class RunSettings(Section):
    """How one command of a member is run."""

    exe: Text = Field(
        min_length=1,
        examples=["python"],
        description="program: found on PATH, or relative to the working directory",
    )
    exe_args: list[Word] = Field(
        [], description="arguments, one list item each; Jinja2 over the parameters"
    )
    run_command: Text = Field(
        "auto",
        description="launcher: `auto` (none for one task, else what is there), `none`, `srun`, "
        "`mpirun`, `mpiexec`, `aprun`, `jsrun` or any other",
    )
    run_args: dict[str, Text | int | float | bool | None] = Field(
        {}, description="options of the launcher, without dashes; `null` for a bare flag"
    )
    env_vars: dict[EnvName, Text | int | float | Variable] = Field(
        {}, description="environment variables; Jinja2 over the parameters"
    )
    stdin: Text | Raw | None = Field(
        None, description="text that it reads from its standard input; Jinja2 over the parameters"
    )
    container: Container | None = Field(None, description="container to run in; see below")
    mpmd: list[Program] = Field(
        [], description="further programs, started by one launcher command; see below"
    )


def as_list(value: Any) -> Any:
    """Return a list of one for what may be one or a list."""
    return value if isinstance(value, list) else [value]


def _as_given(value: list[RunSettings], write: SerializerFunctionWrapHandler) -> Any:
    written = write(value)
    return written[0] if len(written) == 1 else written


# One command is written as it always was, so that what an older version saved is read, and says
# the same.
Steps = Annotated[
    list[RunSettings],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=RunSettings | list[RunSettings]),
    WrapSerializer(_as_given),
]


class Restart(Section):
    """What is run in place of a command that was stopped and has left a file to go on from."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a word of Python

    from_: InsidePath = Field(
        alias="from",
        examples=["state.cpt"],
        description="file that a stopped attempt must have left; parameters and patterns as in "
        "`files`",
    )
    exe_args: list[Word] | None = Field(
        None, description="arguments in place of the stopped command's"
    )
    run_settings: RunSettings | None = Field(
        None, description="or a command in place of the stopped one"
    )
    times: Count = Field(1, description="restarts within one run of the workflow")

    @model_validator(mode="after")
    def _one_way(self) -> "Restart":
        if self.exe_args is not None and self.run_settings is not None:
            raise ValueError("takes exe_args or run_settings, not both")
        return self


class Check(Section):
    """A text that a file of a member must hold."""

    file: InsidePath = Field(examples=["run.out"], description="file in the member's directory")
    regex: Text = Field(
        min_length=1,
        examples=["JOB DONE"],
        description="regular expression (Perl's) that a line of it must match",
    )
