"""Actions that are tried: what they raise is a fault, at its key."""

import re
from collections.abc import Callable, Iterator

from ensemake.config.faults import KeyPath, Problem
from ensemake.config.schema import Model


def attempt(path: KeyPath, action: Callable[[], object]) -> Iterator[Problem]:
    """Try an action; yield its fault, if it has one."""
    try:
        action()
    except (ValueError, OSError) as error:
        yield getattr(error, "path", path), "; ".join(str(error).split("\n"))


def attempt_params(entity: Model, path: KeyPath, action: Callable[[], object]) -> Iterator[Problem]:
    """As `attempt`; a message that begins with a parameter is put at that parameter."""
    for found, message in attempt(path, action):
        yield _placed(entity, message) or (found, message)


def _placed(entity: Model, message: str) -> Problem | None:
    for key, spec in entity.params.items():
        begins = "|".join(re.escape(name.strip()) for name in (key, *key.split(",")))
        begin = re.match(rf"(?:{begins})(?:\[(\d+)\])?: ", message)
        if begin:
            item = (int(begin[1]),) if begin[1] and isinstance(spec, list) else ()
            return ("params", key, *item), message[begin.end() :]
    return None
