"""The sizes that launchers' options stand for, and their units."""

import pytest

from ensemake.member.launcher_options import megabytes, minutes, vocabulary


def test_sizes() -> None:
    srun = vocabulary("/usr/bin/srun")
    assert [srun.size(name) for name in ("ntasks", "N", "t", "mpi")] == [
        "tasks",
        "nodes",
        "runtime",
        None,
    ]
    assert vocabulary("unknown").size("tasks") == "tasks"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("00:00:10", 1), ("01:30:00", 90), ("1-00:00:00", 1440), ("02:05", 3)],
)
def test_minutes(text: str, expected: int) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5"])
def test_no_time_limit(text: str) -> None:
    with pytest.raises(ValueError, match="HH:MM:SS"):
        minutes(text)


def test_megabytes() -> None:
    assert [megabytes(text) for text in (500, "500M", "2G", "1024K")] == [500, 500, 2048, 1]
    with pytest.raises(ValueError, match="2G"):
        megabytes("much")
