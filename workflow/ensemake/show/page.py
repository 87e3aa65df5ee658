"""overview.html: one page to send to a colleague; needs no network and no other file."""

import base64
import csv
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ensemake.atomic import write_atomically
from ensemake.config.schema import Config, Model, shareable
from ensemake.member.layout import layout, located, root
from ensemake.results.outcomes import BAD, error_line
from ensemake.results.provenance import latest_run

MOST_ROWS = 20_000  # in the page; failed members come first if there are more
TEMPLATE = Path(__file__).with_name("page.html")


def page_path(config: Config) -> Path:
    """Return where the page is written."""
    return root(config) / "overview.html"


def write_page(config: Config, base: Path = Path(), to: Path | None = None) -> Path:
    """Write the page from the tables and plots that are there, to a place of its own or another."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(
        config=config,
        settings=yaml.safe_dump(_given(config), sort_keys=False, allow_unicode=True),
        entities=[_entity(config, name, base) for name in config.entities],
        run=latest_run(root(config), base),
        plain=lambda words: " ".join(words),
    )
    path = to or page_path(config)
    write_atomically(base / path, text.encode())
    return path


def _given(config: Config) -> dict[str, Any]:
    """Return the config with what differs from the defaults, without secrets."""
    return shareable(config).model_dump(mode="json", exclude_defaults=True)


def _entity(config: Config, name: str, base: Path) -> dict[str, Any]:
    folder = base / layout(config, name).directory
    columns, rows = _table(folder / "results.csv")
    bad = [row for row in rows if row["status"] in BAD]
    shown = (
        rows if len(rows) <= MOST_ROWS else sorted(rows, key=lambda row: row["status"] not in BAD)
    )
    cells = [list(row.values()) for row in shown[:MOST_ROWS]]
    return {
        "name": name,
        "counts": Counter(row["status"] for row in rows).most_common(),
        "total": len(rows),
        "shown": len(cells),
        "data": json.dumps({"columns": columns, "rows": cells}),
        "failed": [_failure(folder, row) for row in bad[:20]],
        "more_failed": max(0, len(bad) - 20),
        "plots": [_plot(folder, metric) for metric in _drawn(config.entities[name])],
        "table": str(layout(config, name).directory / "results.csv"),
    }


def _drawn(settings: Model) -> list[str]:
    return [*settings.metrics, *settings.series]


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.exists():
        return [], []
    with path.open(newline="", encoding="utf-8") as file:
        csv.field_size_limit(sys.maxsize)  # our own table; values may be long
        table = csv.DictReader(file)
        return list(table.fieldnames or []), list(table)


def _failure(folder: Path, row: Mapping[str, str]) -> dict[str, str]:
    own = located(folder, row["member"])
    directory = own if own.is_dir() else folder
    return {**row, "last": error_line(directory / "run.err")}


def _plot(folder: Path, metric: str) -> tuple[str, str]:
    """Return a metric and its picture as a data: address, empty if there is none."""
    path = folder / "plots" / f"{metric}.svg"
    if not path.exists():
        return metric, ""
    return metric, "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
