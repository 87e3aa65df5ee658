"""Where the workflow's files lie: in a clone, or in an installed copy of the package."""

from pathlib import Path

PACKAGE = Path(__file__).parent
DEFAULT_CONFIG = "config/config.yaml"  # of a project's folder


def share() -> Path:
    """Return the folder that holds ``workflow/Snakefile``, ``profiles``, ``rules``, ``scripts``."""
    installed = PACKAGE / "share"
    return installed if installed.is_dir() else PACKAGE.parent.parent


def snakefile() -> str:
    """Return the path of the workflow, for ``include: snakefile()`` or a module."""
    return str(share() / "workflow" / "Snakefile")
