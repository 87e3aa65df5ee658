"""Links with names to read."""

import os
from pathlib import Path

import pytest

from ensemake.errors import WrongValueError
from ensemake.results.view import make_view

from ..show.test_preview import work
from .test_outcomes import ended


def test_links_lead_to_members(tmp_path: Path) -> None:
    params = {"T": [300, 310], "name": ["a/b", "x" * 300], "constant": 1}
    sweep = work(tmp_path, params=params, derived={"twice": "2 * T"})
    for member in sweep.planned[:-1]:  # the last has not been generated
        ended(tmp_path, member)
    view = tmp_path / "view"
    assert list(make_view([sweep], view)) == [("sweep", 3)]
    link = view / "sweep/T=300/name=a%2Fb"
    first = (tmp_path / sweep.planned[0].directory).resolve()
    assert link.resolve() == first
    assert not os.path.isabs(link.readlink())  # so that both can be moved together
    ended(tmp_path, sweep.planned[-1])
    assert list(make_view([sweep], view)) == [("sweep", 4)]
    assert len(list((view / "sweep").glob("T=*/*"))) == 4


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    sweep = work(tmp_path, params={"x": [1]})
    (tmp_path / "notes.txt").touch()
    with pytest.raises(WrongValueError, match="is no view"):
        list(make_view([sweep], tmp_path))
    assert (tmp_path / "notes.txt").exists()
