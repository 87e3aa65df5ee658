"""Where the workflow's files lie, in a clone or an installed copy; what people write for paths."""

import os
import re
from pathlib import Path

PACKAGE = Path(__file__).parent
DEFAULT_CONFIG = "config/config.yaml"  # of a project's folder
VARIABLES = re.compile(r"\$(?:\w+|\{\w+\})", re.ASCII)


def share() -> Path:
    """Return the folder that holds ``workflow/Snakefile``, ``profiles``, ``rules``, ``scripts``."""
    installed = PACKAGE / "share"
    return installed if installed.is_dir() else PACKAGE.parent.parent


def snakefile() -> str:
    """Return the path of the workflow, for ``include: snakefile()`` or a module."""
    return str(share() / "workflow" / "Snakefile")


def expanded_path(text: str) -> str:
    """Return a path as a shell would read it: ``~`` and ``$VARIABLE`` for what they stand for."""
    return os.path.expanduser(os.path.expandvars(text))


def left_in_path(text: str) -> str | None:
    """Return what of a path stands for nothing here: an unset variable, somebody unknown."""
    path = expanded_path(text)
    found = VARIABLES.search(path)
    return path.split("/")[0] if path.startswith("~") else found and found[0]
