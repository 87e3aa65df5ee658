"""Directories of members that the config no longer describes: listed, deleted when confirmed."""

import shutil
from contextlib import suppress

from ensemake.member.plan import Work
from ensemake.results.outcomes import leftovers


def prune(work: Work, confirmed: bool) -> list[str]:
    """List, or delete, an entity's leftover member directories.

    Parameters
    ----------
    work
        The entity's members as the config describes them now.
    confirmed
        Whether to delete. Only directories that hold a run.sh are ever considered.

    Returns
    -------
    list of str
        What was found or done, for people.
    """
    found = leftovers(work)
    for path in found if confirmed else []:
        shutil.rmtree(path)
        place = work.layout.place(path.name, str(path.relative_to(work.base)))
        work.layout.done(place).unlink(missing_ok=True)
        if path.parent != work.base / work.layout.directory:
            with suppress(OSError):  # a sub-folder that still holds others
                path.parent.rmdir()
    verb = "deleted" if confirmed else "would delete"
    return [f"{verb} {path}" for path in found]


def prune_advice(count: int, confirmed: bool) -> str:
    """Say what was done with so many leftover directories, or how to delete them."""
    if not count:
        return "Nothing to prune: every member directory belongs to the config."
    if confirmed:
        return f"{count} deleted."
    how = "ensemake prune --yes, or the target prune with --config confirm=prune"
    return f"{count} not in the config; nothing was deleted. To delete: {how}"
