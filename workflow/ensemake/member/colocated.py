"""What run.sh is to know of a member's own store: who keeps it, how many threads are left."""

import sys
from collections.abc import Mapping
from pathlib import Path

from ensemake.config.database import Colocated
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Model
from ensemake.member.command import resource
from ensemake.member.needs import THREADS, needed

# Not by PYTHONPATH, which is the member's own.
START = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); " + (
    "from ensemake.store.beside import keep_beside; sys.exit(keep_beside(*sys.argv[1:]))"
)


def keeper_words(own: Colocated) -> list[str]:
    """Return the words that start a store's keeper; a folder for its socket is to follow."""
    return [sys.executable, "-E", "-c", START, own.model_dump_json()]


def threads(entity: Model, values: Mapping[str, Scalar]) -> list[str]:
    """Return the threads that a job thinks it has, those of the member, and who counts them.

    A job's number is of all its CPUs.
    """
    keys = {**values, "attempt": 1}
    both = (
        str(resource(given.get("cpus_per_task", 1), keys))
        for given in (needed(entity), entity.resources)
    )
    return [*both, *THREADS]
