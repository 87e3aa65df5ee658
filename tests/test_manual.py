"""The manual is true: its tables are those of the code, its examples load, its outputs are real."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ensemake.check.config import load_config
from ensemake.cli import ensemake
from ensemake.config.yamlfile import load_yaml
from ensemake.errors import NotYetKnownError
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.state import StatusFile
from ensemake.sweep.expressions import GLOBALS
from ensemake.sweep.spaces import Distribution, axis

from .conftest import REPOSITORY, Project

MANUAL = REPOSITORY / "config" / "README.md"
TEXT = MANUAL.read_text(encoding="utf-8")
RECIPES, STORE = (
    (REPOSITORY / "config" / page).read_text(encoding="utf-8") for page in ("codes.md", "store.md")
)
HINT = "run: python scripts/manual.py"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands beside that, and its lines."""

    language: str
    about: str
    needs: str
    body: str


def blocks() -> Iterator[Block]:
    fence = r"(?:<!-- needs: (.*) -->\n)?^```(\w+) ?(.*)\n((?:.*\n)*?)```$"
    for found in re.finditer(fence, TEXT + RECIPES + STORE, re.MULTILINE):
        yield Block(found[2], found[3], found[1] or "", found[4])


BLOCKS = list(blocks())
FILES = {block.about: block.body for block in BLOCKS if re.fullmatch(r"\S+[./]\S+", block.about)}
EXAMPLES = [block for block in BLOCKS if block.language == "yaml"]


def whole(block: Block) -> dict[str, Any]:
    """Return a whole config: some keys are put into an ensemble."""
    data = yaml.safe_load(block.body)
    if "experiment" in data:
        return dict(data)
    settings = {"params": {"x": [1, 2]}, "run_settings": {"exe": "echo"}, **data}
    other = {"params": {"n": [1, 2]}, "run_settings": {"exe": "echo"}, "outputs": ["out.json"]}
    return {"experiment": "manual", "ensembles": {"heat": settings, "heat0": other}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, body in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 20
    assert {"heat.py", "strategies.py", "points.csv", "in.cfg", "in.lmp.j2"} <= FILES.keys()


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.body.split("\n")[0][:40])
def test_example_loads_and_makes_its_members(
    block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shutil.which
    provided = [*block.needs.split(", "), "python", "mpirun"]
    monkeypatch.setattr(
        "shutil.which", lambda name: f"/bin/{name}" if name in provided else found(name)
    )
    (folder / "config.yaml").write_text(block.body)
    assert not load_yaml(Path("config.yaml")).faults
    (folder / "config.yaml").write_text(yaml.safe_dump(whole(block), sort_keys=False))
    config = load_config(Path("config.yaml"))
    for name, settings in config.entities.items():
        try:
            work = expand_work(config, name)
        except NotYetKnownError:
            continue
        assert work.planned
        assert generate(work.plan(work.planned), Path()) == []
        is_alone = not settings.outputs and not settings.inputs
        if settings.run_settings[0].exe in ("echo", "cat") and is_alone:
            script = Path(work.planned[0].directory, "run.sh")
            modules = {"BASH_FUNC_module%%": "() { :; }"}  # as sites export it, for a preamble
            subprocess.run(["bash", str(script)], check=True, env={**os.environ, **modules})


def script() -> Any:
    spec = importlib.util.spec_from_file_location("manual", REPOSITORY / "scripts" / "manual.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_models() -> None:
    assert script().with_tables(TEXT + STORE) == TEXT + STORE, HINT
    marks = re.findall(r"<!-- table: (\w+) -->", TEXT + STORE)
    found = {section.__name__ for _, section in script().sections(script().Config)}
    assert sorted(marks) == sorted({"Config", "State", "Choice", *found}), (
        "every section has its table, once"
    )


def test_schema_is_that_of_the_models() -> None:
    stored = (REPOSITORY / "config" / "schema.json").read_text(encoding="utf-8")
    assert stored == script().schema_text(), HINT


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.body.split("\n")[0][:40])
def test_examples_fit_the_schema(block: Block) -> None:
    jsonschema.validate(whole(block), json.loads(script().schema_text()))


def test_the_demo_fits_the_schema_and_mistakes_do_not() -> None:
    schema = json.loads(script().schema_text())
    demo = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    jsonschema.validate(demo, schema)
    demo["ensembles"]["kuramoto"]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(demo, schema)


SPACES = re.findall(r"^\| `(\{\w+: \[.*?\]\})` \| ([^|]*) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize(("space", "gives"), SPACES)
def test_spaces_give_what_the_table_says(space: str, gives: str) -> None:
    values = axis("x", yaml.safe_load(space)).values
    if isinstance(values, Distribution):
        assert "only for" in gives
    else:
        assert gives.split(":")[0] == ", ".join(str(value) for (value,) in values)


def test_functions_and_fields_are_all_named() -> None:
    named = re.findall(r"^- `([a-z0-9 ]+)`$", TEXT, re.MULTILINE)
    assert sorted(" ".join(named).split()) == sorted(GLOBALS)
    for field in fields(StatusFile):
        assert f"| `{field.name}` |" in TEXT


def test_commands_are_all_explained() -> None:
    assert re.findall(r"^\| `ensemake (\w+)` \|", TEXT, re.MULTILINE) == list(ensemake.commands)


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        page, _, anchor = target.partition("#")
        assert not page or page.endswith(".md") or (MANUAL.parent / page).exists(), target
        assert not anchor or anchor in headings, target


def output(target: str) -> str:
    return next(block.body for block in BLOCKS if block.about == f"output {target}")


@pytest.mark.workflow
def test_outputs_are_real(project: Project) -> None:
    for name, body in FILES.items():
        project.write(name, body)
    config = EXAMPLES[0].body
    project.write("config/config.yaml", config)
    assert project.run("preview").stdout == output("preview")
    assert project.run().returncode == 1
    assert project.run("status").stdout == output("status")
    told = output("find").partition("\n")
    asked = shlex.split(told[0].removeprefix("$ "))
    found = subprocess.run(
        asked, cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert found.stdout == told[2]
    project.write("config/config.yaml", config.replace(", 0.5]", "]"))
    assert project.run("prune").stdout == output("prune")
    project.write("Snakefile", next(b.body for b in BLOCKS if b.about == "Snakefile"))
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "best.csv"]
    done = subprocess.run(
        snakemake, cwd=project.folder, env=project.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (project.folder / "best.csv").read_text().rstrip().endswith(",0.003125")
