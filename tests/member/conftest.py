"""What the tests of this room share."""

from pathlib import Path

import pytest

from .by_hand import Member


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)
