"""The house stands as its plan says: rooms, files that the plan names, one name for one thing."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from .conftest import REPOSITORY

WORKFLOW = REPOSITORY / "workflow"
PLAN = (WORKFLOW / "ARCHITECTURE.md").read_text(encoding="utf-8")
# its words are the config's too
SMARTSIM = {"BatchSettings", "Database", "Ensemble", "Model", "RunSettings"}


def test_files_and_names_that_the_plan_gives_exist() -> None:
    found = re.findall(r"`([\w./]+\.(?:py|smk|toml))`", PLAN)
    assert len(found) > 25
    for name in found:
        places = [WORKFLOW / "ensemake" / name, WORKFLOW / name, REPOSITORY / name]
        assert any(place.exists() for place in places), name
    for room in re.findall(r"`ensemake/(\w+)/`", PLAN):
        assert (WORKFLOW / "ensemake" / room / "__init__.py").exists(), room


def test_every_room_is_in_the_plan() -> None:
    package = WORKFLOW / "ensemake"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"`ensemake/(\w+)/`", PLAN))
    assert len(list(package.glob("*.py"))) <= 8


def test_public_names_are_defined_once() -> None:
    homes: dict[str, list[Path]] = defaultdict(list)
    for path in WORKFLOW.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(path)
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert twice.keys() <= SMARTSIM | {"main"}, twice
