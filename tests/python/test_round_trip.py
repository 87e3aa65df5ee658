"""What is loaded into Python is the config, key by key, and saving it changes no digest."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemake import Experiment, Model
from ensemake.check.config import check_shape
from ensemake.config import plots, run, schema
from ensemake.config.batch import BatchSettings
from ensemake.config.container import Container
from ensemake.config.database import Database
from ensemake.config.scalars import keys_of
from ensemake.config.shape_faults import sections
from ensemake.config.yamlfile import load_yaml
from ensemake.config.yamltext import config_text
from ensemake.member.expansion import expand_work
from ensemake.member.plan import Planned

FILES = {
    "code.py": "#!/bin/sh\n",
    "sub/other": "#!/bin/sh\n",
    "in.cfg": "x = ;x;\n",
    "in.json": '{"a": {}}',
}
TABLE = "p,q\n1,2.5\n3,a\n"
STRATEGY = "def rows(names, values):\n    return [{'x': 1}, {'x': 2}]\n"


@pytest.fixture(autouse=True, scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of all examples; they write no more than a config."""
    base, before = tmp_path_factory.mktemp("project"), Path.cwd()
    for name, text in {**FILES, "table.csv": TABLE, "strategy.py": STRATEGY}.items():
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text(text)
        (base / name).chmod(0o755)
    os.chdir(base)
    yield base
    os.chdir(before)


def written(data: dict[str, Any]) -> Path:
    file = Path("config.yaml")
    file.write_text(config_text(data, "as a user wrote it"))
    assert load_yaml(file).data == data
    return file


def planned(file: Path) -> dict[str, list[Planned]]:
    config = check_shape(load_yaml(file))
    return {name: expand_work(config, name, Path()).planned for name in config.entities}


def goes_round(data: dict[str, Any]) -> None:
    """A config is the same after loading, and after saving what was loaded."""
    file = written(data)
    before = planned(file)
    loaded = Experiment.load(file).as_config()
    assert loaded == data
    assert config_text(loaded, "") == config_text(Experiment.load(file).as_config(), "")
    again = written(loaded)
    assert planned(again) == before
    assert [repr(value) for value in leaves(loaded)] == [repr(value) for value in leaves(data)]


def leaves(value: Any) -> Iterator[Any]:
    """Yield all values, so that 1, 1.0 and True are told apart; in the order of sorted keys."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


# ---- every key ----

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=5)
template = st.sampled_from(["{{ x }}", "--y={{ 2 * x }}", "${HOME}", "a b"])
number = st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False, width=16)
word = text | template | number
raw = st.fixed_dictionaries({"raw": text})
count = st.integers(1, 4)
name = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,5}", fullmatch=True)
program = st.sampled_from(
    ["echo", "code.py", "./code.py", "sub/../code.py", "sub/other", "/bin/echo", "./nowhere", "x y"]
)
options = st.sampled_from(
    ["ntasks", "n", "--nodes", "tasks", "ntasks-per-node", "npernode", "time", "mpi", "chdir", "x"]
)
launcher_options = st.dictionaries(options, word | st.booleans() | st.none(), max_size=3)
path = st.sampled_from(["code.py", "./code.py", "sub/../code.py", "sub"])
paths = st.lists(path, max_size=2, unique=True)
inside = st.sampled_from(["out.json", "./out.json", "sub/out.csv"])
delimiter = st.sampled_from([";", "@", "<<", ">>"])
optional_text = st.none() | text


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


METRICS = st.one_of(
    some({"file": inside, "key": text}, {"row": st.integers(-3, 3), "regex": st.none()}),
    some({"file": inside, "regex": st.just("(.*)")}, {"column": st.none()}),
    some({"file": inside, "column": text}, {"key": st.none(), "row": st.integers(-3, 3)}),
)
SECTIONS: dict[type[schema.Section], dict[str, Any]] = {
    run.Raw: {"raw": text},
    run.Variable: {"raw": text, "from_env": st.sampled_from(["TOKEN", "_b"])},
    Container: {
        "image": text,
        "bind": st.lists(text, max_size=2),
        "args": st.lists(text, max_size=1).map(lambda words: ["--nv", *words]) | st.just([]),
        "working_directory": optional_text.filter(lambda text: text != ""),
    },
    run.Program: {
        "exe": program,
        "exe_args": st.lists(word | raw, max_size=3),
        "run_args": launcher_options,
        "tasks": count,
    },
    schema.Files: {
        "to_configure": st.lists(st.just("in.cfg"), max_size=1),
        "to_copy": paths,
        "to_symlink": paths,
        "tag": delimiter | st.lists(delimiter, min_size=2, max_size=2),
        "unknown_tags": st.sampled_from(["error", "default", "keep"]),
        "values": st.sampled_from(["python", "fortran", "json"]),
        "set": st.just({}) | st.just({"in.json": {"a.b": 1, "c": [True, "7"]}}),
        "create": st.just(True),
    },
    BatchSettings: {
        "size": st.none() | count,
        "nodes": count,
        "runtime": st.none() | count | st.just("2h"),
        "queue": optional_text,
        "account": optional_text,
        "batch_args": st.dictionaries(options, word | st.none(), max_size=2),
        "preamble": st.lists(text, max_size=2),
        "with": st.none(),
    },
}
SECTIONS[run.RunSettings] = {
    "exe": program,
    "exe_args": st.lists(word | raw, max_size=3),
    "run_command": st.sampled_from(
        ["auto", "none", "srun", "/usr/bin/srun", "mpirun", "mpiexec", "aprun", "jsrun", "flux"]
    ),
    "run_args": launcher_options,
    "env_vars": st.dictionaries(
        st.sampled_from(["A", "_b", "PATH"]),
        word | raw | st.fixed_dictionaries({"from_env": st.just("TOKEN")}),
        max_size=2,
    ),
    "stdin": optional_text | raw,
    "container": st.none()
    | some(
        {"image": SECTIONS[Container]["image"]},
        {k: v for k, v in SECTIONS[Container].items() if k != "image"},
    ),
    "mpmd": st.lists(
        some(
            {"exe": program},
            {k: v for k, v in SECTIONS[run.Program].items() if k != "exe"},
        ),
        max_size=2,
    ),
}
command = some(
    {"exe": program},
    {k: v for k, v in SECTIONS[run.RunSettings].items() if k != "exe"},
)
SECTIONS[run.Restart] = {
    "from": inside,
    "exe_args": st.none() | st.lists(word | raw, max_size=2),
    "run_settings": st.none(),
    "times": count,
}
SECTIONS[run.Check] = {"file": inside, "regex": st.sampled_from(["DONE", "a{2}"])}
axis = st.sampled_from(["x", "status"])
SECTIONS[plots.Drawn] = {
    "x": axis,
    "y": axis,
    "colour": axis,
    "facet": axis,
    "kind": st.sampled_from(["points", "line", "heatmap"]),
    "log": st.lists(st.sampled_from(["x", "y"]), max_size=2),
}
SECTIONS[schema.Model] = {
    "run_settings": command | st.lists(command, min_size=2, max_size=3),
    "preamble": st.lists(text, max_size=2),
    "success_codes": st.lists(st.integers(0, 255), min_size=1, max_size=2),
    "checks": st.lists(some(SECTIONS[run.Check], {}), max_size=1),
    "restart": st.none()
    | some({"from": inside}, {k: v for k, v in SECTIONS[run.Restart].items() if k != "from"}),
    "params": st.dictionaries(st.sampled_from(["x", "y"]), word | st.booleans(), max_size=2),
    "derived": st.sampled_from([{}, {"d": "2 * 3", "c": "d + 1"}]),
    "params_as_args": st.lists(st.sampled_from(["x", "y"]), max_size=2),
    "files": some({}, SECTIONS[schema.Files]),
    "resources": st.dictionaries(
        st.sampled_from(["tasks", "nodes", "cpus_per_task", "mem_mb", "runtime", "gpu"]),
        count | st.just(2.0) | st.sampled_from(["{{ 2 * attempt }}", "2h"]),
        max_size=4,
    ),
    "inputs": st.just({}),  # others would have to be there: see test_stages_go_round
    "outputs": st.lists(inside, max_size=2),
    "metrics": st.dictionaries(name, METRICS, max_size=2),
    "series": st.just({}) | st.just({"s": {"file": "log.csv", "column": "s", "index": "t"}}),
    "labels": st.sampled_from([{}, {"status": "what became of it"}]),
    "plots": st.none() | st.lists(some({"x": axis, "y": axis}, {"colour": axis}), max_size=1),
    "batch_settings": st.none() | some({}, SECTIONS[BatchSettings]),
    "database": st.none(),  # shared, it is refused beside batch_settings: see test_databases
    "colocated_db": st.none(),  # refuses several of these keys: see test_databases
    "key_prefixing": st.just(False),
    "reads_from": st.just([]),
}
SECTIONS[Database] = {
    "port": st.integers(0, 9999),
    "nodes": st.just(1),
    "cpus": count,
    "mem_mb": st.none() | count,
    "interface": optional_text,
    "settings": st.dictionaries(st.sampled_from(["io-threads", "hz"]), count, max_size=2),
    "modules": st.lists(st.just("code.py"), max_size=1),
    "save": st.booleans(),
    "server": st.just("echo"),
    "batch_settings": some({}, {**SECTIONS[BatchSettings], "size": st.none()}),
}
SPACES: list[dict[str, Any]] = [
    {},
    {"params": {}},
    {"params": {"y": [1, 1.0, "1", True], "x": 2}, "perm_strategy": "all_perm"},
    {"params": {"b, a": [[1, "u"], [2.5, "v"]], "x": [1, 2]}, "perm_strategy": "step"},
    {"params": {"x": [1, 2, 3]}, "perm_strategy": "random", "n_models": 2, "naming": "x"},
    {"params": {"x": {"uniform": [0, 1.0]}}, "perm_strategy": "latin_hypercube", "n_models": 2},
    {"params": {"x": {"file": "table.csv"}}},
    {"params": {"x": {"linspace": [0, 1, 3]}}, "n_models": None},
    {"params": {"x": [1, 2]}, "perm_strategy": "strategy.py:rows"},
]
SECTIONS[schema.Ensemble] = {
    **SECTIONS[schema.Model],
    "params": st.nothing(),  # these four stand together in SPACES
    "perm_strategy": st.nothing(),
    "n_models": st.nothing(),
    "naming": st.nothing(),
    "seed": st.integers(0, 3),
    "replicas": st.integers(1, 2),
    "where": st.none() | st.just("replica < 3"),
}


def entity(section: type[schema.Model]) -> st.SearchStrategy[dict[str, Any]]:
    keys = {k: v for k, v in SECTIONS[section].items() if not v.is_empty}
    return some({"run_settings": keys.pop("run_settings")}, keys).map(with_enough_tasks)


def with_enough_tasks(data: dict[str, Any]) -> dict[str, Any]:
    """Several programs in one launch want a task each, else the config is refused."""
    mpmds = [one.get("mpmd", []) for one in run.as_list(data["run_settings"])]
    wanted = 1 + max(sum(other.get("tasks", 1) for other in mpmd) for mpmd in mpmds)
    tasks = data.get("resources", {}).get("tasks", 1)
    if isinstance(tasks, int | float) and tasks < wanted:
        data["resources"] = {**data.get("resources", {}), "tasks": wanted}
    return data


@st.composite
def ensembles(draw: st.DrawFn) -> dict[str, Any]:
    space = draw(st.sampled_from(SPACES))
    naming = {} if "naming" in space else draw(some({}, {"naming": st.just("index")}))
    replicas = {"replicas": 1} if space.get("naming") == "x" else {}
    return {**draw(entity(schema.Ensemble)), **space, **naming, **replicas}


CONFIG = {
    "max_members": st.integers(10**6, 10**9),
    "labels": st.sampled_from([{}, {"x": "length [m]"}]),
    "experiment": name,
    "preamble": st.lists(text, max_size=2),
    "results": st.sampled_from(["results", "./out", "sub/../out", "/tmp/out/"]),
    "models": st.dictionaries(name.map("m".__add__), entity(schema.Model), max_size=2),
    "ensembles": st.dictionaries(name.map("e".__add__), ensembles(), max_size=2),
    "databases": st.dictionaries(
        name.map("d".__add__),
        some(
            {"server": st.just("echo")},
            {key: value for key, value in SECTIONS[Database].items() if key != "server"},
        ),
        max_size=2,
    ),
}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(some({"experiment": CONFIG.pop("experiment")}, CONFIG))
def test_every_config_goes_round(data: dict[str, Any]) -> None:
    goes_round(data)


def test_every_key_is_drawn() -> None:
    """A key that is new in the schema must be drawn above."""
    assert set(CONFIG) | {"experiment"} == set(schema.Config.model_fields)
    for section, keys in SECTIONS.items():
        assert set(keys) == set(keys_of(section)), section
    drawn = {section.__name__ for section in SECTIONS}
    found = {section.__name__ for _, section in sections(schema.Config)}
    assert drawn | {"Metric", "Series", "Input", "Colocated"} == found


# ---- what once was lost ----

LOST: dict[str, dict[str, Any]] = {
    "mpmd": {
        "run_settings": {
            "exe": "echo",
            "run_command": "mpirun",
            "mpmd": [{"exe": "./code.py", "exe_args": [1], "run_args": {"x": 1}, "tasks": 2}],
        },
        "resources": {"tasks": 3},
    },
    "whole number": {"run_settings": {"exe": "echo", "exe_args": [1, 2.0, "3"]}},
    "number in the environment": {"run_settings": {"exe": "echo", "env_vars": {"A": 1}}},
    "./code.py": {"run_settings": {"exe": "./code.py"}},
    "sub/../code.py": {"run_settings": {"exe": "sub/../code.py"}},
    "template": {"run_settings": {"exe": "echo"}, "resources": {"tasks": "{{ x }}", "mem_mb": 5}},
    "size as an option": {
        "run_settings": {"exe": "echo", "run_command": "srun", "run_args": {"ntasks": 4}}
    },
    "tasks per node": {
        "run_settings": {"exe": "echo", "run_command": "srun", "run_args": {"ntasks-per-node": 4}}
    },
    "what is the default": {
        "run_settings": {"exe": "echo", "exe_args": [], "run_command": "auto", "container": None},
        "files": {"to_copy": [], "tag": ";"},
        "batch_settings": {},
        "metrics": {},
    },
    "pair of tags": {"run_settings": {"exe": "echo"}, "files": {"tag": [";", ";"]}},
}


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("kind", ["models", "ensembles"])
def test_nothing_is_lost(kind: str, case: str) -> None:
    goes_round({"experiment": "e", "results": "results", kind: {"m": LOST[case]}})


def test_reading_attributes_changes_nothing() -> None:
    data = {"experiment": "e", "models": {"m": {"run_settings": {"exe": "./code.py"}}}}
    loaded = Experiment.load(written(data))
    model = loaded.entities["m"]
    assert isinstance(model, Model)
    run = model.run_settings
    assert run is not None
    assert (run.exe_args, run.run_args, run.env_vars, run.run_command) == ([], {}, {}, "auto")
    assert (model.params, model.files, model.params_as_args) == ({}, {}, [])
    assert loaded.as_config() == data


def test_what_was_loaded_can_be_changed() -> None:
    run = {
        "exe": "./code.py",
        "exe_args": [1],
        "run_command": "srun",
        "run_args": {"ntasks": 4},
        "mpmd": [{"exe": "echo", "tasks": 2}],
    }
    entry = {"run_settings": run, "resources": {"tasks": 3, "mem_mb": 100}}
    loaded = Experiment.load(written({"experiment": "e", "models": {"m": entry}}))
    changed = loaded.entities["m"].run_settings
    assert changed is not None
    changed.add_exe_args("--more words")
    changed.set_tasks(4)
    changed.set_walltime("01:00:00")
    changed.mpmd[0].set_tasks(3)
    config = loaded.as_config()["models"]["m"]
    assert config["resources"] == {"tasks": 7, "mem_mb": 100, "runtime": 60}
    assert config["run_settings"]["exe_args"] == [1, "--more", "words"]
    assert config["run_settings"]["exe"] == "./code.py"
    assert config["run_settings"]["run_args"] == {}
    changed.exe = "./code.py"
    assert loaded.as_config()["models"]["m"]["run_settings"]["exe"] == "code.py"


def test_stages_go_round() -> None:
    run = {"exe": "true"}
    goes_round(
        {
            "experiment": "stages",
            "models": {"mesh": {"run_settings": run, "outputs": ["mesh.dat"]}},
            "ensembles": {
                "first": {"params": {"T": [1, 2]}, "inputs": {"mesh": {}}, "run_settings": run},
                "second": {
                    "params": {"start": {"members": "first"}, "p": [1, 2]},
                    "inputs": {
                        "first": {"files": {"a": "b"}, "as": "copy"},
                        "mesh": {"members": "all"},
                    },
                    "run_settings": run,
                    "batch_settings": {"with": "first"},
                },
            },
        }
    )
