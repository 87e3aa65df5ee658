"""Files of a member: links, empty folders, patterns, parameters; what cannot be used is a fault."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ensemake.check.config import check_config
from ensemake.config.faults import ConfigError
from ensemake.config.schema import Config
from ensemake.config.yamlfile import Document
from ensemake.member.expansion import expand_work
from ensemake.member.generate import generate
from ensemake.member.plan import Plan, Work


def config(**keys: Any) -> Config:
    settings = {"params": {"m": [1, 2]}, "run_settings": {"exe": "true"}, **keys}
    data = {"experiment": "exp", "ensembles": {"sweep": settings}}
    return check_config(Document("config.yaml", data))


def work(**files: Any) -> Work:
    return expand_work(config(files=files), "sweep")


def written(**files: Any) -> list[Path]:
    made = work(**files)
    assert generate(Plan("sweep", made.settings, made.planned), Path()) == []
    return [Path(member.directory) for member in made.planned]


def digests(**files: Any) -> list[str]:
    return [member.digest for member in work(**files).planned]


def faults(**keys: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        expand_work(config(**keys), "sweep")
    return str(caught.value)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("case/sub").mkdir(parents=True)
    Path("case/sub/a.txt").write_text("a")
    Path("mesh").mkdir()
    for name in "12":
        Path(f"mesh/{name}.msh").write_text(f"mesh {name}")
    return tmp_path


def test_a_link_to_a_folder_of_the_copied_one_stays_and_what_others_point_to_is_copied() -> None:
    Path("case/file").symlink_to("sub/a.txt")
    Path("case/absolute").symlink_to(Path("case/sub").absolute())
    Path("case/sub/mesh").symlink_to("../../mesh")
    Path("case/0/empty").mkdir(parents=True)
    first, _ = written(to_copy=["case"])
    assert not (first / "file").is_symlink()
    assert (first / "file").read_bytes() == Path("case/sub/a.txt").read_bytes()
    assert os.readlink(first / "absolute") == "sub"
    assert not (first / "sub/mesh").is_symlink()
    assert (first / "sub/mesh/1.msh").read_text() == "mesh 1"
    assert (first / "0/empty").is_dir()


def test_a_link_to_a_file_counts_as_the_file_as_it_always_did() -> None:
    Path("case/copy").write_bytes(Path("case/sub/a.txt").read_bytes())
    real = digests(to_copy=["case"])
    Path("case/copy").unlink()
    Path("case/copy").symlink_to("sub/a.txt")
    assert digests(to_copy=["case"]) == real


def test_links_and_empty_folders_are_part_of_the_recipe() -> None:
    found = [digests(to_copy=["case"])]
    Path("case/empty").mkdir()
    found.append(digests(to_copy=["case"]))
    Path("case/link").symlink_to("sub/a.txt")
    found.append(digests(to_copy=["case"]))
    Path("case/link").unlink()
    Path("case/link").symlink_to("sub")
    found.append(digests(to_copy=["case"]))
    assert len({first for first, _ in found}) == 4


def test_what_is_no_file_is_a_fault_and_does_not_hang() -> None:
    os.mkfifo("case/pipe")
    assert "files.to_copy[0]: case/pipe is no file with content" in faults(
        files={"to_copy": ["case"]}
    )
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
        assert "socket is no file" in faults(files={"to_configure": ["socket"]})
    assert "/dev/zero is no file" in faults(files={"to_copy": ["/dev/zero"]})


@pytest.mark.parametrize(
    ("link", "words"),
    [("nowhere", "leads nowhere: to nowhere"), ("..", "holds the results"), ("round", "nowhere")],
)
def test_a_link_that_cannot_be_followed_is_a_fault(link: str, words: str) -> None:
    Path("case/round").symlink_to("../" if link == ".." else link)
    assert words in faults(files={"to_copy": ["case"]})


def test_a_circle_of_links_is_a_fault() -> None:
    Path("mesh/back").symlink_to("../mesh")
    Path("case/mesh").symlink_to("../mesh")
    assert "leads round in a circle" in faults(files={"to_copy": ["case"]})


@pytest.mark.parametrize("name", [".", "results", "..", "results/exp/other"])
def test_results_are_not_copied_into_members(name: str) -> None:
    Path("results/exp/other").mkdir(parents=True)
    assert "files.to_copy[0]" in faults(files={"to_copy": [name]})


def test_results_of_another_experiment_can_be_copied() -> None:
    Path("results/before").mkdir(parents=True)
    Path("results/before/restart").write_text("r")
    assert (written(to_copy=["results/before"])[0] / "restart").read_text() == "r"


@pytest.mark.parametrize("name", ["..", ".", "/"])
def test_a_link_needs_a_name(name: str) -> None:
    assert "files.to_symlink[0]" in faults(files={"to_symlink": [name]})


def test_a_file_cannot_lie_in_a_file() -> None:
    Path("other/sub").mkdir(parents=True)
    Path("sub").write_text("a file")
    assert "'sub/a.txt' cannot lie in 'sub'" in faults(files={"to_copy": ["sub", "case"]})


def test_patterns_take_all_that_fit_in_order() -> None:
    first, second = written(to_copy=["mesh/*.msh"], to_symlink=["cas?"])
    assert sorted(os.listdir(first)) == ["1.msh", "2.msh", "case", "params.json", "run.sh"]
    assert (second / "case/sub/a.txt").read_text() == "a"
    assert "no file fits 'mesh/*.vtk'" in faults(files={"to_copy": ["mesh/*.vtk"]})


def test_a_name_that_looks_like_a_pattern_is_a_name_if_it_is_there() -> None:
    Path("a[1].txt").write_text("one")
    assert (written(to_copy=["a[1].txt"])[0] / "a[1].txt").read_text() == "one"


def test_each_member_gets_its_own_file() -> None:
    Path("in_1.cfg").write_text("m = ;m;")
    Path("in_2.cfg").write_text("M = ;m;")
    first, second = written(
        to_copy=["mesh/{{ m }}.msh"], to_symlink=["case"], to_configure=["in_{{ m }}.cfg"]
    )
    assert (first / "1.msh").read_text() == "mesh 1"
    assert not (first / "2.msh").exists()
    assert (second / "in_2.cfg").read_text() == "M = 2"


def test_only_the_member_whose_file_changed_runs_again() -> None:
    before = digests(to_copy=["mesh/{{ m }}.msh"])
    Path("mesh/2.msh").write_text("finer")
    after = digests(to_copy=["mesh/{{ m }}.msh"])
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_the_file_of_one_member_is_missing() -> None:
    Path("mesh/2.msh").unlink()
    told = faults(files={"to_copy": ["mesh/{{ m }}.msh"]})
    assert "files.to_copy[0]: there is no 'mesh/2.msh'" in told
    assert "m=2" in told
    assert "'k' is no parameter" in faults(files={"to_copy": ["mesh/{{ k }}.msh"]})


def test_home_and_variables_in_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "mesh"))
    monkeypatch.setenv("DATA", str(folder / "case"))
    first, _ = written(to_copy=["~/1.msh"], to_symlink=["$DATA"])
    assert (first / "1.msh").read_text() == "mesh 1"
    assert (first / "case/sub/a.txt").read_text() == "a"
    monkeypatch.delenv("DATA")
    assert "$DATA stands for nothing" in faults(files={"to_copy": ["$DATA/sub"]})


def test_a_program_is_found_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    Path("code").write_text("#!/bin/sh\necho ran >ran.txt\n")
    Path("code").chmod(0o755)
    made = expand_work(config(run_settings={"exe": "~/code"}), "sweep")
    generate(Plan("sweep", made.settings, made.planned), Path())
    subprocess.run(["bash", f"{made.planned[0].directory}/run.sh"], check=True)
    assert Path(made.planned[0].directory, "ran.txt").exists()
    assert "run_settings.exe" in faults(run_settings={"exe": "~/other"})


@pytest.mark.parametrize("text", ["echo >out_{{ m }}.nc", "echo >out_x.nc"])
def test_outputs_with_parameters_and_patterns(text: str) -> None:
    run = {"exe": "sh", "exe_args": ["-c", text]}
    outputs = ["out_{{ m }}.nc" if "m" in text else "*.nc"]
    made = expand_work(config(run_settings=run, outputs=outputs), "sweep")
    generate(Plan("sweep", made.settings, made.planned), Path())
    first = Path(made.planned[0].directory)
    subprocess.run(["bash", f"{first}/run.sh"], check=True)
    assert len(made.pending()) == 1
    for path in first.glob("*.nc"):
        path.unlink()
    assert len(made.pending()) == 2
    assert "'k' is no parameter" in faults(outputs=["{{ k }}.nc"])


@pytest.mark.parametrize(
    ("value", "words"),
    [("results.csv", "ensemake's own"), ("x" * 300, "300 characters"), ("ab" * 20, "repeats")],
)
def test_names_of_members_that_cannot_be(value: str, words: str) -> None:
    assert words in faults(params={"case": ["alpha", value]}, naming="case")


@pytest.mark.parametrize("name", ["config.json", "overview.html", "runs"])
def test_names_of_entities_that_are_ours(name: str) -> None:
    data = {"experiment": "e", "models": {name: {"run_settings": {"exe": "true"}}}}
    with pytest.raises(ConfigError, match="name of ensemake's own"):
        check_config(Document("config.yaml", data))


@pytest.mark.parametrize("results", ["r{a}", "r\x1b", "$NOBODY_SET/r", "~nobody_known/r"])
def test_results_that_no_folder_can_be(results: str) -> None:
    data = {"experiment": "e", "models": {"m": {"run_settings": {"exe": "true"}}}}
    with pytest.raises(ConfigError, match="results: "):
        check_config(Document("config.yaml", {**data, "results": results}))


def test_outputs_are_no_options() -> None:
    assert "outputs[0]: must not begin with -" in faults(outputs=["-x"])


def test_results_may_be_a_link_elsewhere(folder: Path) -> None:
    (folder / "deep/down/scratch").mkdir(parents=True)
    Path("results").symlink_to("deep/down/scratch")
    first, _ = written(to_symlink=["mesh/1.msh"])
    assert (first / "1.msh").read_text() == "mesh 1"


def test_a_folder_of_too_many_files_and_a_template_that_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ensemake.member.files.MOST_FILES", 3)
    assert "holds more than 3 files" not in str(written(to_copy=["mesh"]))
    Path("mesh/3.msh").touch()
    Path("mesh/4.msh").touch()
    assert "holds more than 3 files" in faults(files={"to_copy": ["mesh"]})
    monkeypatch.setattr("ensemake.member.files.LARGEST_TEMPLATE", 3)
    assert "too large to be configured" in faults(files={"to_configure": ["mesh/1.msh"]})
