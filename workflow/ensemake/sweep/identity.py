"""Names that do not change: the member id and the recipe digest.

Both are pure functions of data and have golden tests. A change here would make every finished
member of every user run again: raise `VERSION` and say so in the changelog, or leave it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

VERSION = 1
_AS_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and no blanks; 1, 1.0, "1" and true stay different."""
    return _AS_JSON.encode(value)


def member_id(params: Mapping[str, Any], replica: int = 0) -> str:
    """Return the first 12 hex digits of SHA-256 over the parameters, and the replica if not 0.

    Parameters
    ----------
    params
        The member's parameters without derived ones; their order does not matter.
    replica
        Counts from 0.
    """
    identity = [params, replica] if replica else params
    return hashlib.sha256(canonical(identity).encode()).hexdigest()[:12]


def recipe_digest(recipe: str, values: Mapping[str, Any]) -> str:
    """Return the digest of all that decides what a member computes.

    Parameters
    ----------
    recipe
        What the members of an ensemble share, as canonical JSON or a hash of it.
    values
        The member's parameters and its replica.
    """
    text = canonical([VERSION, recipe, values])
    return f"{VERSION}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
