"""Job names that the next run can work out again, and fingerprints of what a job does.

A queue keeps little of a job but its name, so the name is how a new main process recognises the
jobs that an earlier one left there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

# qsub refuses names of more than 230 characters; files are called by the name too.
READABLE = 180
DIGEST = 16


def digest(parts: Iterable[object]) -> str:
    """Return a short hash of `parts`, equal on every machine."""
    text = json.dumps([str(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST]


def sanitised(text: str) -> str:
    """Return `text` with every character that a workload manager may refuse replaced by ``_``."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text).lstrip("-.+") or "job"


def job_name(readable: str, identity: Iterable[object]) -> str:
    """Return a legal job name: a readable part and a hash of `identity`.

    Parameters
    ----------
    readable
        What a person wants to see in the queue (rule and wildcards); shortened and sanitised.
    identity
        What makes the job this job and no other: working directory, rule, output files.
    """
    return f"{sanitised(readable)[:READABLE]}-{digest(identity)}"


def is_ours(name: str) -> bool:
    """Tell whether `name` has the form that `job_name` gives."""
    return re.search(rf"-[0-9a-f]{{{DIGEST}}}$", name) is not None
