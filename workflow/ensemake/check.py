"""From a config file to a checked `Config`: all faults at once, before anything is built or run."""

import ast
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ensemake.batch.allocation import launcher_fault
from ensemake.config.faults import ConfigError, Fault, KeyedError, KeyPath, Problem, did_you_mean
from ensemake.config.plots import Drawn, picture_name
from ensemake.config.reserved import COLUMNS
from ensemake.config.run import RunSettings, Variable
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Config, Ensemble, Model, Resource
from ensemake.config.shape_faults import shape_problems, value_text
from ensemake.config.yamlfile import Document, load_yaml
from ensemake.member.command import filled, program_fault, template_of
from ensemake.member.expansion import trial_upstream
from ensemake.member.files import (
    FILLED,
    Entry,
    Source,
    clashes,
    entries,
    is_filled,
    listed_files,
    settled,
    sources,
)
from ensemake.member.generate import configured
from ensemake.member.input_faults import (
    choice_problems,
    graph_problems,
    input_problems,
    same_job_problems,
)
from ensemake.member.layout import OWN, RESERVED_ENTITIES, root, store_layout, tables
from ensemake.member.plan import Work
from ensemake.member.runscript import IS_FOR_BASH
from ensemake.member.setting import set_texts
from ensemake.paths import VARIABLES, left_in_path
from ensemake.store.checkpoint import CHECKPOINT, is_held
from ensemake.store.faults import database_problems, shared_problems
from ensemake.sweep.expressions import expression, template
from ensemake.sweep.members import axes, expand
from ensemake.sweep.spaces import Axis, axis, check_name
from ensemake.sweep.upstream import Upstream, axis_of_members, choice_of, variable

COLON = ("auto", "srun", "mpirun", "mpiexec", "aprun")  # launchers of several programs
TARGETS = ("all", "generate", "preview", "status", "results", "prune")
RULE_PREFIXES = (
    *("generate_", "batch_", "files_", "members_", "gather_", "ended_", "verdict_"),
    *("collect_", "plot_", "parquet_"),
)

NO_TEMPLATE = "for a text that is no template write {raw: '...'}"

# Resources that are counts, and what they are called elsewhere.
UNITS = {
    "tasks": "",
    "cpus_per_task": "",
    "nodes": "",
    "gpu": "",
    "mem_mb": " of megabytes (2000 for 2 GB)",
    "mem_mb_per_cpu": " of megabytes (2000 for 2 GB)",
    "disk_mb": " of megabytes (2000 for 2 GB)",
}
# What a batch keeps to when it places members, and what does not limit how many fit.
PLACED = ("nodes", "tasks", "cpus_per_task", "mem_mb", "mem_mb_per_cpu", "gpu", "runtime")
MOST_REPEATS = 10**6  # of a regular expression, which is written out so often
LEAST = {"gpu": 0, "disk_mb": 0}
MEANT = {
    "memory": "mem_mb (megabytes)",
    "cpus": "cpus_per_task",
    "threads": "cpus_per_task",
    "ntasks": "tasks",
    "gpus": "gpu",
    "time": "runtime (minutes)",
    "walltime": "runtime (minutes)",
}


def load_config(
    file: Path, overrides: Mapping[str, Any] | None = None, base: Path = Path()
) -> Config:
    """Read and check a config file.

    Parameters
    ----------
    file
        Path of the YAML file.
    overrides
        Top-level keys that replace those of the file, as from ``--config results=/scratch``.
    base
        The working directory, from which relative paths start.

    Raises
    ------
    ConfigError
        With every fault found.
    """
    document = load_yaml(file)
    document.override(overrides or {})
    return check_config(document, base)


def check_config(document: Document, base: Path = Path()) -> Config:
    """Check a parsed config: its shape, and of what is sound there, what its keys mean together."""
    faults = _shape_faults(document)
    config = Config.model_validate(_sound(document.data, faults) if faults else document.data)
    problems = [*_names(config), *_results(config), *database_problems(config, base)]
    if not config.entities and not faults:
        problems.append(((), "describes nothing to run; give models or ensembles"))
    for name in config.entities:
        kind = "models" if name in config.models else "ensembles"
        for path, message in _entity(name, config, base):
            problems.append(((kind, name, *path), message))
    faults += [document.fault(path, message) for path, message in problems]
    if faults:
        raise ConfigError(document.file, faults)
    return config


def check_shape(document: Document) -> Config:
    """Check keys and types alone: what a cluster job does, quick for any size of ensemble."""
    faults = _shape_faults(document)
    if faults:
        raise ConfigError(document.file, faults)
    return Config.model_validate(document.data)


def expanded(document: Document, make: Callable[[str], Work], entity: str) -> Work:
    """Return the members of an entity of a checked config; what only they show are faults too.

    Parameters
    ----------
    make
        Makes them, such as `Expansion.work`.
    """
    try:
        return make(entity)
    except ConfigError as error:
        faults = [document.fault(fault.path, fault.message) for fault in error.faults]
        raise ConfigError(document.file, faults) from None


def _shape_faults(document: Document) -> list[Fault]:
    faults = list(document.faults)
    told = {fault.path for fault in faults}
    try:
        Config.model_validate(document.data)
    except ValidationError as error:
        problems = shape_problems(error, document.data)
        faults += [document.fault(*problem) for problem in problems if problem[0] not in told]
    return faults


def _sound(data: Any, faults: list[Fault]) -> dict[str, Any]:
    """Leave out every model, ensemble and top-level key with a fault of shape."""
    top = dict(data) if isinstance(data, dict) else {}
    for kind in ("models", "ensembles", "databases"):
        if isinstance(top.get(kind), dict):
            top[kind] = dict(top[kind])
    for key, *inner in (fault.path for fault in faults if fault.path):
        owner = top.get(str(key)) if inner else top
        if isinstance(owner, dict):
            owner.pop(inner[0] if inner else key, None)
    return {"experiment": "unknown", **top}


# ---- what the keys mean together ----


def _names(config: Config) -> Iterator[Problem]:
    for name in config.models.keys() & config.ensembles.keys():
        yield ("ensembles", name), "is the name of a model too; rename one of them"
    own = {prefix + rule_name(name) for prefix in RULE_PREFIXES for name in config.entities}
    rules: dict[str, str] = {}
    for name in config.entities:
        kind = "models" if name in config.models else "ensembles"
        rule = rule_name(name)
        if name in config.databases:
            yield ("databases", name), f"is the name of one of the {kind} too; rename one of them"
        if name in RESERVED_ENTITIES:
            yield (kind, name), f"{name!r} is a name of ensemake's own; rename it"
        if rule in own or rule in TARGETS:
            yield (kind, name), f"{rule!r} is a target or rule of the workflow; rename it"
        elif rules.setdefault(rule, name) != name:
            yield (kind, name), f"{rules[rule]!r} and {name!r} would share one rule; rename one"


def _results(config: Config) -> Iterator[Problem]:
    unknown = left_in_path(config.results)
    if unknown:
        yield ("results",), f"{unknown} in {config.results!r} stands for nothing here"
    elif not config.results.isprintable() or set(config.results) & set("{}"):
        message = "has braces or characters that cannot be seen; Snakemake takes no such folder"
        yield ("results",), f"{config.results!r} {message}"


def rule_name(entity: str) -> str:
    """Return the name of an entity's rule: ``Training-Ensemble`` becomes ``Training_Ensemble``."""
    name = re.sub(r"\W", "_", entity, flags=re.ASCII)
    return f"_{name}" if name[0].isdigit() else name


def _is_held(config: Config, base: Path, store: str) -> bool:
    return is_held(base / store_layout(root(config), store).state / CHECKPOINT)


def _entity(name: str, config: Config, base: Path) -> Iterator[Problem]:
    entity = config.entities[name]
    wrong = list(graph_problems(config, name))
    for key, spec in entity.params.items():
        wrong += _attempt_params(entity, ("params", key), partial(choice_of, key, spec))
    if wrong:
        yield from wrong
        return
    try:
        upstream = trial_upstream(config, name, base)
    except (ValueError, OSError, IndexError):  # told of the others
        return
    problems = [
        *same_job_problems(config, name),
        *_params(entity, base, upstream),
        *_choices(config, entity, upstream),
        *_files(entity, base, base / root(config)),
        *_batch(entity),
        *shared_problems(config, name, partial(_is_held, config, base)),
        *_checks(entity),
        *_programs(entity, base),
    ]
    known = _known_names(entity, base, upstream) if not problems else None
    if known is not None:
        problems += [*_expressions(entity, known), *_metrics(entity, known, base)]
        problems += _inputs(config, entity, upstream, base)
    if not problems:
        problems += _first_member(name, config, base, upstream)
    yield from problems


def _choices(config: Config, entity: Model, upstream: Upstream) -> Iterator[Problem]:
    for key, others in upstream.points.items():
        choice = choice_of(key, entity.params[key])
        if choice is not None:
            other = config.entities[choice.members]
            yield from choice_problems(key, choice, other, others.params)


def _inputs(config: Config, entity: Model, upstream: Upstream, base: Path) -> Iterator[Problem]:
    written = [source.target for source in sources(entity.files, base)]
    others = {
        source.entity: (config.entities[source.entity], source.members[0].values)
        for source in upstream.sources
    }
    yield from input_problems(entity, others, written)


def _attempt(path: KeyPath, action: Callable[[], object]) -> Iterator[Problem]:
    try:
        action()
    except (ValueError, OSError) as error:
        yield getattr(error, "path", path), "; ".join(str(error).split("\n"))


def _attempt_params(
    entity: Model, path: KeyPath, action: Callable[[], object]
) -> Iterator[Problem]:
    """As `_attempt`; a message that begins with a parameter is put at that parameter."""
    for found, message in _attempt(path, action):
        yield _placed(entity, message) or (found, message)


def _placed(entity: Model, message: str) -> Problem | None:
    for key, spec in entity.params.items():
        begins = "|".join(re.escape(name.strip()) for name in (key, *key.split(",")))
        begin = re.match(rf"(?:{begins})(?:\[(\d+)\])?: ", message)
        if begin:
            item = (int(begin[1]),) if begin[1] and isinstance(spec, list) else ()
            return ("params", key, *item), message[begin.end() :]
    return None


def _params(entity: Model, base: Path, upstream: Upstream) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for key, spec in entity.params.items():
        path = ("params", key)
        make = partial(_axis, entity, key, base, upstream)
        problems = list(_attempt_params(entity, path, make))
        yield from problems
        names = () if problems else make().names
        if not isinstance(entity, Ensemble) and isinstance(spec, list | dict):
            yield path, "a model has one value for each parameter; for several use ensembles"
        for name in names:
            if name in seen:
                yield path, f"{name!r} is given by {seen[name]} already; rename one of them"
            seen[name] = f"the key {key!r}"
    for name in entity.derived.keys() & seen.keys():
        yield ("derived", name), f"{name!r} is given by {seen[name]} already; rename one of them"


def _axis(entity: Model, key: str, base: Path, upstream: Upstream) -> Axis:
    spec = entity.params[key]
    if choice_of(key, spec) is not None:
        return axis_of_members(key, upstream.points[key], entity.params)
    return axis(key, spec, base)


def _known_names(entity: Model, base: Path, upstream: Upstream) -> list[str]:
    names = [name for axis in axes(entity, base, upstream) for name in axis.names]
    taken = [variable(source.entity) for source in upstream.sources if source.is_one]
    return [*names, "replica", *taken]


def _expressions(entity: Model, known: list[str]) -> Iterator[Problem]:
    names = list(known)
    for key, text in entity.derived.items():
        yield from _attempt(("derived", key), partial(check_name, key))
        for path, message in _undefined(("derived", key), expression, text, names):
            later = any(message == f"{other!r} is no parameter" for other in entity.derived)
            yield path, f"{message} yet; move its line up" if later else message
        names.append(key)
    if isinstance(entity, Ensemble) and entity.where is not None:
        yield from _undefined(("where",), expression, entity.where, names)
    for path, word in _all_words(entity):
        yield from _undefined_word(path, word, names)
    for where, run in _commands(entity):
        for key, value in run.env_vars.items():
            yield from _literal((*where, "env_vars", key), key, value)
    for path, text in _filled_paths(entity):
        yield from _undefined(path, template, text, names)
    for key, value in entity.resources.items():
        path = ("resources", key)
        yield from _undefined(path, template, str(value), [*names, "attempt"])
    for item, name in enumerate(entity.params_as_args):
        if name not in names:
            hint = did_you_mean(name, names) if name not in entity.params else "; list its names"
            yield ("params_as_args", item), f"{name!r} is no parameter{hint}"


def _commands(entity: Model) -> Iterator[tuple[KeyPath, RunSettings]]:
    """Yield key path and settings of each command of a member."""
    runs, restart = entity.run_settings, entity.restart
    for item, run in enumerate(runs):
        yield ("run_settings", *((item,) if len(runs) > 1 else ())), run
    if restart and restart.run_settings:
        yield ("restart", "run_settings"), restart.run_settings


def _all_words(entity: Model) -> Iterator[tuple[KeyPath, object]]:
    for where, run in _commands(entity):
        for path, word in _words(run):
            yield (*where, *path), word
    for item, word in enumerate((entity.restart and entity.restart.exe_args) or ()):
        yield ("restart", "exe_args", item), word
    if entity.restart:
        yield ("restart", "from"), entity.restart.from_


def _words(run: RunSettings) -> Iterator[tuple[KeyPath, object]]:
    """Yield key path, within its settings, and content of each text that a program is given."""
    for item, word in enumerate(run.exe_args):
        yield ("exe_args", item), word
    for place, other in enumerate(run.mpmd):
        for item, word in enumerate(other.exe_args):
            yield ("mpmd", place, "exe_args", item), word
    for key, value in run.env_vars.items():
        yield ("env_vars", key), value
    if run.stdin is not None:
        yield ("stdin",), run.stdin


def _undefined_word(path: KeyPath, word: object, known: list[str]) -> Iterator[Problem]:
    """As `_undefined`, of a word that may say that it is no template."""
    text = template_of(word)
    if text is None:
        return
    for found, message in _undefined(path, template, text, known):
        yield found, message + ("" if _compiles(text) else f"; {NO_TEMPLATE}")


def _compiles(text: str) -> bool:
    return not list(_attempt((), partial(template, text)))


def _literal(path: KeyPath, name: str, value: object) -> Iterator[Problem]:
    """No shell reads a value: what only a shell expands would be taken as it is."""
    if isinstance(value, Variable) and value.from_env and IS_FOR_BASH.fullmatch(value.from_env):
        yield path, f"{value.from_env} cannot be passed on: bash sets it itself"
    if name.endswith("PATH") and isinstance(value, str) and VARIABLES.search(value):
        message = "no shell reads it, so $ stands for itself; set it in the shell that starts the"
        yield path, f"{message} workflow, or in batch_settings.preamble"


def _filled_paths(entity: Model) -> Iterator[Problem]:
    """Yield key path and text of every path with parameters."""
    for key, item, *texts in listed_files(entity.files):
        for text in filter(is_filled, texts):
            yield ("files", key, item), text
    for file, keys in entity.files.set.items():
        for name, value in keys.items():
            for text in set_texts({name: value}):
                yield ("files", "set", file, name), text
    for item, text in enumerate(entity.outputs):
        yield ("outputs", item), text


def _undefined(
    path: KeyPath, compiled: Callable[[str], Any], text: str, known: list[str]
) -> Iterator[Problem]:
    try:
        unknown = sorted(compiled(text).names - set(known))
    except ValueError as error:
        yield path, _without_line(text, error)
        return
    for name in unknown:
        yield path, f"{name!r} is no parameter{did_you_mean(name, known)}"


def _files(entity: Model, base: Path, results: Path) -> Iterator[Problem]:
    found: list[Source] = []
    problems: list[Problem] = []
    for entry in entries(entity.files):
        path = ("files", entry.key, entry.item)
        problems += _attempt(path, partial(_gather, entry, base, results, found))
    if not problems:
        problems += _attempt(("files",), partial(_settle, entity, base, found))
    yield from problems
    if not problems:
        yield from _written(entity, found)


def _settle(entity: Model, base: Path, found: list[Source]) -> None:
    found[:] = settled(found, entity.files, base)


def _gather(entry: Entry, base: Path, results: Path, found: list[Source]) -> None:
    found += entry.sources(base, results)


def _written(entity: Model, found: list[Source]) -> Iterator[Problem]:
    """Tell what would be written over something else in a member's directory."""
    own = OWN if isinstance(entity, Ensemble) else (*OWN, *tables(entity))
    for source, message in clashes(found, own):
        yield _source_path(source), message
    written = {source.target for source in found}
    for item, name in enumerate(entity.outputs):
        if name in written:
            message = "is put there by ensemake (files); an output is a file that the code writes"
            yield ("outputs", item), f"{name!r} {message}"
        if name.split("/")[0] in own and name not in ("run.out", "run.err"):
            yield ("outputs", item), f"{name!r} is a name of ensemake's own; choose another"


def _source_path(source: Source) -> KeyPath:
    return ("files", source.key, source.item)


def _launch(where: KeyPath, run: RunSettings, entity: Model) -> Iterator[Problem]:
    """Several programs in one launch: the launcher can, and there is a task for each."""
    tasks = entity.resources.get("tasks", 1)
    if not run.mpmd:
        return
    if run.container is not None:
        yield (*where, "container"), "cannot be combined with mpmd"
    if run.run_command not in COLON and Path(run.run_command).name not in COLON:
        message = f"cannot start several programs at once; use one of {', '.join(COLON)}"
        yield (*where, "run_command"), message
    for place, other in enumerate(run.mpmd):
        if other.run_args and Path(run.run_command).name == "srun":
            message = "srun starts all programs as one step: put them into run_settings.run_args"
            yield (*where, "mpmd", place, "run_args"), message
    wanted = 1 + sum(other.tasks for other in run.mpmd)
    if not isinstance(tasks, str) and tasks < wanted:
        message = f"the programs want at least {wanted} tasks; set resources: {{tasks: {wanted}}}"
        yield (*where, "mpmd"), message


def _batch(entity: Model) -> Iterator[Problem]:
    """What limits how many members fit is respected, or refused."""
    for name, value in entity.resources.items() if entity.batch_settings is not None else ():
        is_amount = not isinstance(value, str) or "{" in value or name in ("mem", "disk")
        if is_amount and name not in PLACED and not name.startswith(("slurm_", "pbs_")):
            instead = "use mem_mb (megabytes)" if name == "mem" else "take it out"
            message = f"is not kept to in a batch; {instead}, or leave out batch_settings"
            yield ("resources", name), message


def _programs(entity: Model, base: Path) -> Iterator[Problem]:
    try:
        own = [source.target for source in sources(entity.files, base)]
    except (KeyedError, OSError):  # told elsewhere
        own = []
    for where, run in _commands(entity):
        yield from (told := list(_launch(where, run, entity)))
        if run.container is not None:
            if not (shutil.which("apptainer") or shutil.which("singularity")):
                message = "neither apptainer nor singularity is on PATH; install or load one"
                yield (*where, "container"), message
        elif not _is_prepared(entity):
            if not told and (why := launcher_fault(run.run_command, os.environ)):
                yield (*where, "run_command"), why
            yield from _program(where, run, own, base)


def _is_prepared(entity: Model) -> bool:
    """Tell whether a preamble may bring the programs."""
    batch = entity.batch_settings
    return bool(entity.preamble or (batch and batch.preamble))


def _program(
    where: KeyPath, run: RunSettings, own: Collection[str], base: Path
) -> Iterator[Problem]:
    places = [(("mpmd", place), other.exe) for place, other in enumerate(run.mpmd)]
    for path, exe in [((), run.exe), *places]:
        fault = program_fault(exe, own, base)
        if fault:
            yield (*where, *path, "exe"), _one_program(exe, own, base) or fault


def _one_program(exe: str, own: Collection[str], base: Path) -> str | None:
    """Say how to write a program with arguments."""
    first, *arguments = exe.split() or [exe]
    if not arguments or program_fault(first, own, base):
        return None
    return f"names one program; write exe: {first} and exe_args: {json.dumps(arguments)}"


def _metrics(entity: Model, known: list[str], base: Path) -> Iterator[Problem]:
    yield from _metric_names(entity, [*known, *entity.derived])
    for kind, section in (("metrics", entity.metrics), ("series", entity.series)):
        for name, one in section.items():
            for path, message in _attempt((kind, name, "regex"), partial(_regex, one.regex)):
                yield path, f"is no regular expression: {message}"
    for name, metric in entity.metrics.items():
        yield from _attempt(
            ("metrics", name, "function"), partial(_function, metric.function, base)
        )
    for name in entity.series.keys() & entity.metrics.keys():
        yield ("series", name), "is the name of a metric too; rename one of them"


def _function(function: str | None, base: Path) -> None:
    """Look for a function in its file, without running that."""
    file, _, name = (function or "").rpartition(":")
    if not file.endswith(".py"):
        return
    try:
        tree = ast.parse((base / file).read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{file}: line {error.lineno}: {error.msg}") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if name not in found and f"{name} =" not in ast.unparse(tree):
        raise ValueError(f"{file} has no function {name!r}{did_you_mean(name, sorted(found))}")


def _checks(entity: Model) -> Iterator[Problem]:
    for item, check in enumerate(entity.checks):
        for path, message in _attempt(("checks", item, "regex"), partial(_regex, check.regex)):
            yield path, f"is no regular expression: {message}"


def _metric_names(entity: Model, known: Collection[str]) -> Iterator[Problem]:
    for name in entity.metrics:
        if name in known or name in COLUMNS:
            whose = "ensemake's own" if name in COLUMNS else "a parameter"
            message = f"results.csv has a column {name!r} already, {whose}; rename it"
            yield ("metrics", name), message


def _named_columns(
    named: Iterable[tuple[KeyPath, str]], columns: Collection[str]
) -> Iterator[Problem]:
    for path, name in named:
        if name not in columns:
            yield path, f"{name!r} is no parameter, metric or column{did_you_mean(name, columns)}"


def _plots(entity: Model, columns: Collection[str], base: Path) -> Iterator[Problem]:
    names: set[str] = set()
    for item, plot in enumerate(entity.plots or ()):
        path: KeyPath = ("plots", item)
        if picture_name(plot) in names:
            yield path, "is the same plot as one before it"
        names.add(picture_name(plot))
        if isinstance(plot, Drawn):
            keys = [((*path, key), name) for key, name in plot.columns.items()]
            yield from _named_columns(keys, columns)
            if plot.kind == "heatmap" and plot.colour is None:
                yield path, "a heat map shows a column by its colour; write colour: NAME, too"
        else:
            file = plot.rpartition(":")[0]
            if file.endswith(".py") and not (base / file).is_file():
                yield path, f"no such file: {file}"


def _regex(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    repeats = prod(int(times) for times in re.findall(r"\{(?:\d*,)?(\d+)\}", pattern or ""))
    if repeats > MOST_REPEATS:
        raise ValueError(f"it repeats something {repeats} times, more than {MOST_REPEATS}")


def _first_member(name: str, config: Config, base: Path, upstream: Upstream) -> Iterator[Problem]:
    """Make one member as a trial: most of what can go wrong with all goes wrong with the first."""
    entity = config.entities[name]
    made: list[dict[str, Scalar]] = []
    trial = partial(_make_first, name, config, base, upstream, made)
    for path, message in _attempt_params(entity, ("perm_strategy",), trial):
        n_models = message.removeprefix("n_models: ")
        yield (path, message) if n_models == message else (("n_models",), n_models)
    for values in made:
        yield from _metric_names(entity, values)  # a strategy may bring parameters
        given = {**config.models, **config.ensembles}[name].labels
        columns = [*values, *entity.metrics, *COLUMNS]
        yield from _named_columns([(("labels", one), one) for one in given], columns)
        yield from _plots(entity, columns, base)
        known = _with_inputs(upstream, values)
        yield from _attempt_words(entity, known)
        yield from _attempt_files(entity, known, base)


def _with_inputs(upstream: Upstream, values: Mapping[str, Any]) -> dict[str, Any]:
    taken = {variable(s.entity): s.members[0].values for s in upstream.sources if s.is_one}
    return {**taken, **values}


def _make_first(
    name: str, config: Config, base: Path, upstream: Upstream, made: list[dict[str, Scalar]]
) -> None:
    members = expand(name, config.entities[name], base, upstream)
    members.check_size(config.max_members)
    first = members.first
    if first is not None:  # `where` may keep none, which is told when all are made
        made.append(first.values)


def _attempt_words(entity: Model, values: Mapping[str, Scalar]) -> Iterator[Problem]:
    for path, word in _all_words(entity):
        if template_of(word) is not None:
            yield from _attempt(path, partial(_filled, word, values))
    for key, value in entity.resources.items():
        action = partial(_resource, key, value, {**values, "attempt": 1})
        yield from _attempt(("resources", key), action)


def _filled(text: object, values: Mapping[str, Scalar]) -> str:
    """Fill parameters into a text of the config."""
    try:
        return filled([text], values)[0]
    except ValueError as error:
        raise ValueError(_without_line(text, error)) from None


def _without_line(text: object, error: ValueError) -> str:
    return str(error).removeprefix("" if "\n" in str(text) else "line 1: ")


def _resource(key: str, value: Resource, values: Mapping[str, Scalar]) -> None:
    if key in MEANT:
        raise ValueError(f"is called {MEANT[key]}, here")
    if key not in UNITS:
        return
    number = _filled(value, values) if isinstance(value, str) else value
    try:
        is_whole = float(number) == int(float(number)) >= LEAST.get(key, 1)
    except (ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        least, unit = LEAST.get(key, 1), UNITS[key]
        raise ValueError(f"expected a whole number{unit} from {least}, got {value_text(number)}")


def _attempt_files(entity: Model, values: Mapping[str, Scalar], base: Path) -> Iterator[Problem]:
    for source in sources(entity.files, base, values):
        if source.kind in FILLED:
            data = source.path.read_bytes()
            trial = partial(configured, source, data, entity, values)
            yield from _attempt(_source_path(source), trial)
