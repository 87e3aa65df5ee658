"""The generate step: what lands in a member's directory, byte for byte."""

import json
import os
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemake.config.schema import Config
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Plan, Work
from ensemake.member.state import state
from ensemake.results.prune import prune

NASTY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=20)

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(path: Path, data: bytes | str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    return path


def work(base: Path, **keys: Any) -> Work:
    entity = {"run_settings": {"exe": "true"}, "params": {"x": [1]}, **keys}
    config = Config.model_validate({"experiment": "e", "ensembles": {"s": entity}})
    return expand_work(config, "s", base)


def made(base: Path, **keys: Any) -> Path:
    """Generate the members of an ensemble and return the directory of the first."""
    ensemble = work(base, **keys)
    for _, plan in ensemble.chunks(ensemble.planned):
        assert generate(plan, base) == []
    return base / ensemble.planned[0].directory


def test_a_directory_is_self_contained(tmp_path: Path) -> None:
    write(tmp_path / "c/in.cfg", "x=;x;\n")
    write(tmp_path / "c/run.py", "pass", mode=0o750)
    write(tmp_path / "c/deck.j2", "{% for i in range(x) %}{{ i }}{% endfor %}\n")
    write(tmp_path / "data/big.bin", b"\0\1")
    files = {
        "to_configure": ["c/in.cfg", "c/deck.j2"],
        "to_copy": ["c/run.py"],
        "to_symlink": ["data/big.bin"],
    }
    folder = made(tmp_path, files=files, params={"x": [3]})
    assert (folder / "in.cfg").read_text() == "x=3\n"
    assert (folder / "deck").read_text() == "012\n"
    assert stat.S_IMODE((folder / "run.py").stat().st_mode) == 0o750
    assert not os.path.isabs(os.readlink(folder / "big.bin"))
    assert (folder / "big.bin").read_bytes() == b"\0\1"
    assert json.loads((folder / "params.json").read_text()) == {"x": 3, "replica": 0}
    assert sorted(path.name for path in folder.iterdir()) == [
        "big.bin", "deck", "in.cfg", "params.json", "run.py", "run.sh",
    ]  # fmt: skip


def test_repeating_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "in.cfg", "x=;x;\n")
    write(tmp_path / "code", "c", mode=0o755)
    keys: dict[str, Any] = {"files": {"to_configure": ["in.cfg"], "to_copy": ["code"]}}
    folder = made(tmp_path, **keys)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    made(tmp_path, **keys)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_directories_keep_their_tree(tmp_path: Path) -> None:
    """As OpenFOAM wants it: what the directory contains, at the root of the member."""
    write(tmp_path / "case/system/controlDict", "endTime ;x;;\n")
    write(tmp_path / "case/0/U.j2", "u {{ x }};\n")
    write(tmp_path / "mesh/constant/points", b"\xff\0")
    files = {"to_configure": ["case"], "to_copy": ["mesh"]}
    folder = made(tmp_path, files=files)
    assert (folder / "system/controlDict").read_text() == "endTime 1;\n"
    assert (folder / "0/U").read_text() == "u 1;\n"
    assert (folder / "constant/points").read_bytes() == b"\xff\0"


def test_mode_and_bytes_outside_the_tags_are_kept(tmp_path: Path) -> None:
    """SmartSim: 755 became 644, CRLF became LF, Latin-1 was refused."""
    write(tmp_path / "run.sh.in", b"caf\xe9 ;x;\r\nno end", mode=0o755)
    folder = made(tmp_path, files={"to_configure": ["run.sh.in"]})
    assert (folder / "run.sh.in").read_bytes() == b"caf\xe9 1\r\nno end"
    assert stat.S_IMODE((folder / "run.sh.in").stat().st_mode) == 0o755


def test_unknown_tags(tmp_path: Path) -> None:
    """SmartSim: one unknown tag overwrote the other tags of its line."""
    write(tmp_path / "in.cfg", "a=;X; b=;x;\n")
    files: dict[str, Any] = {"to_configure": ["in.cfg"], "unknown_tags": "default"}
    assert (made(tmp_path, files=files) / "in.cfg").read_text() == "a=X b=1\n"
    files["unknown_tags"] = "keep"
    assert (made(tmp_path, files=files) / "in.cfg").read_text() == "a=;X; b=1\n"


@pytest.mark.parametrize("tag", ["@", "$", "|", "%%", ["<<", ">>"], ["{", "}"], "\\"])
def test_any_tag(tmp_path: Path, tag: str | list[str]) -> None:
    """SmartSim: `x=@A@ y=@B@` became `x=1`; `$` and `|` broke it."""
    first, last = (tag, tag) if isinstance(tag, str) else tag
    write(tmp_path / "in.cfg", f"x={first}A{last} y={first}B{last}\n")
    files = {"to_configure": ["in.cfg"], "tag": tag}
    folder = made(tmp_path, files=files, params={"A": [1], "B": [2]})
    assert (folder / "in.cfg").read_text() == "x=1 y=2\n"


@pytest.mark.parametrize("value", ["\\1", "C:\\new\\table", ";A;", "\\g<0>", "$(touch x)"])
def test_values_are_text(tmp_path: Path, value: str) -> None:
    """SmartSim: `\\1` and `;A;` looped for ever, `\\t` became a tab."""
    write(tmp_path / "in.cfg", "x = ;A;\n")
    folder = made(tmp_path, files={"to_configure": ["in.cfg"]}, params={"A": [value]})
    assert (folder / "in.cfg").read_text() == f"x = {value}\n"


ARGV = "import json, os, sys; json.dump([sys.argv[1:], os.environ['VALUE']], open('seen', 'w'))"


@SETTINGS
@given(value=NASTY, before=NASTY, after=NASTY)
def test_any_value_arrives_everywhere(tmp_path: Path, value: str, before: str, after: str) -> None:
    """Through a tag, a template, an argument and the environment: unchanged."""
    clean = [text.replace(";", "").replace("{", "").replace("}", "") for text in (before, after)]
    write(tmp_path / "in.cfg", f"{clean[0]};x;{clean[1]}".encode())
    keys = {
        "params": {"x": [value]},
        "files": {"to_configure": ["in.cfg"]},
        "run_settings": {
            "exe": "python3",
            "exe_args": ["-c", ARGV, "{{ x }}"],
            "env_vars": {"VALUE": "{{ x }}"},
        },
        "params_as_args": ["x"],
    }
    folder = made(tmp_path, **keys)
    assert (folder / "in.cfg").read_bytes() == f"{clean[0]}{value}{clean[1]}".encode()
    subprocess.run(["bash", str(folder / "run.sh")], check=True)
    assert json.loads((folder / "seen").read_text()) == [[value, "-x", value], value]
    assert json.loads((folder / "params.json").read_text())["x"] == value


@given(value=LATIN)
@SETTINGS
def test_latin_1_templates(tmp_path: Path, value: str) -> None:
    write(tmp_path / "in.cfg", b"\xe9\r\n;x;\r\n")
    folder = made(tmp_path, files={"to_configure": ["in.cfg"]}, params={"x": [value]})
    assert (folder / "in.cfg").read_bytes() == b"\xe9\r\n" + value.encode("latin-1") + b"\r\n"


def test_arguments_are_words(tmp_path: Path) -> None:
    """SmartSim: `a; touch X` ran touch, blanks split a value."""
    value = "a b; touch X"
    run = {"exe": "python3", "exe_args": ["-c", "import sys; print(sys.argv[1:])"]}
    folder = made(tmp_path, params={"x": [value]}, params_as_args=["x"], run_settings=run)
    subprocess.run(["bash", str(folder / "run.sh")], check=True)
    assert (folder / "run.out").read_text() == f"{['-x', value]}\n"
    assert not (folder / "X").exists()


def test_program_is_found_in_path_member_or_working_directory(tmp_path: Path) -> None:
    write(tmp_path / "bin/solver", "#!/bin/sh\necho top\n", mode=0o755)
    write(tmp_path / "code/tool", "#!/bin/sh\necho mine\n", mode=0o755)
    outs = []
    for exe in ("bin/solver", "./bin/solver", "tool", "./tool"):
        keys = {"files": {"to_copy": ["code/tool"]}, "run_settings": {"exe": exe}}
        folder = made(tmp_path, params={"x": [exe]}, **keys)
        subprocess.run(["bash", str(folder / "run.sh")], check=True)
        outs.append((folder / "run.out").read_text())
    assert outs == ["top\n", "top\n", "mine\n", "mine\n"]


def test_the_project_can_be_moved(tmp_path: Path) -> None:
    write(tmp_path / "here/solver", "#!/bin/sh\necho ok\n", mode=0o755)
    folder = made(tmp_path / "here", run_settings={"exe": "./solver"})
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / folder.relative_to(tmp_path / "here")
    subprocess.run(["bash", str(moved / "run.sh")], check=True)
    assert (moved / "run.out").read_text() == "ok\n"


def run(folder: Path) -> str:
    """Run a member and return what it printed."""
    done = subprocess.run(["bash", str(folder / "run.sh")], check=True, stderr=subprocess.DEVNULL)
    assert done.returncode == 0
    return (folder / "run.out").read_text()


# Goes on from its newest checkpoint, as codes do.
CODE = """\
import glob, os, sys
found = sorted(glob.glob("ck/*"))
n = int(open(found[-1]).read()) if found else 0
os.makedirs("ck", exist_ok=True)
open(f"ck/{len(found)}", "w").write(str(n + int(sys.argv[1])))
print(n, *sorted(os.listdir()))
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def goes_on(step: int, *files: str) -> dict[str, Any]:
    args = ["code.py", str(step)]
    return {"run_settings": {"exe": "python3", "exe_args": args}, "files": {"to_copy": list(files)}}


def test_a_member_starts_in_a_directory_that_its_recipe_describes(tmp_path: Path) -> None:
    write(tmp_path / "code.py", CODE)
    write(tmp_path / "old.in", "")
    write(tmp_path / "new.in", "")
    folder = made(tmp_path, **goes_on(1, "code.py", "old.in"))
    assert run(folder).startswith("0 .lock ck code.py old.in ")
    made(tmp_path, **goes_on(2, "code.py", "new.in"))
    assert run(folder).split() == [
        "0", ".lock", "ck", "code.py", "new.in", "params.json", "previous", "run.err",
        "run.out", "run.sh",
    ]  # fmt: skip
    assert names(folder / "previous/1") == [
        "ck", "code.py", "old.in", "params.json", "run.err", "run.out", "run.sh", "status.json",
    ]  # fmt: skip
    made(tmp_path, **goes_on(3, "code.py"))
    assert run(folder).startswith("0 ")
    assert names(folder / "previous") == ["1", "2"]
    assert (folder / "previous/1/ck/0").read_text() == "1"
    assert (folder / "previous/2/ck/0").read_text() == "2"


def test_a_further_attempt_keeps_what_the_code_left_and_has_its_inputs_fresh(
    tmp_path: Path,
) -> None:
    write(tmp_path / "in.txt", "0\n")
    keys = {"exe": "bash", "exe_args": ["-c", "cat in.txt; echo 1 >>in.txt; ls ck || touch ck"]}
    files = {"to_copy": ["in.txt"]}
    folder = made(tmp_path, run_settings=keys, files=files)
    assert run(folder) == "0\n"
    (folder / "status.json").unlink()
    made(tmp_path, run_settings=keys, files=files)
    assert run(folder) == "0\nck\n"
    assert not (folder / "previous").exists()


@pytest.mark.parametrize("replaced", ["sub", "sub/deep"])
def test_a_folder_of_inputs_that_a_program_made_a_link_is_not_written_through(
    tmp_path: Path, replaced: str
) -> None:
    write(tmp_path / "case" / "sub" / "deep" / "in.txt", "0\n")
    write(tmp_path / "precious" / "in.txt", "mine")
    write(tmp_path / "precious" / "deep" / "in.txt", "mine")
    folder = made(tmp_path, files={"to_copy": ["case"]})
    shutil.rmtree(folder / replaced)
    (folder / replaced).symlink_to(tmp_path / "precious")
    made(tmp_path, files={"to_copy": ["case"]})
    assert (folder / "sub/deep/in.txt").read_text() == "0\n"
    assert {path.read_text() for path in tmp_path.glob("precious/**/in.txt")} == {"mine"}


def test_edited_back_it_is_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "code.py", CODE)
    folder = made(tmp_path, **goes_on(1, "code.py"))
    run(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
    made(tmp_path, **goes_on(2, "code.py"))
    run(folder)
    made(tmp_path, **goes_on(1, "code.py"))
    after = {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
    assert after == {**before, ".lock": b""}
    assert names(folder / "ck") == ["0"]
    assert names(folder / "previous") == ["2"]
    assert state(folder, work(tmp_path, **goes_on(1, "code.py")).planned[0].digest, [])[0] == (
        "completed"
    )


@pytest.mark.parametrize("moves", range(20))
def test_a_move_that_was_killed_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """After any of its renames: nothing is lost, nothing mixed, no success is claimed."""
    write(tmp_path / "code.py", CODE)
    recipes = [goes_on(1, "code.py"), goes_on(2, "code.py")]
    folder = made(tmp_path, **recipes[0])
    run(folder)
    made(tmp_path, **recipes[1])
    run(folder)
    left = moves

    def killed(path: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        os.rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with suppress(KeyboardInterrupt):
            made(tmp_path, **recipes[0])  # puts the second aside, brings the first back
    for recipe, number in ((recipes[1], "2"), (recipes[0], "1")):
        made(tmp_path, **recipe)
        assert run(folder).startswith("0 ")
        assert (folder / "ck/0").read_text() == number
        assert names(folder / "ck") == ["0"]


def test_folders_that_may_not_be_written_and_links_move_too(tmp_path: Path) -> None:
    write(tmp_path / "outside/file", "mine")
    code = "mkdir -p d/e; touch d/e/f; ln -sfn ../../../../outside l; chmod 500 d; echo "
    folder = made(tmp_path, run_settings={"exe": "bash", "exe_args": ["-c", code]})
    run(folder)
    made(tmp_path, run_settings={"exe": "bash", "exe_args": ["-c", "echo 1"]})
    assert (folder / "previous/1/d/e/f").exists()
    assert stat.S_IMODE((folder / "previous/1/d").stat().st_mode) == 0o500
    assert (folder / "previous/1/l").is_symlink()
    assert (tmp_path / "outside/file").read_text() == "mine"
    ensemble = work(tmp_path, run_settings={"exe": "bash", "exe_args": ["-c", "echo 1"]})
    (line,) = prune(ensemble, confirmed=False)
    assert "s/*/previous: older results of 1 member, 0.0 MB" in line
    assert (folder / "previous/1/l").is_symlink()
    assert len(prune(ensemble, confirmed=True)) == 1
    assert not (folder / "previous").exists()
    assert (tmp_path / "outside/file").exists()
    assert prune(ensemble, confirmed=True) == []


def test_a_models_tables_stay(tmp_path: Path) -> None:
    for n in (1, 2):
        model = {"run_settings": {"exe": "touch", "exe_args": [f"made{n}"]}}
        config = Config.model_validate({"experiment": "e", "models": {"m": model}})
        model_work = expand_work(config, "m", tmp_path)
        ((_, plan),) = model_work.chunks(model_work.planned)
        assert generate(plan, tmp_path) == []
        folder = tmp_path / "results/e/m"
        run(folder)
        write(folder / "members.csv", "table")
        write(folder / "plots/a.svg", "plot")
    assert names(folder / "previous/1") == [
        "made1", "params.json", "run.err", "run.out", "run.sh", "status.json",
    ]  # fmt: skip
    assert {"members.csv", "plots", "made2"} <= set(names(folder))


def test_copies_are_told_by_their_content(tmp_path: Path) -> None:
    """As after cp -p, rsync -t or an archive: same size, same time."""
    for text in ("coarse", "finest"):
        source = write(tmp_path / "mesh", text)
        os.utime(source, (1, 1))
        folder = made(tmp_path, files={"to_copy": ["mesh"]})
        assert (folder / "mesh").read_text() == text


@pytest.mark.parametrize("edit", ["in.txt", "x.j2", "gone"])
def test_a_file_that_changes_after_the_look_is_an_error(tmp_path: Path, edit: str) -> None:
    write(tmp_path / "in.txt", "0")
    write(tmp_path / "x.j2", "{{ x }}")
    files = {"to_copy": ["in.txt"], "to_configure": ["x.j2"]}
    ensemble = work(tmp_path, files=files, params={"x": [1, 2]}, derived={"y": "x / 3"})
    ((_, plan),) = ensemble.chunks(ensemble.planned)
    assert generate(plan, tmp_path) == []
    if edit == "gone":
        (tmp_path / "in.txt").unlink()
    else:
        write(tmp_path / edit, "1")
    faults = generate(plan, tmp_path)
    assert len(faults) == 2
    assert "changed since" in faults[0]


def test_a_nul_is_that_members_fault(tmp_path: Path) -> None:
    run = {"exe": "echo", "exe_args": ["{{ 'a' if x == 1 else 'b\\x00' }}"]}
    ensemble = work(tmp_path, params={"x": [1, 2]}, run_settings=run)
    (fault,) = generate(Plan("s", ensemble.settings, ensemble.planned), tmp_path)
    assert ensemble.planned[1].directory in fault
    assert "NUL" in fault


def test_a_member_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path) -> None:
    write(tmp_path / "in.cfg", b"\xe9 ;x;\n")
    ensemble = work(tmp_path, files={"to_configure": ["in.cfg"]}, params={"x": ["é", "Ω"]})
    faults = generate(Plan("s", ensemble.settings, ensemble.planned), tmp_path)
    assert len(faults) == 1
    assert "in.cfg" in faults[0]
    assert (tmp_path / ensemble.planned[0].directory / "run.sh").exists()
