"""Broken configs: each is told with file, line, key, what is wrong and what to write instead.

``pytest -s -k all_messages`` prints every message, to be read as a user reads it.
"""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from ensemake.check.config import load_config
from ensemake.config.faults import ConfigError
from ensemake.config.reserved import COLUMNS

from ..conftest import Project

MARK = "#!"  # on the line that the message has to name
FILES: dict[str, str | bytes] = {
    "code.sh": "#!/bin/sh\n",
    "data.txt": "data\n",
    "folder/data.txt": "data\n",
    "in.cfg": "x = ;x;\n",
    "unknown.cfg": "y = 1\nx = ;xx;\n",
    "good.cfg.j2": "x = {{ x }}\n",
    "undefined.cfg.j2": "\nx = {{ xx }}\n",
    "syntax.cfg.j2": "\n\n{% if x %}\n",
    "run.sh": "echo\n",
    "pick.py": (
        "def none(names, values): return None\n"
        "def repeats(names, values): return [{'x': 1}, {'x': 1}]\n"
        "def raises(names, values): return 1 / 0\n"
        "def one(names): return []\n"
        "def run(names, values): return [{'run': 1}]\n"
        "def more(names, values): return [{'x': 1, 'more': 1}]\n"
        "def lists(names, values): return [{'x': [1]}]\n"
    ),
    "syntax.py": "def f(:\n",
    "one_column.csv": "x\n1\n\nnan\n",
    "table.csv": "x,z\n1,2\n",
}


@dataclass(frozen=True)
class Broken:
    """A config, the key its message names, and words that the message has to hold."""

    kind: str
    text: str | bytes
    key: str
    words: tuple[str, ...]

    @property
    def line(self) -> int | None:
        """Number of the marked line."""
        lines = self.data.replace(b"\0", b"").split(b"\n")
        return next((i for i, line in enumerate(lines, 1) if line.endswith(MARK.encode())), None)

    @property
    def data(self) -> bytes:
        """The file's content."""
        return self.text.encode() if isinstance(self.text, str) else self.text


def broken(kind: str, text: str | bytes, key: str, *words: str) -> Broken:
    """Return a case whose whole file is given."""
    text = textwrap.dedent(text) if isinstance(text, str) else text
    return Broken(kind, text, key, words)


def sweep(kind: str, body: str, key: str, *words: str) -> Broken:
    """Return a case from some keys of an ensemble; what it needs besides is added."""
    lines = textwrap.dedent(body).strip("\n").split("\n")
    if not any(line.startswith("params:") for line in lines):
        lines.append("params: {x: [1, 2]}")
    if not any(line.startswith("run_settings:") for line in lines):
        lines.append('run_settings: {exe: echo, exe_args: ["{{ x }}"]}')
    inner = textwrap.indent("\n".join(lines), "    ")
    text = f"experiment: exp\nensembles:\n  sweep:\n{inner}\n"
    return Broken(kind, text, ".".join(filter(None, ["ensembles.sweep", key])), words)


def params(kind: str, spaces: str, key: str, *words: str) -> Broken:
    """Return a case from the parameters of an ensemble alone."""
    return sweep(kind, f"params:\n{textwrap.indent(spaces, '  ')}  {MARK}", f"params.{key}", *words)


ECHO = "{run_settings: {exe: echo}}"
HELLO = f"models: {{hello: {ECHO}}}\n"

WHOLE_FILE = [
    broken("empty file", "", "", "empty", "experiment: NAME"),
    broken("only a comment", "# to do\n", "", "empty", "experiment: NAME"),
    broken("a list at the top", "- experiment: exp  #!\n", "", "mapping", "experiment: NAME"),
    broken("only text", "experiment  #!\n", "", "mapping", "experiment: NAME"),
    broken("a tab", "experiment: exp\nmodels:\n\thello: {}  #!\n", "", "tab", "blanks"),
    broken("a bracket left open", "experiment: exp\nmodels: {a: [1, 2\nb: 3  #!\n", "", "YAML"),
    broken("a blank forgotten", "experiment: exp\nmodels:  #!\n  a:1\n", "models", "a:1", "blank"),
    broken(
        "indentation", "experiment: exp\nmodels:\n  a:\n   b: 1\n  c: 1\n d: 1  #!\n", "", "line up"
    ),
    broken("text with a colon", "experiment: a: b  #!\n", "", "quote"),
    broken("Jinja2 unquoted", HELLO + "experiment: {{ name }}  #!\n", "", "quote"),
    broken("an unknown anchor", "experiment: *name  #!\n", "", "name"),
    broken("two documents", HELLO + "experiment: exp\n---  #!\n" + HELLO, "", "---"),
    broken("Latin-1", "experiment: exp\n# Größe  #!\n".encode("latin-1"), "", "UTF-8"),
    broken("UTF-16", (HELLO.strip() + "  #!\n").encode("utf-16"), "", "UTF-8"),
    broken("a NUL", b"experiment: e\0p  #!\n", "", "YAML"),
    broken("nothing to run", "experiment: exp  #!\n", "", "models or ensembles"),
    broken(
        "no experiment", HELLO.strip() + "  #!\n", "", "'experiment' is missing", "experiment: "
    ),
    broken("experiment is a number", HELLO + "experiment: 12  #!\n", "experiment", "text", "'12'"),
    broken(
        "experiment with a slash", HELLO + "experiment: a/b  #!\n", "experiment", "a/b", "'a_b'"
    ),
    broken("experiment with a blank", HELLO + "experiment: a b  #!\n", "experiment", "'a_b'"),
    broken(
        "results is null", HELLO + "experiment: e\nresults:  #!\n", "results", "text", "nothing"
    ),
    broken("duplicate key", f"experiment: a\n{HELLO}experiment: b  #!\n", "experiment", "line 1"),
    broken(
        "unknown key at the top",
        HELLO + "experiment: a\nensemble: {}  #!\n",
        "ensemble",
        "'ensembles'",
    ),
    broken("models is a list", "experiment: a\nmodels: [a]  #!\n", "models", "mapping"),
    broken("a model without settings", "experiment: a\nmodels:\n  m:  #!\n", "models.m", "mapping"),
    broken(
        "a model without run_settings",
        "experiment: a\nmodels:\n  m: {params: {}}  #!\n",
        "models.m",
        "'run_settings' is missing",
    ),
    broken(
        "a model with a list",
        "experiment: a\nmodels:\n  m: {params: {x: [1, 2]}, run_settings: {exe: echo}}  #!\n",
        "models.m.params.x",
        "one value",
        "ensembles",
    ),
    broken(
        "a model with replicas",
        "experiment: a\nmodels:\n  m:\n    run_settings: {exe: echo}\n    replicas: 2  #!\n",
        "models.m.replicas",
        "ensembles",
    ),
    broken(
        "name with a slash",
        "experiment: a\nmodels:\n  a/b: {run_settings: {exe: echo}}  #!\n",
        "models.a/b",
        "'a_b'",
    ),
    broken(
        "names of one rule",
        f"experiment: a\nmodels:\n  a-b: {ECHO}\n  a.b: {ECHO}  #!\n",
        "models.a.b",
        "'a-b'",
        "rename",
    ),
    broken(
        "name of a target",
        "experiment: a\nmodels:\n  status: {run_settings: {exe: echo}}  #!\n",
        "models.status",
        "rename",
    ),
    broken(
        "name of a rule of ours",
        f"experiment: a\nmodels:\n  a: {ECHO}\n  generate_a: {ECHO}  #!\n",
        "models.generate_a",
        "rename",
    ),
    broken(
        "a model and an ensemble of one name",
        f"experiment: a\nmodels:\n  m: {ECHO}\nensembles:\n  m: {ECHO}  #!\n",
        "ensembles.m",
        "rename",
    ),
]

SHAPE = [
    sweep("unknown key of an ensemble", "replica: 2  #!", "replica", "'replicas'"),
    sweep("key of SmartSim", "perm_strat: step  #!", "perm_strat", "'perm_strategy'"),
    sweep(
        "unknown key of run_settings",
        "run_settings:\n  exe: echo\n  exe_arg: []  #!",
        "run_settings.exe_arg",
        "'exe_args'",
    ),
    sweep("key at the wrong level", "exe: echo  #!", "exe", "run_settings"),
    sweep("unknown key of files", "files:\n  to_copi: []  #!", "files.to_copi", "'to_copy'"),
    sweep(
        "unknown key of a metric",
        "metrics:\n  loss: {file: a, keys: b, key: c}  #!",
        "metrics.loss.keys",
        "'key'",
    ),
    sweep(
        "unknown key of batch_settings",
        "batch_settings:\n  node: 2  #!",
        "batch_settings.node",
        "'nodes'",
    ),
    sweep(
        "unknown key of container",
        "run_settings:\n  exe: echo\n  container: {img: a.sif, image: b}  #!",
        "run_settings.container.img",
        "'image'",
    ),
    sweep(
        "exe_args is text",
        'run_settings:\n  exe: echo\n  exe_args: "-n 1"  #!',
        "run_settings.exe_args",
        'exe_args: ["-n", "1"]',
    ),
    sweep(
        "an argument is a list",
        "run_settings:\n  exe: echo\n  exe_args: [[a]]  #!",
        "run_settings.exe_args[0]",
        "text",
    ),
    sweep(
        "an argument is true",
        "run_settings:\n  exe: echo\n  exe_args: [true]  #!",
        "run_settings.exe_args[0]",
        "'true'",
    ),
    sweep(
        "unknown key of one of several commands",
        "run_settings:\n  - {exe: echo}\n  - {exe: echo, arg: 1}  #!",
        "run_settings[1].arg",
        "unknown key",
    ),
    sweep(
        "no program of one of several commands",
        "run_settings:\n  - {exe: echo}\n  - {exe: no-such-thing}  #!",
        "run_settings[1].exe",
        "no program 'no-such-thing'",
    ),
    sweep(
        "no parameter in one of several commands",
        "run_settings:\n  - exe: echo\n  - exe: echo\n    stdin: '{{ xx }}'  #!",
        "run_settings[1].stdin",
        "'x'",
    ),
    sweep("no commands", "run_settings: []  #!", "run_settings", "at least 1"),
    sweep("run_settings is text", "run_settings: echo  #!", "run_settings", "{exe: echo}"),
    sweep("preamble is text", "preamble: module load x  #!", "preamble", '["module load x"]'),
    sweep(
        "a restart without a file",
        "restart: {exe_args: [a]}  #!",
        "restart",
        "'from' is missing",
    ),
    sweep(
        "a restart of two ways",
        "restart: {from: a, exe_args: [a], run_settings: {exe: echo}}  #!",
        "restart",
        "not both",
    ),
    sweep("unknown key of a restart", "restart: {form: a, from: b}  #!", "restart.form", "'from'"),
    sweep(
        "no parameter in a restart",
        "restart:\n  from: a\n  exe_args: ['{{ xx }}']  #!",
        "restart.exe_args[0]",
        "'x'",
    ),
    sweep(
        "a check that is no expression",
        "checks: [{file: run.out, regex: '('}]  #!",
        "checks[0].regex",
        "no regular expression",
    ),
    sweep("a code that no program has", "success_codes: [300]  #!", "success_codes[0]", "255"),
    sweep("exe is missing", "run_settings: {exe_args: []}  #!", "run_settings", "'exe' is missing"),
    sweep("exe is a list", "run_settings: {exe: [python, a.py]}  #!", "run_settings.exe", "text"),
    sweep("exe is empty", "run_settings: {exe: ''}  #!", "run_settings.exe", "empty"),
    sweep(
        "a variable is true",
        "run_settings:\n  exe: echo\n  env_vars: {DEBUG: true}  #!",
        "run_settings.env_vars.DEBUG",
        "'true'",
    ),
    sweep(
        "a variable's name",
        "run_settings:\n  exe: echo\n  env_vars: {MY-VAR: 1}  #!",
        "run_settings.env_vars.MY-VAR",
        "letters, digits and _",
    ),
    sweep(
        "to_copy is text",
        "files:\n  to_copy: data.txt  #!",
        "files.to_copy",
        'to_copy: ["data.txt"]',
    ),
    sweep("tag is empty", "files:\n  tag: ''  #!", "files.tag", "empty"),
    sweep("tag of three", "files:\n  tag: [a, b, c]  #!", "files.tag", "list of two"),
    sweep(
        "unknown_tags",
        "files:\n  unknown_tags: ignore  #!",
        "files.unknown_tags",
        "error, default, keep",
    ),
    sweep("naming", "naming: numbers  #!", "naming", "hash, index"),
    sweep("seed is negative", "seed: -1  #!", "seed", "0 or more", "-1"),
    sweep("seed is text", "seed: abc  #!", "seed", "whole number"),
    sweep("replicas is zero", "replicas: 0  #!", "replicas", "1 or more"),
    sweep("replicas is a fraction", "replicas: 1.5  #!", "replicas", "whole number"),
    sweep("n_models is quoted", "n_models: '4'  #!", "n_models", "whole number", "without quotes"),
    sweep("mem_mb is a list", "resources: {mem_mb: [1]}  #!", "resources.mem_mb", "number"),
    sweep(
        "mem_mb with a unit",
        "resources: {mem_mb: 2GB}  #!",
        "resources.mem_mb",
        "megabytes",
        "2000",
    ),
    sweep("mem_mb is negative", "resources: {mem_mb: -5}  #!", "resources.mem_mb", "-5"),
    sweep("tasks is a fraction", "resources: {tasks: 1.5}  #!", "resources.tasks", "whole number"),
    sweep(
        "a resource that a batch does not keep to",
        "batch_settings: {}\nresources: {disk_mb: 5}  #!",
        "resources.disk_mb",
        "not kept to in a batch",
    ),
    sweep("no such resource", "resources: {memory: 5}  #!", "resources.memory", "mem_mb"),
    sweep("an output outside", "outputs: [../a.txt]  #!", "outputs[0]", "inside"),
    sweep("an output with a full path", "outputs: [/tmp/a.txt]  #!", "outputs[0]", "inside"),
    sweep(
        "a metric without kind",
        "metrics:\n  loss: {file: a.json}  #!",
        "metrics.loss",
        "key",
        "regex",
        "column",
    ),
    sweep(
        "a metric of two kinds",
        "metrics:\n  loss: {file: a, key: b, regex: c}  #!",
        "metrics.loss",
        "one of",
    ),
    sweep(
        "a regular expression that is written out too long",
        "metrics:\n  loss: {file: a, regex: '((a{1000}){1000}){9}'}  #!",
        "metrics.loss.regex",
        "repeats",
    ),
    sweep(
        "a metric without file",
        "metrics:\n  loss: {key: b}  #!",
        "metrics.loss",
        "'file' is missing",
    ),
    sweep(
        "rows without reduce",
        "metrics:\n  loss: {file: a.csv, column: b, rows: '-5:'}  #!",
        "metrics.loss",
        "rows needs reduce",
    ),
    sweep(
        "a reduction that is none",
        "metrics:\n  loss: {file: a.csv, column: b, reduce: men}  #!",
        "metrics.loss.reduce",
        "mean",
    ),
    sweep(
        "rows that are no range",
        "metrics:\n  loss: {file: a.csv, column: b, rows: last, reduce: mean}  #!",
        "metrics.loss.rows",
        "-50:",
    ),
    sweep(
        "a delimiter of two characters",
        "metrics:\n  loss: {file: a.csv, column: b, delimiter: '::'}  #!",
        "metrics.loss.delimiter",
        "one character, or blank",
    ),
    sweep(
        "a table that is no table",
        "metrics:\n  loss: {file: a.json, key: b, skip: 2}  #!",
        "metrics.loss",
        "go with column",
    ),
    sweep(
        "a function without its file",
        "metrics:\n  loss: {function: 'no.py:fit'}  #!",
        "metrics.loss.function",
        "no.py cannot be read",
    ),
    sweep(
        "a function's name alone",
        "metrics:\n  loss: {function: fit}  #!",
        "metrics.loss.function",
        "FILE.py:FUNCTION",
    ),
    sweep(
        "a series of nothing",
        "series:\n  loss: {file: a.csv}  #!",
        "series.loss",
        "exactly one of key, regex, column, variable",
    ),
    sweep(
        "a series with the name of a metric",
        "metrics:\n  loss: {file: a, key: b}\nseries:\n  loss: {file: a.csv, column: b}  #!",
        "series.loss",
        "is the name of a metric too",
    ),
    sweep(
        "a file to set keys of that is not there",
        "files: {set: {no.nml: {run.dt: 1}}}  #!",
        "files.set.no.nml",
        "there is no 'no.nml'",
    ),
    sweep(
        "a metric's name",
        "metrics:\n  'final loss': {file: a, key: b}  #!",
        "metrics.final loss",
        "'final_loss'",
    ),
    sweep(
        "a metric is text",
        "metrics:\n  loss: model.json  #!",
        "metrics.loss",
        "mapping",
        "{file: out.json, key: ",
    ),
    sweep(
        "bad regular expression",
        "metrics:\n  loss: {file: a, regex: '(a'}  #!",
        "metrics.loss.regex",
        "regular expression",
    ),
    sweep("batch size", "batch_settings: {size: 0}  #!", "batch_settings.size", "1 or more"),
]

TRAPS = [
    params("1e-3", "x: [1e-3, 2]", "x[0]", "1.0e-3", "text"),
    params("no", "x: [a, no]", "x[1]", "no", "'no'", "false"),
    params("010", "x: [010]", "x[0]", "octal", "'010'"),
    params("12:30", "x: [12:30]", "x[0]", "'12:30'"),
    params("a date", "x: [2024-01-01]", "x[0]", "date", "'2024-01-01'"),
    params("a date that is none", "x: [2024-13-01]", "x[0]", "'2024-13-01'"),
    params("NaN", "x: [.nan, 1]", "x[0]", "nan"),
    params("infinite", "x: [.inf, 1]", "x[0]", "inf"),
    params("binary", "x: [!!binary aGk=]", "x[0]", "text, a number or true/false"),
    params("a key twice", "x: [1]\nx: [2]", "x", "twice", "line 5"),
    params("10_20", "x: [a, 10_20]", "x[1]", "reads 10_20 as 1020", "'10_20'"),
    params("1_0.5", "x: [1_0.5]", "x[0]", "write 10.5", "'1_0.5'"),
    params("0x1F", "x: [0x1F]", "x[0]", "31", "hexadecimal", "'0x1F'"),
    params("0b101", "x: [0b101]", "x[0]", "5", "binary", "'0b101'"),
    params("0o17", "x: [0o17]", "x[0]", "15", "octal", "'0o17'"),
    params("a NUL in a value", 'x: [a, "b\\0"]', "x[1]", "NUL"),
    sweep(
        "a NUL in an argument",
        'run_settings:\n  exe: echo\n  exe_args: [a, "b\\0"]  #!',
        "run_settings.exe_args[1]",
        "NUL",
    ),
    sweep(
        "a NUL made by a template",
        "run_settings:\n  exe: echo\n  exe_args: [a, '{{ \"\\0\" }}']  #!",
        "run_settings.exe_args[1]",
        "NUL",
    ),
    sweep(
        "a NUL in a variable",
        'run_settings:\n  exe: echo\n  env_vars: {A: "b\\0"}  #!',
        "run_settings.env_vars.A",
        "NUL",
    ),
    sweep("a NUL made by a formula", "derived: {y: '\"a\\0\"'}  #!", "derived.y", "NUL"),
]

RESERVED = [
    *(
        params(f"a parameter named {name}", f"{name}: [1, 2]", name, "column", "choose another")
        for name in sorted(COLUMNS)
    ),
    sweep(
        "a zip with a column's name", 'params: {"x, run": [[1, 2]]}  #!', "params.x, run", "'run'"
    ),
    sweep(
        "a strategy that names a parameter run",
        "perm_strategy: pick.py:run  #!",
        "perm_strategy",
        "run: ensemake's tables have a column 'run'",
    ),
    sweep(
        "a metric named like a parameter of a strategy",
        "perm_strategy: pick.py:more\nmetrics:\n  more: {file: a.json, key: b}  #!",
        "metrics.more",
        "a parameter",
    ),
    sweep("a derived named status", "derived: {status: x}  #!", "derived.status", "column"),
    *(
        sweep(
            f"a metric named {name}",
            f"derived: {{y: 2 * x}}\nmetrics:\n  {name}: {{file: a.json, key: b}}  #!",
            f"metrics.{name}",
            "has a column",
            "rename",
        )
        for name in ("x", "y", "reason", "replica")
    ),
]

SPACES = [
    params("empty list", "x: []", "x", "empty", "at least one value"),
    params("no value", "x:", "x", "missing"),
    params("a value is missing", "x: [1, null]", "x[1]", "missing"),
    params("a value is a mapping", "x: [{a: 1}]", "x[0]", "expected text, a number"),
    params("unknown space", "x: {linespace: [0, 1, 5]}", "x", "linspace"),
    params("two spaces", "x: {linspace: [0, 1, 5], range: [0, 1]}", "x", "one of"),
    params("linspace of two", "x: {linspace: [0, 1]}", "x", "how_many"),
    params("linspace of text", "x: {linspace: [a, 1, 5]}", "x", "numbers"),
    params("logspace of values", "x: {logspace: [0.001, 1000, 5]}", "x", "geomspace"),
    params("geomspace from zero", "x: {geomspace: [0, 1, 5]}", "x", "above 0"),
    params("uniform upside down", "x: {uniform: [1, 0]}", "x", "above"),
    params("name with a blank", "my x: [1]", "my x", "my_x"),
    params("name is a number", "1: [1]", "1", "letters, digits and _"),
    params("name is a word of Jinja2", "if: [1]", "if", "choose another name"),
    params("zipped names, plain values", '"x, y": [1, 2]', "x, y", "list of lists"),
    params("zipped names, a short row", '"x, y": [[1, 2], [3]]', "x, y[1]", "1 values for 2"),
    params("zipped and single", 'x: [1]\n"x, y": [[1, 2]]', "x, y", "'x'", "rename one"),
    params("replica is taken", "replica: [1, 2]", "replica", "ensemake"),
    params("missing table", '"x, y": {file: nosuch.csv}', "x, y", "nosuch.csv", "No such file"),
    params("table without the column", '"x, y": {file: table.csv}', "x, y", "no column y"),
    params("nan in a table", "x: {file: one_column.csv}", "x", "line 4", "nan"),
    params("a value twice", "x: [1, 1]", "x[1]", "listed twice", "replicas"),
]

STRATEGIES = [
    sweep("unknown strategy", "perm_strategy: al_perm  #!", "perm_strategy", "all_perm"),
    sweep(
        "unequal lists",
        "params: {x: [1, 2], y: [1, 2, 3]}\nperm_strategy: step  #!",
        "perm_strategy",
        "x has 2",
        "y has 3",
    ),
    sweep("random without n_models", "perm_strategy: random  #!", "perm_strategy", "n_models"),
    sweep(
        "n_models too large", "perm_strategy: random\nn_models: 5  #!", "n_models", "2 combinations"
    ),
    sweep("n_models with all_perm", "n_models: 5  #!", "n_models", "leave n_models out"),
    sweep(
        "distribution with all_perm",
        "params:\n  x: {uniform: [0, 1]}  #!",
        "params.x",
        "all_perm",
        "random",
    ),
    sweep(
        "callable of a missing file", "perm_strategy: nosuch.py:f  #!", "perm_strategy", "nosuch.py"
    ),
    sweep(
        "callable that is missing", "perm_strategy: pick.py:rases  #!", "perm_strategy", "raises"
    ),
    sweep(
        "callable of no module", "perm_strategy: nosuch:f  #!", "perm_strategy", "FILE.py:FUNCTION"
    ),
    sweep(
        "callable that raises",
        "perm_strategy: pick.py:raises  #!",
        "perm_strategy",
        "ZeroDivisionError",
        "line 3",
    ),
    sweep(
        "callable of one argument",
        "perm_strategy: pick.py:one  #!",
        "perm_strategy",
        "(names, values)",
    ),
    sweep(
        "callable that returns nothing",
        "perm_strategy: pick.py:none  #!",
        "perm_strategy",
        "list of dicts",
    ),
    sweep(
        "callable that returns lists",
        "perm_strategy: pick.py:lists  #!",
        "perm_strategy",
        "expected text, a number",
    ),
    sweep(
        "callable with a syntax fault",
        "perm_strategy: syntax.py:f  #!",
        "perm_strategy",
        "SyntaxError",
        "line 1",
    ),
    sweep(
        "callable without a name",
        "perm_strategy: 'pick.py:'  #!",
        "perm_strategy",
        "FILE.py:FUNCTION",
    ),
]

EXPRESSIONS = [
    sweep(
        "derived from a typo",
        "params: {rate: [1], x: [1]}\nderived: {y: 2 * rat}  #!",
        "derived.y",
        "'rate'",
    ),
    sweep("derived with braces", "derived: {y: '{{ x }}'}  #!", "derived.y", "without {{ }}"),
    sweep("derived is no expression", "derived: {y: 2 *}  #!", "derived.y", "2 *"),
    sweep("derived is a number", "derived: {y: 2}  #!", "derived.y", "text", "'2'"),
    sweep("derived sets a parameter", "derived: {x: 2 * x}  #!", "derived.x", "rename"),
    sweep(
        "derived name with a minus",
        "derived: {y-2: 2 * x}  #!",
        "derived.y-2",
        "letters, digits and _",
    ),
    sweep(
        "derived divides by zero",
        "params: {x: [0]}\nderived: {y: 1 / x}  #!",
        "derived.y",
        "ZeroDivisionError",
    ),
    sweep("derived is a list", "derived: {y: '[x, 1]'}  #!", "derived.y", "finite number"),
    sweep(
        "derived from a later one",
        "derived: {z: 2 * y, y: x}  #!",
        "derived.z",
        "'y'",
        "move its line up",
    ),
    sweep("where of a typo", "where: xx > 1  #!", "where", "'x'"),
    sweep("where is no expression", "where: x >  #!", "where", "x >"),
    sweep("where is true", "where: true  #!", "where", "text"),
    sweep(
        "where that opens a file",
        "where: max.__self__.open('stolen', 'w')  #!",
        "where",
        "'__self__' is Python's inside",
    ),
    sweep(
        "derived that opens a file",
        "derived: {y: \"(max|attr('__self__')).open('stolen', 'w')\"}  #!",
        "derived.y",
        "cannot use Python's inside",
    ),
    sweep("an endless range", "where: x in range(10**12)  #!", "where", "more than 1000000 steps"),
    sweep(
        "argument of a typo",
        "run_settings:\n  exe: echo\n  exe_args: [a, '{{ xx }}']  #!",
        "run_settings.exe_args[1]",
        "'x'",
    ),
    sweep(
        "argument left open",
        "run_settings:\n  exe: echo\n  exe_args: ['{{ x']  #!",
        "run_settings.exe_args[0]",
        "}}",
    ),
    sweep(
        "unknown filter",
        "run_settings:\n  exe: echo\n  exe_args: ['{{ x | foo }}']  #!",
        "run_settings.exe_args[0]",
        "foo",
    ),
    sweep(
        "argument of a failing formula",
        "params: {x: [0]}\nrun_settings:\n  exe: echo\n  exe_args: [a, '{{ 1 / x }}']  #!",
        "run_settings.exe_args[1]",
        "ZeroDivisionError",
    ),
    sweep(
        "variable of a typo",
        "run_settings:\n  exe: echo\n  env_vars: {A: '{{ xx }}'}  #!",
        "run_settings.env_vars.A",
        "'x'",
    ),
    sweep(
        "resource of a typo", "resources: {mem_mb: '{{ 100 * xx }}'}  #!", "resources.mem_mb", "'x'"
    ),
    sweep("params_as_args of a typo", "params_as_args: [xx]  #!", "params_as_args[0]", "'x'"),
    sweep(
        "params_as_args of a zip",
        'params: {"x, y": [[1, 2]]}\nparams_as_args: ["x, y"]  #!\nrun_settings: {exe: echo}',
        "params_as_args[0]",
        "x, y",
    ),
]

PLACES = [
    sweep(
        "missing template",
        "files: {to_configure: [nosuch.cfg]}  #!",
        "files.to_configure[0]",
        "nosuch.cfg",
    ),
    sweep(
        "missing file to copy",
        "files: {to_copy: [data.tx]}  #!",
        "files.to_copy[0]",
        "data.tx",
        "'data.txt'",
    ),
    sweep("missing link", "files: {to_symlink: [nosuch]}  #!", "files.to_symlink[0]", "nosuch"),
    sweep(
        "tag without a parameter",
        "files: {to_configure: [unknown.cfg]}  #!",
        "files.to_configure[0]",
        "unknown.cfg",
        "line 2",
        ";xx;",
        "unknown_tags",
    ),
    sweep(
        "variable without a parameter",
        "files: {to_configure: [undefined.cfg.j2]}  #!",
        "files.to_configure[0]",
        "undefined.cfg.j2",
        "line 2",
        "xx",
    ),
    sweep(
        "template left open",
        "files: {to_configure: [syntax.cfg.j2]}  #!",
        "files.to_configure[0]",
        "syntax.cfg.j2",
        "line 3",
    ),
    sweep(
        "two files of a name",
        "files:\n  to_copy:\n  - data.txt\n  - folder/data.txt  #!",
        "files.to_copy[1]",
        "data.txt",
        "rename",
    ),
    sweep(
        "a name of ensemake's own",
        "files: {to_copy: [run.sh]}  #!",
        "files.to_copy[0]",
        "run.sh",
        "rename",
    ),
    sweep(
        "an output that is an input",
        "files: {to_copy: [data.txt]}\noutputs: [data.txt]  #!",
        "outputs[0]",
        "data.txt",
    ),
    sweep("an output of ensemake's own", "outputs: [status.json]  #!", "outputs[0]", "status.json"),
    sweep(
        "exe not on PATH",
        "run_settings: {exe: nosuchprogram}  #!",
        "run_settings.exe",
        "nosuchprogram",
        "PATH",
    ),
    sweep(
        "exe not there", "run_settings: {exe: ./nosuch.sh}  #!", "run_settings.exe", "./nosuch.sh"
    ),
    sweep(
        "exe not executable", "run_settings: {exe: ./code.sh}  #!", "run_settings.exe", "chmod +x"
    ),
    sweep(
        "exe with arguments",
        "run_settings: {exe: python train.py}  #!",
        "run_settings.exe",
        "exe: python",
        'exe_args: ["train.py"]',
    ),
    sweep(
        "no apptainer",
        "run_settings:\n  exe: echo\n  container: {image: a.sif}  #!",
        "run_settings.container",
        "apptainer",
    ),
]

LAUNCHES = [
    sweep(
        "options of one program of several under srun",
        "run_settings:\n  exe: echo\n  exe_args: ['{{ x }}']\n  run_command: srun\n"
        "  mpmd: [{exe: python, run_args: {quiet: null}}]  #!\nresources: {tasks: 2}",
        "run_settings.mpmd[0].run_args",
        "one step",
        "run_settings.run_args",
    ),
    sweep(
        "fewer tasks than programs",
        "run_settings:\n  exe: echo\n  exe_args: ['{{ x }}']\n  run_command: mpirun\n"
        "  mpmd: [{exe: python}]  #!",
        "run_settings.mpmd",
        "at least 2 tasks",
        "tasks: 2",
    ),
    sweep(
        "several programs and a launcher for one",
        "run_settings:\n  exe: echo\n  exe_args: ['{{ x }}']\n  run_command: jsrun  #!\n"
        "  mpmd: [{exe: python}]\nresources: {tasks: 2}",
        "run_settings.run_command",
        "several programs",
        "mpirun",
    ),
]

CASES = [
    *WHOLE_FILE,
    *SHAPE,
    *TRAPS,
    *RESERVED,
    *SPACES,
    *STRATEGIES,
    *EXPRESSIONS,
    *PLACES,
    *LAUNCHES,
]


PROGRAMS = ("echo", "python", "srun", "mpirun", "jsrun")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the files that the configs name."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", _which)
    return tmp_path


def _which(name: str) -> str | None:
    return f"/usr/bin/{name}" if name in PROGRAMS else None


def message(data: bytes) -> list[str]:
    """Return what is told about a config."""
    Path("config.yaml").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_config(Path("config.yaml"))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_one_message_with_line_key_and_remedy(case: Broken, folder: Path) -> None:
    told, last = message(case.data)
    line = f":{case.line}" if case.line else ""
    key = f" {case.key}:" if case.key else ""
    assert told.startswith(f"config.yaml{line}:{key} ")
    assert [word for word in case.words if word not in told] == []
    assert last == "1 fault in config.yaml: nothing was run."


def test_all_messages(folder: Path) -> None:
    """With ``-s``: prints them all, to be read."""
    told = {case.kind: message(case.data)[0] for case in CASES}
    print(*("", *(f"{kind}\n    {text}" for kind, text in told.items())), sep="\n")
    assert len(told) == len(CASES)  # no kind twice
    assert all(len(text) < 350 for text in told.values())


MANY = """\
experiment: exp
models:
  one: {run_setting: {exe: echo}}
  two: {run_settings: {exe: nosuchprogram}}
ensembles:
  three:
    params: {x: [1e-3], x: 5}
    run_settings: {exe: echo, exe_args: -n}
  four:
    params: {x: [1, 2]}
    run_settings: {exe: echo, exe_args: ["{{ y }}"]}
    files: {to_copy: [nosuch.txt]}
"""


def test_all_faults_at_once_in_the_order_of_the_file(folder: Path) -> None:
    told = message(MANY.encode())
    assert [line.split(": ")[:2] for line in told[:-1]] == [
        ["config.yaml:3", "models.one"],
        ["config.yaml:3", "models.one.run_setting"],
        ["config.yaml:4", "models.two.run_settings.exe"],
        ["config.yaml:7", "ensembles.three.params.x"],
        ["config.yaml:7", "ensembles.three.params.x[0]"],
        ["config.yaml:8", "ensembles.three.run_settings.exe_args"],
        ["config.yaml:12", "ensembles.four.files.to_copy[0]"],
    ]
    assert told[-1] == "7 faults in config.yaml: nothing was run."


@pytest.mark.parametrize(
    ("name", "words"), [("nosuch.yaml", "no such file"), ("folder", "Is a directory")]
)
def test_config_that_is_no_file(name: str, words: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(Path(name))
    assert str(caught.value).startswith(f"{name}: ")


def test_what_the_command_line_sets_is_told_without_a_line(folder: Path) -> None:
    Path("config.yaml").write_text("experiment: e\nresults: a\n" + HELLO)
    with pytest.raises(ConfigError) as caught:
        load_config(Path("config.yaml"), {"results": 5})
    assert str(caught.value).startswith("config.yaml: results: expected text, got 5")


def test_preamble_may_bring_the_program(folder: Path) -> None:
    case = sweep(
        "", "run_settings: {exe: nosuch}\nbatch_settings: {preamble: [module load nosuch]}", ""
    )
    Path("config.yaml").write_bytes(case.data)
    assert load_config(Path("config.yaml")).entities


# ---- through Snakemake ----

THROUGH_SNAKEMAKE = [
    (
        "exe_args is text",
        (),
        ["config/config.yaml:6: ensembles.sweep.run_settings.exe_args: expected a list"],
    ),
    ("a tab", (), ["config/config.yaml:3: not valid YAML: a tab"]),
    (
        "missing template",
        (),
        ["config/config.yaml:4: ensembles.sweep.files.to_configure[0]: there is no"],
    ),
]
LATE = {
    "equal members": (
        "params: {x: [1]}\nperm_strategy: pick.py:repeats  #!",
        ["ensembles.sweep.params: members 0 and 1 have equal parameters", "replicas"],
    ),
    "a formula that fails for a later member": (
        "params: {x: [1, 0]}\nderived: {y: 1 / x}  #!",
        ["ensembles.sweep.derived.y: 1 / x: ZeroDivisionError", "x=0"],
    ),
    "a condition that fails for a later member": (
        "params: {x: [1, 0]}\nwhere: 1 / x > 0  #!",
        ["ensembles.sweep.where: 1 / x > 0: ZeroDivisionError", "x=0"],
    ),
    "a condition that keeps nothing": (
        "where: x > 5  #!",
        ["ensembles.sweep.where: keeps none of the members"],
    ),
}


def refused(project: Project, data: bytes, *arguments: str) -> str:
    """Run the workflow on a config and return what a user reads."""
    project.write("config/config.yaml", data)
    done = project.run(*arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert "nothing was run." in done.stderr
    assert not project.ran()
    return done.stderr


@pytest.fixture
def stocked(project: Project) -> Project:
    for name, text in FILES.items():
        project.write(name, text)
    return project


@pytest.mark.workflow
@pytest.mark.parametrize(("kind", "arguments", "told"), THROUGH_SNAKEMAKE)
def test_told_by_the_workflow(
    stocked: Project, kind: str, arguments: tuple[str, ...], told: list[str]
) -> None:
    case = next(case for case in CASES if case.kind == kind)
    stderr = refused(stocked, case.data, *arguments)
    assert [text for text in told if text not in stderr] == []
    assert not (stocked.folder / "results").exists()


@pytest.mark.workflow
@pytest.mark.parametrize("kind", LATE)
def test_told_when_members_are_made(stocked: Project, kind: str) -> None:
    body, told = LATE[kind]
    case = sweep(kind, body, "")
    stderr = refused(stocked, case.data)
    assert [text for text in told if text not in stderr] == []
    assert "config/config.yaml:" in stderr
    assert not list(stocked.folder.glob("results/*/sweep"))


@pytest.mark.workflow
def test_broken_after_a_run_loses_nothing(project: Project) -> None:
    settings = project.ensemble()
    assert project.run().returncode == 0
    before = {path: path.read_bytes() for path in project.results.rglob("*") if path.is_file()}
    ran = project.ran()
    settings["param"] = settings.pop("params")
    project.save()
    done = project.run()
    assert done.returncode == 1
    assert "did you mean 'params'?" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert project.ran() == ran


@pytest.mark.workflow
def test_configfile_option(project: Project) -> None:
    """Snakemake reads the file first: what it can read, we tell; the rest it tells itself."""
    good = HELLO + "experiment: exp\n"
    project.write("twice.yaml", good + "experiment: other\n")
    twice = project.run("--configfile", "twice.yaml")
    assert "twice.yaml:3: experiment: given twice (first in line 2)" in twice.stderr
    project.write("tab.yaml", good + "ensembles:\n\ta: {}\n")
    tab = project.run("--configfile", "tab.yaml")
    assert tab.returncode == 1
    assert "not valid JSON or YAML" in tab.stderr
    assert not (project.folder / "results").exists()
