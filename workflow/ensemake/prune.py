"""Directories of members that the config no longer describes: listed, deleted when confirmed."""

import shutil

from ensemake.overview import leftovers
from ensemake.plan import Work


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
        work.layout.done(path.name).unlink(missing_ok=True)
    verb = "deleted" if confirmed else "would delete"
    return [f"{verb} {path}" for path in found]
