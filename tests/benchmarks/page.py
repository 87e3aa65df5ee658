"""What the page of 20,000 members costs who looks at it, in a headless Chromium without a GPU."""

import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import project

from ensemake.config.schema import Config
from ensemake.member.expansion import Expansion
from ensemake.member.plan import save_work
from ensemake.show.page import write_page

sys.path.insert(0, str(project.REPOSITORY))
from tests.browser import Browser, browser

MEMBERS = 20_000
BRUSHES = 20
# Milliseconds from a movement along an axis until a frame shows what it has chosen.
BRUSH = """
const done = arguments[1], canvas = document.querySelector('#parallel .rails');
const box = canvas.getBoundingClientRect();
const head = document.querySelector('[data-axis="c"]').getBoundingClientRect();
const at = (kind, part) => canvas.dispatchEvent(new PointerEvent(kind, {pointerId: 1, bubbles: true,
  clientX: (head.left + head.right) / 2, clientY: box.top + 12 + (1 - part) * (350 - 12 - 36)}));
at('pointerdown', 0.1);
const began = performance.now();
at('pointermove', arguments[0]);
requestAnimationFrame(() => setTimeout(() => {
  const took = performance.now() - began;
  at('pointerup', arguments[0]);
  done(took);
}));
"""
IS_THERE = "return document.documentElement.dataset.ready"


@dataclass(frozen=True)
class PageCost:
    """Of one page: its size, seconds until it is there, milliseconds of a brush (median, worst)."""

    megabytes: float
    opens_s: float
    brush_ms: float
    worst_ms: float


def absent() -> str | None:
    """Tell what is missing, if anything."""
    return None if shutil.which("chromedriver") else "chromium-driver is not installed"


def measure(folder: Path) -> PageCost:
    """Write a page, open it and move along one of its axes."""
    path = _page(folder)
    with browser(folder) as window:
        window.open(folder / "config")  # the browser itself has been started
        began = time.monotonic()
        window.open(path)
        window.wait(IS_THERE)
        opens_s = time.monotonic() - began
        time.sleep(3)
        times = [_brush(window, 0.3 + 0.6 * n / BRUSHES) for n in range(BRUSHES)]
    size = path.stat().st_size / 1e6
    return PageCost(size, opens_s, statistics.median(times), max(times))


def _brush(window: Browser, end: float) -> float:
    took = float(window.call(BRUSH, end))
    time.sleep(0.5)  # the lines of the last one are drawn
    return took


def _page(folder: Path) -> Path:
    project.write(folder, 1)
    sweep = {
        "params": {name: {"uniform": [0, 1]} for name in "abcdef"},
        "perm_strategy": "random",
        "n_models": MEMBERS,
        "run_settings": {"exe": "true"},
    }
    config = Config.model_validate({"experiment": "bench", "ensembles": {"sweep": sweep}})
    save_work(Expansion(config, folder).work("sweep"))
    return folder / write_page(config, folder)
