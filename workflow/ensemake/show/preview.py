"""What would run, before anything runs: members, command, files, resources, what looks wrong."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, prod

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.config.faults import printable
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Config, Model
from ensemake.member.command import (
    command_words,
    environment,
    passed,
    resource,
    restarts,
    runtime_minutes,
    template_of,
)
from ensemake.member.files import FILLED, Source, listed_files, sources
from ensemake.member.generate import configured_names
from ensemake.member.needs import needed
from ensemake.member.plan import Planned, Work
from ensemake.member.runscript import quoted_words
from ensemake.member.state import read_status
from ensemake.member.taking import named_files
from ensemake.results.outcomes import varying
from ensemake.show.progress import duration
from ensemake.sweep.expressions import expression, template
from ensemake.sweep.upstream import choices, takes_from

VERBS = {
    "configure": "tags",
    "template": "Jinja2",
    "copy": "copied",
    "set": "keys set",
    "link": "linked",
    "inner": "link",
    "folder": "empty",
}
SHOWN = 8  # names in a list before "and N more"
ENDS = 3  # first and last rows of the table
WIDTH = 80
MANY_JOBS = 1000  # jobs of their own beyond which a cluster's scheduler becomes the slow part
SHORT_S = 60.0  # of a member that waits longer for a job of its own than it runs


def preview_lines(work: Work, at_once: int | None = None) -> list[str]:
    """Tell what one entity would run.

    Parameters
    ----------
    work
        The entity's members.
    at_once
        How many jobs a cluster gets at once; None on this machine.
    """
    pending = work.pending()
    lines = [_headline(work, len(pending))]
    if not work.planned:
        return lines
    first = work.planned[0]
    known = work.known(first)
    lines += [_row("takes", text) for text in _inputs(work, first)]
    lines += [_row("varies" * (not n), text) for n, text in enumerate(_varying(work))]
    if not work.layout.is_model:
        lines += ["", *_table(work.planned, work.settings.labels), ""]
    lines += [_row("command", text) for text in _commands(work, first)]
    for run in work.settings.run_settings:
        lines += [_row("sets", f"{k}={v}") for k, v in environment(run, known).items()]
        lines += [_row("sets", f"{k} from the environment") for k in passed(run)]
    lines += [_row("files", _listed(_file_texts(work)))] if _file_texts(work) else []
    lines.append(_row("leaves", _listed(work.outputs(first)) or "no declared outputs"))
    lines.append(_row("needs", _needs(work.settings)))
    lines.append(_row("jobs", _jobs(work, len(pending), at_once)))
    lines += [_row("costs", text) for text in _cost(work, pending)]
    lines += [_row("warning", text) for text in suspicions(work, len(pending), at_once)]
    return [printable(line) for line in lines]


def stage_lines(config: Config) -> list[str]:
    """Tell which entities come after which; nothing if none takes from another."""
    stages: dict[str, int] = {}
    while len(stages) < len(config.entities):
        for name, entity in config.entities.items():
            taken = takes_from(entity)
            if name not in stages and all(other in stages for other in taken):
                stages[name] = 1 + max((stages[other] for other in taken), default=0)
    count = max(stages.values(), default=0)
    told = [[name for name, stage in stages.items() if stage == n + 1] for n in range(count)]
    lines = [f"stage {n}: {', '.join(names)}" for n, names in enumerate(told, 1)]
    return [*lines, ""] if count > 1 else []


def _headline(work: Work, pending: int) -> str:
    total = len(work.planned)
    done = f"{total - pending} completed already, " if pending < total else ""
    todo = "all to run" if pending == total else f"{done}{pending} to run"
    if work.layout.is_model:
        return f"{work.entity}: a model, {'to run' if pending else 'completed already'}"
    return f"{work.entity}: {total} members, {todo}{_dropped(work)}"


def _dropped(work: Work) -> str:
    drawn = work.drawn
    return f" ({drawn - len(work.planned)} of {drawn} left out by where)" * (
        drawn > len(work.planned)
    )


def _row(label: str, text: str) -> str:
    return f"  {label:<9}{text}"


def _varying(work: Work) -> Iterator[str]:
    logs = {name for axis in work.swept if axis.log for name in axis.names}
    for name in varying(work.planned):
        values = list(dict.fromkeys(member.values[name] for member in work.planned))
        scale = ", logarithmic" if name in logs else ""
        yield f"{name}: {len(values)} values, {_span(values)}{scale}"


def _span(values: Sequence[Scalar]) -> str:
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(values) > SHOWN and len(numbers) == len(values):
        return f"{min(numbers):.6g} to {max(numbers):.6g}"
    return _listed([str(value) for value in values])


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


def _inputs(work: Work, first: Planned) -> Iterator[str]:
    """Tell what a member takes from others, as the first one does."""
    for entity, names in first.inputs:
        taken, source = work.settings.inputs[entity], work.sources[entity]
        member = source.by_name[names[0]]
        files = named_files(taken, source.settings, source.known(member))
        listed = _listed([f if f == t else f"{f} as {t}" for f, t in files.items()])
        who = entity if source.layout.is_model else f"a member of {entity}"
        if taken.members == "all":
            most = max(len(dict(one.inputs)[entity]) for one in work.planned)
            who = f"{most} of {len(source.planned)} members of {entity}, with a table"
        waits = len(source.pending())
        state = f"; {waits} of those are still to run" if waits else ""
        yield f"{listed or 'no files'} from {who}{state}"


# ---- the table of the members ----


def _table(members: Sequence[Planned], labels: Mapping[str, str]) -> list[str]:
    """Return the first and last members as rows; the parameters that vary, as many as fit."""
    names = varying(members)
    few = len(members) <= 2 * ENDS + 1
    shown = list(members) if few else [*members[:ENDS], *members[-ENDS:]]
    rows = [
        ["member", *(labels.get(n, n) for n in names)],
        *([m.name, *(str(m.values[n]) for n in names)] for m in shown),
    ]
    columns, left_out = _fitting(list(zip(*rows, strict=True)))
    told = tabulate(list(zip(*columns, strict=True)), tablefmt="plain", disable_numparse=True)
    lines = [f"  {line}".rstrip() for line in told.splitlines()]
    if not few:
        lines.insert(1 + ENDS, f"  ... {len(members) - 2 * ENDS} more")
    return [*lines, *([f"  and {left_out} more columns"] if left_out else [])]


def _fitting(columns: Sequence[Sequence[str]]) -> tuple[list[list[str]], int]:
    fitting: list[list[str]] = []
    used = 0
    for column in columns:
        width = min(24, max(map(len, column)))
        used += width + 2
        if fitting and used > WIDTH:
            break
        fitting.append([_cut(cell, width) for cell in column])
    return fitting, len(columns) - len(fitting)


def _cut(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


# ---- the rest ----


def _commands(work: Work, member: Planned) -> Iterator[str]:
    own = [source.target for source in _sources(work)]
    directory, values = work.base / member.directory, work.known(member)
    for run in work.settings.run_settings:
        parts = command_words(work.settings, run, values, own, work.base, directory)
        yield " : ".join(map(quoted_words, parts))


def _sources(work: Work) -> list[Source]:
    return sources(work.settings.files, work.base, work.known(work.planned[0]))


def _file_texts(work: Work) -> list[str]:
    return [f"{source.target} ({VERBS[source.kind]})" for source in _sources(work)]


def _needs(settings: Model) -> str:
    given = [f"{name}={value}" for name, value in needed(settings).items()]
    return ", ".join(given) or "one CPU"


def job_count(settings: Model, members: int) -> int:
    """Return how many jobs run so many members."""
    if settings.batch_settings is None:
        return members
    return ceil(members / (settings.batch_settings.size or max(1, members)))


def _jobs(work: Work, pending: int, at_once: int | None) -> str:
    count = job_count(work.settings, pending)
    each = f", of {ceil(pending / count)} members each" if work.is_batched and count else ""
    limit = f"; at most {at_once} at once" if at_once and at_once < count else ""
    return f"{count}{each}{limit}"


def _cost(work: Work, pending: Sequence[Planned]) -> Iterator[str]:
    """Tell the CPU-hours asked for, and those it takes as far as finished members tell."""
    needed = [_cpus_and_minutes(work.settings, member) for member in pending]
    if needed and "runtime" in work.settings.resources:
        hours = sum(cpus * runtime_minutes for cpus, runtime_minutes in needed) / 60
        yield f"at most {_hours(hours)} CPU-hours, if each took its runtime"
    seconds = _mean_seconds(work)
    if needed and seconds is not None:
        hours = sum(cpus for cpus, _ in needed) * seconds / 3600
        yield f"about {_hours(hours)} CPU-hours, as finished ones took {duration(seconds)} each"


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


def cpus(settings: Model, member: Planned) -> float:
    """Return how many CPUs a member asks for."""
    values = {**member.values, "attempt": 1}
    keys, given = ("tasks", "cpus_per_task"), needed(settings)
    return prod(_number(resource(given.get(key, 1), values)) for key in keys)


def _cpus_and_minutes(settings: Model, member: Planned) -> tuple[float, float]:
    values = {**member.values, "attempt": 1}
    asked = resource(settings.resources.get("runtime", 0), values)
    return cpus(settings, member), runtime_minutes(asked)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 1.0


def _mean_seconds(work: Work) -> float | None:
    """Return the mean time of some finished members; evenly picked, a look at all is slow."""
    some = work.planned[:: max(1, len(work.planned) // 200)]
    found = [read_status(work.base / member.directory) for member in some]
    times = [one.elapsed_s for one in found if one and one.status == "completed"]
    return sum(times) / len(times) if times else None


# ---- what looks wrong ----


def suspicions(work: Work, pending: int = 0, at_once: int | None = None) -> list[str]:
    """List what looks wrong though it can run."""
    values = work.known(work.planned[0])
    found = _sources(work)
    used = used_names(work.settings, found, values)
    names = [name for name in work.planned[0].values if name != "replica"]
    names = [name for name in names if name not in _of_others(work)]
    told = [
        f"{name} reaches no file, argument or variable (only params.json)"
        for name in names
        if name not in used and not _reads_params(work.settings)
    ]
    told += [f"nothing is filled into {source.path}" for source in _idle(work, found, values)]
    if at_once and not work.is_batched:
        told += _too_many_jobs(work, pending, at_once)
    return told


def _of_others(work: Work) -> set[str]:
    """Return parameters that come with the members of others, or decide what is taken of them."""
    names = set(choices(work.settings))
    for source in work.sources.values():
        names |= set(source.planned[0].values if source.planned else ())
    return names


def _too_many_jobs(work: Work, pending: int, at_once: int) -> Iterator[str]:
    seconds = _mean_seconds(work)
    is_short = seconds is not None and seconds < SHORT_S and pending > at_once
    if is_short or pending > MANY_JOBS:
        each = f" of about {seconds:.2g} s" if is_short else ""
        yield f"{pending} jobs{each}; batch_settings puts many members into one job"


def _reads_params(settings: Model) -> bool:
    return any("params.json" in str(text) for run in settings.run_settings for text in run.exe_args)


def _idle(work: Work, found: Sequence[Source], values: Mapping[str, Scalar]) -> list[Source]:
    """Return the files to configure that use no parameter at all."""
    return [
        source
        for source in found
        if source.kind in FILLED
        and not configured_names(source, source.path.read_bytes(), work.settings, values)
        & values.keys()
    ]


def used_names(
    settings: Model, found: Sequence[Source], values: Mapping[str, Scalar]
) -> frozenset[str]:
    """Return the parameters that reach a member, directly or through a derived one."""
    used = set(settings.params_as_args)
    texts: list[object] = []
    for run in [*settings.run_settings, *restarts(settings)]:
        texts += [*run.exe_args, *run.env_vars.values(), run.stdin or ""]
        texts += [word for other in run.mpmd for word in other.exe_args]
    texts += [text for _, _, *both in listed_files(settings.files) for text in both]
    for text in [*texts, *settings.outputs, *settings.resources.values()]:
        used |= template(template_of(text) or "").mentions
    for source in found:
        if source.kind in FILLED:
            used |= configured_names(source, source.path.read_bytes(), settings, values)
    for name, text in reversed(settings.derived.items()):
        if name in used:
            used |= expression(text).mentions
    return frozenset(used)
