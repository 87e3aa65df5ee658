"""What run.sh is to know of a member's own store: who keeps it, how many threads are left."""

import sys
from collections.abc import Mapping
from pathlib import Path

from ensemake.config.database import GATE, Colocated
from ensemake.config.scalars import Scalar
from ensemake.config.schema import Model
from ensemake.member.command import resource
from ensemake.member.needs import THREADS, needed

# Not by PYTHONPATH, which is the member's own.
START = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); "
KEEP = START + "from ensemake.store.beside import main; sys.exit(main(*sys.argv[1:]))"
FOUND_BY = ("ENSEMAKE_STORE", "SSDB", "SR_DB_TYPE", "SSKEYOUT", "SSKEYIN")
VOUCH = START + "from ensemake.store.voucher import main; sys.exit(main(sys.argv[1:]))"


def keeper_words(own: Colocated) -> list[str]:
    """Return the words that start a store's keeper.

    A folder for its socket is to follow, and a word if the member has other nodes too.
    """
    return [sys.executable, "-E", "-c", KEEP, own.model_dump_json()]


def voucher_words() -> list[str]:
    """Return the words before a program that may run on other nodes than its store."""
    return [sys.executable, "-E", "-c", VOUCH]


def told_names(entity: Model) -> list[str]:
    """Return the names of the variables by which programs find stores."""
    own = [*FOUND_BY, GATE] if entity.colocated_db else []
    suffixes = [f"_{name}" if entity.has_named_stores else "" for name in entity.stores]
    return [*own, *(f"{name}{suffix}" for suffix in suffixes for name in FOUND_BY)]


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
