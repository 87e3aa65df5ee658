"""Values of anywhere are shown as text: none of them moves the cursor or fakes a line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemake.check.config import check_config
from ensemake.config.faults import ConfigError, printable
from ensemake.config.schema import Config
from ensemake.config.yamlfile import Document
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Plan
from ensemake.python.notebook import members_table
from ensemake.results.outcomes import status_lines
from ensemake.show.preview import preview_lines
from ensemake.sweep.members import expand

NASTY = "\x1b[2Jboo\n  all 9 completed\r\u202e"
SHOWN = r"\x1b[2Jboo\n  all 9 completed\r\u202e"


@given(st.text())
def test_one_line_that_can_be_printed(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text, 10**6) == text or not text.isprintable()


def test_what_is_very_long_is_cut() -> None:
    assert printable("x" * 10**6).endswith("x... (1,000,000 characters)")


def config(**keys: Any) -> Config:
    run = {"exe": "false"}
    settings = {"params": {"x": [NASTY, "b"], "y": [NASTY]}, "run_settings": run, **keys}
    data = {"experiment": "exp", "ensembles": {"sweep": settings}}
    return check_config(Document("config.yaml", data))


def test_preview_status_and_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    work = expand_work(config(), "sweep")
    assert generate(Plan("sweep", work.settings, work.planned), Path()) == []
    directory = Path(work.planned[0].directory)
    text = '{"status": "failed", "exit_code": 1, "digest": "x", "reason": "a\\u001b[2J\\nb"}'
    (directory / "status.json").write_text(text)
    lines = [*preview_lines(work), *status_lines(work)]
    assert all(line.isprintable() for line in lines)
    assert any(SHOWN in line for line in preview_lines(work))
    assert any(SHOWN in line for line in status_lines(work))
    with pytest.raises(ConfigError) as caught:
        config(naming="x\x1b[2J")
    assert str(caught.value).replace("\n", "").isprintable()


def test_notebook() -> None:
    table = members_table("sweep", expand("sweep", config().ensembles["sweep"], Path()))
    assert r"\x1b[2Jboo\n" in table
    assert "\x1b" not in table
