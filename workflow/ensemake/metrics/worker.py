"""Calls functions of the user's for metrics, one member after another, in a process of its own.

Reads lines of JSON from standard input, and answers each on the descriptor that it is given. What
a function prints goes where that of ensemake goes, and what it reads is empty.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ensemake.sweep.strategies import load_function

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer until nothing is asked any more."""
    _end_with(int(sys.argv[2]))
    answers = os.fdopen(int(sys.argv[1]), "w")
    asked = os.fdopen(os.dup(0), "r")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    known: dict[str, Callable[..., Any]] = {}
    for line in asked:
        print(json.dumps(_answer(known, **json.loads(line))), file=answers, flush=True)


def _end_with(parent: int) -> None:
    """Be killed when the process that asks has ended, however that was: a function may hang."""
    with suppress(OSError, AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit


def _answer(
    known: dict[str, Callable[..., Any]], function: str, directory: str, values: dict[str, Any]
) -> dict[str, Any]:
    try:
        if function not in known:
            known[function] = load_function(function, Path())
        return {"value": _plain(known[function](Path(directory), values))}
    except (Exception, SystemExit) as error:
        return {"fault": f"{type(error).__name__}: {error}"}


def _plain(value: Any) -> str | int | float | bool:
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # NumPy's
        value = value.item()
    if not isinstance(value, str | int | float | bool):
        raise TypeError(f"returned a {type(value).__name__}, not a number or a text")
    return value


if __name__ == "__main__":
    main()
