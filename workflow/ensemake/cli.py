"""The command `ensemake`: questions to an experiment, answered without Snakemake's start.

Imports are made where they are used: `ensemake --help` and shell completion are to be quick.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ensemake.config.faults import ConfigError, KeyedError, did_you_mean, printable
from ensemake.errors import EnsemakeError, NotYetKnownError, file_fault
from ensemake.paths import DEFAULT_CONFIG

if TYPE_CHECKING:
    from ensemake.config.schema import Config
    from ensemake.config.yamlfile import Document
    from ensemake.member.expansion import Expansion
    from ensemake.member.plan import Work

EVERY_S = 3.0  # between two looks of `status --watch`
CONFIG = "Replace a top-level key of the config."
DIRECTORY = "Working directory."
CONFIGFILE = "The config; by default config/config.yaml of the working directory."


@dataclass
class Question:
    """What is asked about: the options that every question takes."""

    configfile: Path | None = None
    directory: Path = Path()
    config: tuple[str, ...] = ()
    saved: Path | None = None  # as the workflow has checked it: inputs may be gone by now
    unknown: list[str] = field(default_factory=list)  # whose members are not known yet, and why

    @cached_property
    def experiment(self) -> "tuple[Document, Config]":
        """The config, checked as the workflow does; the working directory is changed."""
        from ensemake.check.config import check_config
        from ensemake.config.yamlfile import Document, load_yaml
        from ensemake.member.plan import read_config

        file = self.file
        sys.dont_write_bytecode = True  # of strategies in the user's folder
        if self.saved:
            return Document("the config"), read_config(self.saved)
        document = load_yaml(file)
        document.override(dict(_setting(text) for text in self.config))
        return document, check_config(document)

    @cached_property
    def file(self) -> Path:
        """The config's path, seen from the working directory, which is entered.

        As Snakemake: the file is looked for from where one is, what it names from the directory.
        """
        if self.configfile:
            self.configfile = self.configfile.absolute()
        os.chdir(self.directory)
        return Path(os.path.relpath(self.configfile or DEFAULT_CONFIG))

    def works(self, names: Sequence[str] = ()) -> "list[Work]":
        """Return the members of these entities, or of all; as they were run if nothing changed."""

        document, config = self.experiment
        for name in names:
            if name not in config.entities:
                hint = did_you_mean(name, config.entities)
                message = f"{document.file} has no model or ensemble {name!r}{hint}"
                raise click.ClickException(message)
        return [work for name in names or config.entities for work in self._known(name)]

    def _known(self, name: str) -> "Iterator[Work]":
        from ensemake.check.config import expanded
        from ensemake.member.expansion import known_work

        make = partial(known_work, self.expansion)
        try:
            yield expanded(self.experiment[0], make, name)
        except NotYetKnownError as error:
            self.unknown.append(str(error))

    @cached_property
    def expansion(self) -> "Expansion":
        """The members of all entities, as the config describes them now."""
        from ensemake.member.expansion import Expansion
        from ensemake.results.choose import choose

        return Expansion(self.experiment[1], choose=choose)

    def ran(self, names: Sequence[str] = ()) -> "tuple[Config, list[Work]]":
        """Return what was run: told by the results alone, where the config cannot tell it."""
        from ensemake.member.plan import last_run

        assert self.file
        paths = [Path(name) for name in names]
        if paths and (paths[0] / ".ensemake").is_dir():  # an experiment's folder
            return last_run(paths[0], names[1:])
        if paths and len(paths[0].parts) > 1 and (paths[0].parent / ".ensemake").is_dir():
            return last_run(paths[0].parent, [path.name for path in paths])
        try:
            return self.experiment[1], self.works(names)
        except ConfigError as error:
            folders = self._folders()
            if len(folders) != 1:
                raise
            click.echo(f"{error.file} has faults; this is what was run last.", err=True)
            return last_run(folders[0], names)

    def _folders(self) -> list[Path]:
        """Return the folders of the experiments that may be meant, though the config has faults."""
        from ensemake.config.yamlfile import load_yaml
        from ensemake.member.layout import experiment_folders

        data: Any = {}
        with suppress(ConfigError):
            data = load_yaml(self.file).data
        return experiment_folders(data if isinstance(data, dict) else {})


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    key, sign, value = text.partition("=")
    with suppress(yaml.YAMLError):
        if sign:
            return key, yaml.safe_load(value)
    raise click.ClickException(f"--config {text}: write KEY=VALUE, such as results=/scratch/me")


class Command(click.Group):
    """The command itself: tells a config's faults as the workflow does."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the sub-commands in the order in which they are used."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a sub-command; faults are told without a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(error, err=True)
            ctx.exit(1)
        except (KeyedError, EnsemakeError) as error:  # a file of the config is gone
            raise click.ClickException(printable(str(error))) from None
        except BrokenPipeError:  # `| head`
            raise
        except OSError as error:
            raise click.ClickException(file_fault(error)) from None


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.ensure_object(Question), str(option.name), value)


def of_experiment(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which experiment is meant."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    file = click.Path(path_type=Path)
    note: dict[str, Any] = {"callback": _keep, "expose_value": False}
    options: dict[tuple[str, ...], dict[str, Any]] = {
        ("--saved",): {"type": file, "hidden": True},
        ("--config",): {"multiple": True, "metavar": "KEY=VALUE", "help": CONFIG},
        ("--configfile",): {"type": file, "metavar": "FILE", "help": CONFIGFILE},
        ("-C", "-d", "--directory"): {"type": folder, "metavar": "DIR", "help": DIRECTORY},
    }
    for names, more in options.items():
        command = click.option(*names, **more, **note)(command)
    return command


asked = click.make_pass_decorator(Question, ensure=True)
entities = click.argument("entities", nargs=-1, metavar="[ENTITY]...")


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ensemake")
@of_experiment
def ensemake() -> None:
    """Ask about an experiment, or begin one. What runs it is `snakemake --profile PROFILE`.

    Questions change nothing; each can be asked at any time, also while members run.
    """


@ensemake.command()
@of_experiment
@asked
def check_command(question: Question) -> None:
    """Tell all that is wrong with the config."""
    from ensemake.check.config import expanded

    document, config = question.experiment
    faults = []
    for name in config.entities:
        try:
            expanded(document, question.expansion.work, name)
        except ConfigError as error:
            faults += error.faults
        except NotYetKnownError:
            pass
    if faults:
        raise ConfigError(document.file, faults)
    counts = ("model", len(config.models)), ("ensemble", len(config.ensembles))
    told = [f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts]
    click.echo(f"{document.file}: no faults; {', '.join(told)}")


@ensemake.command()
@click.option("--at-once", type=int, metavar="N", help="How many jobs a cluster gets at once.")
@entities
@of_experiment
@asked
def preview_command(question: Question, entities: Sequence[str], at_once: int | None) -> None:
    """Tell what would run, and what looks wrong."""
    works = question.works(entities)
    from ensemake.show.preview import preview_lines, stage_lines

    for line in [] if entities else stage_lines(question.experiment[1]):
        click.echo(line)
    for number, work in enumerate(works):
        click.echo("\n" * bool(number) + "\n".join(preview_lines(work, at_once)))
    for line in question.unknown:
        click.echo(f"\n{line}")


@ensemake.command()
@click.option("--watch", is_flag=True, help="Tell it again and again until nothing runs.")
@entities
@of_experiment
@asked
def status_command(question: Question, entities: Sequence[str], watch: bool) -> None:
    """Tell what became of every member."""
    from ensemake.store.news import news_lines

    _, works = question.ran(entities)
    roots = {work.layout.root for work in works}
    with suppress(KeyboardInterrupt):
        while True:
            lines, is_over = _look(works)
            lines += [line for root in roots for line in news_lines(root)]
            if watch:
                click.clear()
            click.echo("\n".join([*lines, *question.unknown]))
            if is_over or not watch:
                return
            time.sleep(EVERY_S)


def _look(works: "Sequence[Work]") -> tuple[list[str], bool]:
    """Return what is to be told of the members, and whether none of them is still to come."""
    from ensemake.results.outcomes import is_under_way, outcomes, status_lines

    looks = [(work, outcomes(work)) for work in works]
    lines = [line for work, found in looks for line in status_lines(work, found)]
    return lines, not any(is_under_way(work, found) for work, found in looks)


@ensemake.command()
@entities
@of_experiment
@asked
def results_command(question: Question, entities: Sequence[str]) -> None:
    """Write tables, plots and the page of whatever has finished."""
    from ensemake.show.page import write_page

    config, works = question.ran(entities)
    for work in works:
        click.echo("\n".join(map(printable, _write(work))))
    click.echo(write_page(config))


@ensemake.command()
@click.option(
    "--to", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to."
)
@entities
@of_experiment
@asked
def page_command(question: Question, entities: Sequence[str], to: Path | None) -> None:
    """Write the page from the tables that are there; with --to, of results that are not yours."""
    from ensemake.show.page import write_page

    to = to and to.absolute()
    config, works = question.ran(entities)
    kept = {work.entity for work in works}
    kinds = ("models", "ensembles")
    parts = {
        kind: {name: one for name, one in getattr(config, kind).items() if name in kept}
        for kind in kinds
    }
    click.echo(write_page(config.model_copy(update=parts), to=to))


def _write(work: "Work") -> list[str]:
    from ensemake.results.collect import write_members, write_results
    from ensemake.results.outcomes import outcomes, status_lines

    found = outcomes(work)
    write_members(work)
    path, _ = write_results(work, found)
    if work.settings.drawn:
        from ensemake.results.plot_files import draw_all  # a second to import

        draw_all(work)
    return [*status_lines(work, found), f"  {path}"]


@ensemake.command()
@click.option("--yes", is_flag=True, help="Delete them.")
@entities
@of_experiment
@asked
def prune_command(question: Question, entities: Sequence[str], yes: bool) -> None:
    """List members that the config no longer describes."""
    from ensemake.results.prune import prune, prune_advice

    works, lines = question.works(entities), list[str]()
    everyone = works if not entities else question.works()
    for work in reversed(works):  # those that take first: then nobody takes from what goes
        takers = [other for other in everyone if work.entity in other.sources]
        lines += prune(work, yes, takers)
    click.echo("\n".join(map(printable, [*lines, prune_advice(len(lines), yes)])))


@ensemake.command()
@click.argument("entity")
@click.argument("expression", default="true")
@of_experiment
@asked
def find_command(question: Question, entity: str, expression: str) -> None:
    """Print the directories of members, one on a line.

    EXPRESSION, in Jinja2, says of which: over parameters, status, metrics and the other columns of
    results.csv. Without it, of all.

    \b
    ensemake find heat "kappa > 0.2 and status == 'failed'"
    """
    from ensemake.results.find import find

    _, works = question.ran([entity])
    try:
        found = [path for work in works for path in find(work, expression)]
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if question.unknown:
        raise click.ClickException(question.unknown[0])
    for directory in found:
        click.echo(question.directory / directory)


@ensemake.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def compare_command(first: str, second: str) -> None:
    """Put two experiments, or two runs of one, beside each other.

    A and B are folders of experiments, or FOLDER@RUN, with a run as results.csv names it. Members
    are matched by their parameters.

    \b
    ensemake compare results/demo results/finer
    ensemake compare results/demo@20261123T205831-afb6 results/demo
    """
    from ensemake.results.compare import compare_lines, side

    click.echo("\n".join(map(printable, compare_lines(side(first), side(second)))))


@ensemake.command()
@click.argument("to", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@entities
@of_experiment
@asked
def view_command(question: Question, to: Path, entities: Sequence[str]) -> None:
    """Make a folder of links to members, with names to read: heat/kappa=0.2/n=40.

    Links that an earlier view made there are renewed.
    """
    from ensemake.results.view import make_view

    to = to.absolute()
    _, works = question.ran(entities)
    for entity, count in make_view(works, to):
        click.echo(f"{to / entity}: {count} member{'s' * (count != 1)}")


@ensemake.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
def init_command(directory: Path) -> None:
    """Begin a project: a config, an example that runs, the profiles. Nothing is overwritten."""
    from ensemake.project.start import make_project

    for done, path in make_project(directory):
        click.echo(f"{done} {path}")
    _link()
    here = "" if directory == Path() else f"cd {directory}; "
    click.echo(f"To run it: {here}snakemake --profile local")


@ensemake.command()
def profiles_command() -> None:
    """Make --profile local, slurm and pbs work from any folder."""
    if not _link():
        raise SystemExit(1)


def _link() -> bool:
    from ensemake.project.start import link_profiles

    links = list(link_profiles())
    for link, profile in links:
        if profile:
            click.echo(f"{link} -> {profile}")
        else:
            click.echo(f"{link} is there and no link of ours: left alone", err=True)
    return all(profile for _, profile in links)


@ensemake.command()
@click.argument("what", type=click.Choice(["snakefile", "profiles"]))
def path_command(what: str) -> None:
    """Print where the workflow, or the folder of its profiles, lies."""
    from ensemake.paths import share, snakefile

    click.echo(snakefile() if what == "snakefile" else share() / "profiles")


if __name__ == "__main__":
    ensemake(prog_name="ensemake")
