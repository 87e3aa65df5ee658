"""One step in a process of its own: ``python inside.py STEP`` in a project prints its seconds."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from ensemake.check.config import load_config
from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Work
from ensemake.member.state import StatusFile
from ensemake.results.collect import write_results
from ensemake.results.outcomes import status_lines
from ensemake.show.preview import preview_lines
from ensemake.sweep.members import expand

BASE = Path()
ENTITY = "sweep"


def _expand(config: Config) -> None:
    for _ in expand(ENTITY, config.ensembles[ENTITY], BASE):
        pass


def _draw(config: Config) -> None:
    """Draw 1000 members of 10^12; the size of the project has no part in it."""
    space = {f"p{i}": {"range": [0, 1000]} for i in range(4)}
    ensemble = {
        "params": space,
        "perm_strategy": "random",
        "n_models": 1000,
        "run_settings": {"exe": "true"},
    }
    drawn = Config.model_validate({"experiment": "draw", "ensembles": {ENTITY: ensemble}})
    assert len(list(expand(ENTITY, drawn.ensembles[ENTITY], BASE))) == 1000


def _generate(work: Work) -> None:
    for _, plan in work.chunks(work.planned):
        assert not generate(plan, BASE)


def complete(work: Work) -> None:
    """Write what run.sh would have left of a success."""
    for member in work.planned:
        status = StatusFile("completed", 0, member.digest, "host", "2024-01-01T00:00:00+0000")
        Path(member.directory).mkdir(parents=True, exist_ok=True)
        Path(member.directory, "status.json").write_text(json.dumps(asdict(status)) + "\n")


OF_CONFIG: dict[str, Callable[[Config], Any]] = {
    "expand": _expand,
    "draw": _draw,
    "work": lambda config: expand_work(config, ENTITY),
}
OF_WORK: dict[str, Callable[[Work], Any]] = {
    "generate": _generate,
    "complete": complete,
    "pending": lambda work: work.pending(),
    "plans": lambda work: [plan.as_json() for _, plan in work.chunks(work.planned)],
    "collect": write_results,
    "status": status_lines,
    "preview": preview_lines,
}


def main() -> None:
    step = sys.argv[1]
    config = load_config(Path("config/config.yaml"))
    work = expand_work(config, ENTITY) if step in OF_WORK else None
    began = time.perf_counter()
    with redirect_stdout(StringIO()):
        OF_CONFIG[step](config) if work is None else OF_WORK[step](work)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
