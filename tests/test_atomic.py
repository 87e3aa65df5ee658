"""Files that are written whole, and what writers leave that were killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ensemake.atomic import clear_dead, replacing, write_atomically

WRITER = """
import sys, time
from pathlib import Path
from ensemake.atomic import replacing
with replacing(Path("table.csv")) as (temporary, descriptor):
    print(temporary, flush=True)
    sys.stdin.read()
"""


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".ensemake-*.tmp")]


def test_what_the_dead_left_is_cleared_and_what_the_living_write_is_not(tmp_path: Path) -> None:
    mine = tmp_path / ".0123456789ab.tmp"  # a program's
    mine.touch()
    command = [sys.executable, "-c", WRITER]
    killed, living = (
        subprocess.Popen(
            command, cwd=tmp_path, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    )
    assert killed.stdout
    assert living.stdout
    names = [pipe.readline().strip() for pipe in (killed.stdout, living.stdout)]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (tmp_path / ".ensemake-0123456789ab.tmp").symlink_to("nowhere")
    clear_dead(tmp_path)
    assert temporaries(tmp_path) == names[1:]
    living.communicate("")
    assert living.returncode == 0
    assert sorted(os.listdir(tmp_path)) == [mine.name, "table.csv"]
    clear_dead(tmp_path / "not there")


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    with pytest.raises(OSError, match="table"):
        write_atomically(tmp_path / "table", b"x")
    assert os.listdir(tmp_path) == ["table"]


def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as told, replacing(tmp_path / "table"):
        os.write(full, b"x")
    os.close(full)
    assert told.value.filename == str(tmp_path / "table")


CLEARER = """\
import sys
from pathlib import Path
from ensemake.atomic import clear_dead
print(flush=True)
while not Path("end").exists():
    clear_dead(Path())
"""


def test_who_begins_to_write_is_not_taken_for_dead(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CLEARER]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as clearer:
        assert clearer.stdout
        clearer.stdout.readline()
        try:
            for number in range(3000):
                write_atomically(tmp_path / "table", str(number).encode())
        finally:
            (tmp_path / "end").touch()
    assert sorted(os.listdir(tmp_path)) == ["end", "table"]
