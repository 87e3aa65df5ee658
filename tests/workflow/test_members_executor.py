"""A member that our executor starts has what Snakemake's own would give it."""

import json

import pytest

from ..conftest import Project

pytestmark = pytest.mark.workflow

TELL = """\
#!/usr/bin/env python3
import json, os, signal, sys
fds = [fd for fd in range(3, 30) if os.path.exists(f"/proc/self/fd/{fd}")]
blocked = signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
told = {"environ": dict(os.environ), "fds": len(fds), "umask": os.umask(0), "blocked": blocked}
told["where"], told["in"] = os.getcwd(), os.readlink("/proc/self/fd/0")
json.dump(told, open("told.json", "w"))
sys.exit(int(sys.argv[1]))
"""
OWN = ("ENSEMAKE_RUN", "SHLVL", "_")  # another in each run, or of each shell


def told(project: Project, executor: str) -> dict[str, object]:
    project.config["results"] = executor
    done = project.run("--executor", executor)
    assert [row["status"] for row in project.table()] == ["completed", "failed"], done.stderr
    (path,) = (project.member(x=x) / "told.json" for x in [0])
    found = json.loads(path.read_text())
    for name in OWN:
        found["environ"].pop(name, None)
    return dict(found)


def test_it_is_as_with_snakemakes_own(project: Project) -> None:
    project.write("tell.py", TELL, mode=0o755)
    project.ensemble(
        params={"x": [0, 3]},
        run_settings={"exe": "./tell.py", "exe_args": ["{{ x }}"], "env_vars": {"OWN": "a b"}},
        resources={"cpus_per_task": 2, "runtime": 5},
        outputs=["told.json"],
    )
    own, snakemakes = (told(project, name) for name in ("members", "local"))
    text = json.dumps(own).replace(str(project.folder / "members"), str(project.folder / "local"))
    assert json.loads(text) == snakemakes
    assert own["environ"]["OMP_NUM_THREADS"] == "2"  # type: ignore[index]
    logs = [log.read_text() for log in (project.folder / "members").rglob("logs/????????????.log")]
    assert any("exit code 3" in text for text in logs)
