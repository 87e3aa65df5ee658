"""overview.html: one page to send to a colleague; needs no network and no other file."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ensemake.atomic import write_atomically
from ensemake.config.schema import Config, shareable
from ensemake.member.layout import root
from ensemake.results.provenance import latest_run
from ensemake.show.page_data import page_data

WEB = Path(__file__).with_name("web")
SCRIPTS = ("model", "scales", "parallel", "chart", "table", "member", "overview", "main")


def page_path(config: Config) -> Path:
    """Return where the page is written."""
    return root(config) / "overview.html"


def write_page(
    config: Config, base: Path = Path(), to: Path | None = None, every_s: float | None = None
) -> Path:
    """Write the page from what is there.

    Parameters
    ----------
    config
        The experiment.
    base
        The working directory.
    to
        Where to, if not to the page's own place.
    every_s
        How soon it will be written again, while members run: the page then reloads itself.
    """
    path = to or page_path(config)
    write_atomically(base / path, page_text(config, base, every_s).encode())
    return path


def page_text(
    config: Config,
    base: Path = Path(),
    every_s: float | None = None,
    only: str = "",
    view: Mapping[str, str] | None = None,
) -> str:
    """Return the page; or one part of it, with what is chosen at first."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_read("page.html"))
    data = {**page_data(config, base, live=every_s is not None), "view": view or {}}
    if every_s is not None:
        data["live"] = {"written": time.time(), "every_s": every_s}
    script = "".join(_read(f"{name}.js") for name in SCRIPTS)
    script = f'"use strict";\n{{\n{script}}}\n'
    return template.render(
        config=config,
        only=only,
        settings=yaml.safe_dump(_given(config), sort_keys=False, allow_unicode=True),
        pictures={name: _pictures(base / root(config) / name) for name in config.entities},
        run=latest_run(root(config), base),
        plain=lambda words: " ".join(words),
        style=_read("page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    )


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _given(config: Config) -> dict[str, Any]:
    """Return the config with what differs from the defaults, without secrets."""
    return shareable(config).model_dump(mode="json", exclude_defaults=True)


def _pictures(folder: Path) -> list[tuple[str, str]]:
    """Return the pictures of an entity as data: addresses."""
    found = sorted((folder / "plots").glob("*.svg"))
    kind = "data:image/svg+xml;base64,"
    return [(path.stem, kind + base64.b64encode(path.read_bytes()).decode()) for path in found]
