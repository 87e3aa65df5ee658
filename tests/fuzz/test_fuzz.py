"""Configs as nobody means them: never a traceback, never slow, every fault with its line.

The short form is part of the suite; ``make fuzz`` goes on for some minutes.
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemake.check.config import expanded, load_config
from ensemake.config import schema
from ensemake.config.faults import ConfigError
from ensemake.errors import NotYetKnownError
from ensemake.member.expansion import Expansion
from ensemake.show.preview import preview_lines

from ..conftest import REPOSITORY

EXAMPLES = int(os.environ.get("ENSEMAKE_FUZZ", "150"))
MOST_S = 2.0  # of CPU
MOST_KB = 500_000  # beyond what the test's own process has
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)

DEMO = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
BASIS: dict[str, Any] = {
    "experiment": "e",
    "models": {"m": {"params": {"x": 1}, "run_settings": {"exe": "echo", "exe_args": ["{{ x }}"]}}},
    "ensembles": {
        "s": {
            "params": {"x": [1, 2], "y": {"linspace": [0, 1, 3]}, "a, b": [[1, 2], [3, 4]]},
            "derived": {"z": "x * y"},
            "where": "x > 0 or y < 1",
            "params_as_args": ["x"],
            "replicas": 2,
            "naming": "index",
            "run_settings": {
                "exe": "echo",
                "exe_args": ["{{ z }}", {"raw": "{{"}],
                "env_vars": {"A": "{{ x }}", "B": {"from_env": "HOME"}},
                "run_args": {"q": None},
            },
            "files": {
                "to_copy": ["folder"],
                "to_configure": ["in.cfg"],
                "to_symlink": ["in_*.cfg"],
                "tag": ["<", ">"],
                "unknown_tags": "keep",
            },
            "resources": {"tasks": 2, "mem_mb": "{{ 100 * x }}"},
            "outputs": ["out_{{ x }}.json"],
            "metrics": {"f": {"file": "out.json", "key": "f"}},
            "batch_settings": {"size": 3, "preamble": ["true"]},
        },
        "r": {
            "params": {"p": {"uniform": [0, 1]}, "q": {"integers": [1, 9]}},
            "perm_strategy": "sobol",
            "n_models": 4,
            "seed": 1,
            "run_settings": {"exe": "echo"},
        },
        "t": {
            "params": {"from_s": {"members": "s"}, "w": [1, 2]},
            "inputs": {
                "m": {"files": {"run.out": "m.out"}},
                "s": {"files": {"out_{{ x }}.json": "in.json"}},
            },
            "run_settings": {"exe": "echo"},
        },
        "u": {
            "params": {"best": {"members": "s", "where": "f < 2", "sort_by": "f", "first": 2}},
            "run_settings": {"exe": "echo"},
        },
    },
}

NAN, INF = float("nan"), float("inf")
TEXTS = [
    *("", " ", ".", "..", "/", "~", "~/x", "~nobody"),
    *("$HOME", "$NOTHING/x", "-x", "*", "**", "a[", "a/b"),
    *("{{", "{{ x }}", "{{ nothing }}", "{{ x.__class__ }}"),
    *("{% for i in range(9) %}", "{#", "#", "{x}"),
    *("1/0", "x", "'x' * 10**9", "10 ** (10 ** 10)", "x if"),
    *("None", "[x]", "x and", "range(10**12)|list"),
    *("folder", "in.cfg", "loop", "pipe", "results"),
    *("results.csv", "run.sh", "/dev/zero", "/dev/null"),
    *("hash", "index", "all_perm", "step", "random"),
    *("latin_hypercube", "sobol", "no.py:f", "os:listdir"),
    *("1e3", "12:30", "no", "0x1F", "\x00", "\x1b[2J"),
    *("\n", "\u202e", "\ud800", "é", "x" * 300, "a" * 25),
    *("(a+)+$", "(", "srun", "mpirun", "config.json"),
    *("overview.html", "all", "generate_s", "table.csv"),
]  # fmt: skip
NUMBERS = [
    0,
    1,
    -1,
    3,
    10**6,
    10**12,
    10**30,
    -(10**30),
    0.5,
    1e308,
    1e-320,
    float("nan"),
    float("inf"),
]
scalars = (
    st.sampled_from(TEXTS)
    | st.sampled_from(NUMBERS)
    | st.booleans()
    | st.none()
    | st.text(max_size=8)
    | st.integers()
    | st.floats()
)
SPACES = ["linspace", "logspace", "geomspace", "arange", "range", "uniform", "loguniform", "normal"]
KEYS = sorted(
    {
        key
        for section in vars(schema).values()
        if isinstance(section, type) and issubclass(section, schema.Section)
        for key in section.model_fields
    }
    | {
        *SPACES,
        "integers",
        "file",
        "x",
        "a, b",
        "x,x",
        "replica",
        "index",
        "tasks",
        "runtime",
        "gpu",
    }
)
keys = st.sampled_from(KEYS) | st.sampled_from(TEXTS)
spaces = st.dictionaries(
    st.sampled_from([*SPACES, "integers", "file"]),
    st.lists(st.sampled_from(NUMBERS) | st.integers(-9, 9), max_size=3) | scalars,
    min_size=1,
    max_size=1,
)
values = st.recursive(
    scalars | spaces,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container and key (or position) of a config."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        yield data, key
        if isinstance(value, dict | list):
            yield from places(value)


@st.composite
def mutated(draw: st.DrawFn, basis: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(yaml.safe_dump(basis))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(data))
        if not found:
            break
        owner, key = draw(st.sampled_from(found))
        how = draw(st.sampled_from(["replace", "replace", "add", "remove"]))
        if how == "replace":
            owner[key] = draw(values)
        elif how == "remove":
            del owner[key]
        elif isinstance(owner, dict):
            owner[draw(keys)] = draw(values)
        else:
            owner.append(draw(values))
    return {**data, "max_members": 1000}  # a million that are meant take their time


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "folder"))
    for path in (REPOSITORY / "config").iterdir():
        if path.is_dir():
            (tmp_path / "config").mkdir(exist_ok=True)
            (tmp_path / "config" / path.name).symlink_to(path)
    Path("folder/empty").mkdir(parents=True)
    Path("folder/file").write_text("<x>")
    Path("loop").mkdir()
    Path("loop/loop").symlink_to("../loop")
    for name in ("in.cfg", "in_1.cfg", "in_2.cfg"):
        Path(name).write_text("x = <x>")
    Path("table.csv").write_text("x,y\n1,2\n")
    os.mkfifo("pipe")


def looked_at(text: str | bytes) -> None:
    """Check a config and tell its preview, as `ensemake` does; what is wrong has a line."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    Path("config.yaml").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    try:
        document, config = _document()
        expansion = Expansion(config)
        for name in config.entities:
            with suppress(NotYetKnownError):
                preview_lines(expanded(document, expansion.work, name))
    except ConfigError as error:
        for line in str(error).split("\n"):
            assert line.isprintable()
        for fault in error.faults:
            assert fault.line or not fault.path, fault
    assert time.process_time() - began < MOST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KB


def _document() -> tuple[Any, schema.Config]:
    from ensemake.config.yamlfile import load_yaml

    return load_yaml(Path("config.yaml")), load_config(Path("config.yaml"))


def dumped(data: Any) -> str:
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


@fuzz
@given(mutated(BASIS))
def test_a_config_of_all_keys(data: dict[str, Any]) -> None:
    looked_at(dumped(data))


@fuzz
@given(mutated(DEMO))
def test_the_demo(data: dict[str, Any]) -> None:
    looked_at(dumped(data))


@fuzz
@given(values)
def test_anything(data: Any) -> None:
    looked_at(dumped(data))


@fuzz
@given(st.data())
def test_a_text_that_was_damaged(data: st.DataObject) -> None:
    text = dumped(data.draw(st.sampled_from([BASIS, DEMO])))
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 20)))
    insert = data.draw(
        st.text(max_size=6) | st.sampled_from(["*a", "&a ", "[" * 200, "{", ": ", "\t"])
    )
    looked_at(text[:start] + insert + text[end:])


@fuzz
@given(st.binary(max_size=200))
def test_bytes(data: bytes) -> None:
    looked_at(data)
