"""A first project, and links to the profiles in the user's Snakemake folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from ensemake.atomic import write_atomically
from ensemake.paths import share

TEMPLATE = Path(__file__).with_name("template")


def make_project(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the files of a new project; those that are there are kept.

    Yields
    ------
    done, path
        ``made`` or ``kept``, and the file.
    """
    for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
        path = folder / source.relative_to(TEMPLATE)
        if os.path.lexists(path):
            yield "kept", path
        else:
            write_atomically(path, source.read_bytes())
            yield "made", path


def link_profiles() -> Iterator[tuple[Path, Path | None]]:
    """Link the profiles into the user's Snakemake folder: ``--profile slurm`` works anywhere.

    Yields
    ------
    link, profile
        Where it leads; None if something else of this name is there, which is left alone.
    """
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "snakemake"
    folder.mkdir(parents=True, exist_ok=True)
    for profile in sorted(
        path.parent.resolve() for path in (share() / "profiles").glob("*/config.yaml")
    ):
        link = folder / profile.name
        if os.path.lexists(link) and not _is_ours(link):
            yield link, None
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(profile)
        yield link, profile


def _is_ours(link: Path) -> bool:
    """Tell whether a link leads to a copy of ensemake, or nowhere."""
    beside = link.resolve().parent.parent / "workflow" / "Snakefile"
    return link.is_symlink() and (beside.exists() or not link.exists())
