"""The page in a real browser without a network: what is chosen, what is opened, what is refused."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from math import sin
from pathlib import Path
from typing import Any

import pytest

from ensemake.config.schema import Config
from ensemake.member.expansion import Expansion
from ensemake.member.plan import Work, save_work
from ensemake.results.collect import write_results
from ensemake.show import live, page_data
from ensemake.show.live import LivePage
from ensemake.show.page import write_page

from ..browser import Browser, browser

needs_browser = pytest.mark.skipif(
    shutil.which("chromedriver") is None and "CI" not in os.environ,
    reason="needs chromium and chromium-driver",
)
HOSTILE = "<img src=x onerror=\"document.title='read as HTML'\">"
ENDED = "</script><script>document.title='ran'</script>"
pytestmark = pytest.mark.xdist_group("browser")
COUNT = "return document.querySelector('#count').textContent"
# Drags along an axis of the parallel coordinates, from one part of its height to another.
DRAG = """
const canvas = document.querySelector('#parallel .rails'), box = canvas.getBoundingClientRect();
const head = document.querySelector(`[data-axis="${%s}"]`).getBoundingClientRect();
const at = (kind, part) => canvas.dispatchEvent(new PointerEvent(kind, {pointerId: 1, bubbles: true,
  clientX: (head.left + head.right) / 2, clientY: box.top + 12 + (1 - part) * (350 - 12 - 36)}));
"""
# Whether anything is drawn on a canvas.
INKED = """
const canvas = document.querySelector(%s);
const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
return data.some(value => value > 0);
"""


def drag(axis: str, start: float, end: float) -> str:
    return f"""{DRAG % json.dumps(axis)}
    at('pointerdown', {start}); at('pointermove', {end}); at('pointerup', {end});"""


def folder(tmp_path: Path, entities: dict[str, Any]) -> dict[str, Work]:
    """An experiment's folder as a run leaves it: of 7 members one has failed, where x is large."""
    config = Config.model_validate({"experiment": "exp", "ensembles": entities})
    works = {}
    expansion = Expansion(config, tmp_path)
    for name in config.entities:
        works[name] = work = expansion.work(name)
        save_work(work)
        for number, member in enumerate(work.planned):
            end(tmp_path / member.directory, member, number, len(work.planned))
    config_copy = tmp_path / "results/exp/.ensemake/config.json"
    config_copy.write_text(config.model_dump_json())
    return works


def end(directory: Path, member: Any, number: int, total: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    is_bad = number >= total * 6 / 7
    status = {
        "status": "failed" if is_bad else "completed",
        "exit_code": int(is_bad),
        "digest": member.digest,
        "host": f"node{number % 3}",
        "started": f"2026-11-25T10:{number // 60 % 60:02d}:{number % 60:02d}+0000",
        "elapsed_s": 1.5,
        "reason": "exit code 1" * is_bad,
    }
    (directory / "status.json").write_text(json.dumps(status))
    (directory / "run.err").write_text(f"step 7\nerror: {HOSTILE}\n" * is_bad)
    (directory / "out.json").write_text(json.dumps({"y": sin(number), "word": HOSTILE}))


METRICS = {"y": {"file": "out.json", "key": "y"}, "word": {"file": "out.json", "key": "word"}}
RUN = {"exe": "echo", "exe_args": ["{{ x }}"]}


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def opened(window: Browser, tmp_path: Path, config: Config, choice: str = "") -> None:
    path = write_page(config, tmp_path)
    window.open(tmp_path / path, choice)
    window.wait("return document.documentElement.dataset.ready")


@needs_browser
def test_the_page(tmp_path: Path, window: Browser) -> None:
    """One opening of many looks, as each costs seconds."""
    params = {"x": {"range": [0, 35]}, "kind": [HOSTILE, ENDED]}
    sweep = {"params": params, "run_settings": RUN, "metrics": METRICS, "replicas": 1}
    later = {
        "params": {"of": {"members": "sweep"}},
        "run_settings": RUN,
        "inputs": {"sweep": {"files": ["out.json"]}},
    }
    works = folder(tmp_path, {"sweep": sweep, "later": later})
    config = Config.model_validate(
        {"experiment": "exp", "ensembles": {"sweep": sweep, "later": later}}
    )
    opened(window, tmp_path, config, "#entity=sweep")
    assert window.run(COUNT) == "70 of 70"
    # what failed stands first, and where
    told = window.run("return document.querySelector('#failures').innerText")
    assert "What failed: 10 of 70" in told
    assert "all 10 failed members have x from 30 to 34; so have 0 of the 60 others" in told
    assert f"error: {HOSTILE}" in told
    # the graph, with counts
    arrows = window.run("return document.querySelectorAll('#graph .arrow').length")
    nodes = window.run("return [...document.querySelectorAll('#graph a')].map(a => a.ariaLabel)")
    assert arrows == 1
    assert nodes == ["sweep: 60 completed, 10 failed", "later: 60 completed, 10 failed"]
    for canvas in (".lines", ".rails", "#chart canvas", "#time canvas", "#where canvas"):
        assert window.wait(INKED % json.dumps(canvas)), canvas
    # a brush: lines, chart and table follow, the address keeps it
    window.run(drag("x", -0.1, 0.5))
    window.wait(f"{COUNT} == '36 of 70'")
    window.wait("return document.querySelectorAll('#table tbody tr').length == 36")
    assert "36 members" in window.run("return document.querySelector('#chart canvas').ariaLabel")
    kept = window.wait("return location.hash.includes('brush') && location.hash")
    # axes and kind are chosen
    window.run(
        "const s = document.querySelector('[name=kind]'); s.value = 'points';"
        "s.dispatchEvent(new Event('change'));"
        "const y = document.querySelector('[name=y]'); y.value = 'elapsed_s'"
    )
    assert "y over x" in window.run("return document.querySelector('#chart canvas').ariaLabel")
    # keys move an axis
    window.run(
        "const head = document.querySelector('[data-axis=x]'); head.focus();"
        "head.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))"
    )
    heads = "return [...document.querySelectorAll('[data-axis]')].map(b => b.dataset.axis)"
    assert window.run(heads) == ["kind", "x", "y", "word", "status"]
    assert window.run("return document.activeElement.dataset.axis") == "x"
    # a member is opened, and closed by a key
    name = works["sweep"].planned[-1].name
    opened(window, tmp_path, config, f"#entity=sweep&member={name}")
    told = window.run("return document.querySelector('#member').innerText")
    for part in ("exit code 1", "step 7", HOSTILE, ENDED, name, "node", "Command"):
        assert part in told, part
    window.run("document.querySelector('#member .close').click()")
    assert not window.run("return document.querySelector('#member').open")
    # the address brings the choice back
    opened(window, tmp_path, config, kept)
    assert window.run(COUNT) == "36 of 70"
    # ranges can be typed
    window.run("document.querySelector('#clear').click()")
    window.wait(f"{COUNT} == '70 of 70'")
    window.run(
        "const box = document.querySelector('#ranges input[aria-label=\"x, at least\"]');"
        "box.value = 30; box.dispatchEvent(new Event('change'))"
    )
    window.wait(f"{COUNT} == '10 of 70'")
    # nothing was read as HTML, nothing fetched
    assert window.run("return document.title") == "exp"
    assert window.run("return document.querySelectorAll('img').length") == 0
    assert window.run("return performance.getEntriesByType('resource').length") == 0
    assert "http" not in (tmp_path / "results/exp/overview.html").read_text().replace(
        "http://www.w3.org/2000/svg", ""
    ).replace("http-equiv", "")


@needs_browser
def test_a_live_page_reloads_and_keeps_the_choice(tmp_path: Path, window: Browser) -> None:
    sweep = {"params": {"x": [1, 2, 3]}, "run_settings": RUN, "metrics": METRICS}
    folder(tmp_path, {"sweep": sweep})
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": sweep}})
    path = tmp_path / write_page(config, tmp_path, every_s=0.5)
    choice = "#entity=sweep&x=y&y=elapsed_s"
    window.open(path, choice)
    window.run("window.isFirst = true")
    window.wait("return !window.isFirst && document.documentElement.dataset.ready")
    assert window.run("return location.hash") == choice
    assert "Members are running" in window.run("return document.querySelector('#live').innerText")
    write_page(config, tmp_path)
    window.wait("return document.querySelector('#live').hidden")
    assert window.run("return location.hash") == choice


def test_the_page_of_a_run_is_renewed_until_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(live, "EVERY_S", 0.05)
    sweep = {"params": {"x": [1, 2, 3]}, "run_settings": RUN, "metrics": METRICS}
    folder(Path(), {"sweep": sweep})
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": sweep}})
    path, renewed = Path("results/exp/overview.html"), LivePage(config)
    renewed.start()
    while not path.exists():
        time.sleep(0.01)
    first = path.stat().st_ino
    assert '"live":{' in path.read_text()
    while path.stat().st_ino == first:
        time.sleep(0.01)
    renewed.stop()
    renewed.finish()
    assert '"live":{' not in path.read_text()
    last = path.stat().st_ino
    renewed.finish()  # written by another since
    assert path.stat().st_ino == last


def test_of_too_many_members_a_sample_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data, "MOST_ROWS", 30)
    sweep = {"params": {"x": {"range": [0, 70]}}, "run_settings": RUN, "metrics": METRICS}
    works = folder(tmp_path, {"sweep": sweep})
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": sweep}})
    (data,) = page_data.page_data(config, tmp_path)["entities"]
    columns = {column["key"]: column for column in data["columns"]}
    failed = {member.values["x"] for member in works["sweep"].planned[60:]}
    assert (data["total"], len(columns["x"]["values"])) == (70, 30)
    assert failed <= set(columns["x"]["values"])
    assert min(columns["x"]["values"]) == 0


@needs_browser
def test_curves_follow_the_choice(tmp_path: Path, window: Browser) -> None:
    series = {"T": {"file": "log.csv", "column": "T", "index": "t"}}
    sweep = {"params": {"x": [1, 2, 3]}, "run_settings": RUN, "series": series}
    (work,) = folder(tmp_path, {"sweep": sweep}).values()
    for number, member in enumerate(work.planned):
        lines = [f"{t},{10 * t * number}" for t in range(50)]
        text = "\n".join(["t,T", *lines, ""])
        (tmp_path / member.directory / "log.csv").write_text(text)
    write_results(work)
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": sweep}})
    opened(window, tmp_path, config, f"#entity=sweep&member={work.planned[1].name}")
    assert window.wait(INKED % json.dumps("#curves canvas"))
    assert window.wait(INKED % json.dumps("#member [data-series=T]"))


@needs_browser
def test_twenty_thousand_members_are_brushed(tmp_path: Path, window: Browser) -> None:
    params = {name: {"uniform": [0, 1]} for name in "abcdef"}
    sweep = {"params": params, "perm_strategy": "random", "n_models": 20_000}
    sweep["run_settings"] = {"exe": "echo"}
    config = Config.model_validate({"experiment": "exp", "ensembles": {"sweep": sweep}})
    work = Expansion(config, tmp_path).work("sweep")
    save_work(work)
    opened(window, tmp_path, config)
    assert window.run(COUNT) == "20000 of 20000"
    window.run(drag("c", -0.1, 0.25))
    few = int(window.run(COUNT).split()[0])  # told at once
    assert few == pytest.approx(5000, abs=500)
    window.run(drag("f", 0.5, 1.1))
    assert int(window.run(COUNT).split()[0]) == pytest.approx(few / 2, abs=500)
    assert window.wait(INKED % json.dumps("#parallel .lines"))
    assert window.wait("return document.querySelectorAll('#table tbody tr').length == 200")
