"""SmartSim's names of what a member printed: <name>.out and <name>.err beside run.out, run.err."""

import os
from collections.abc import Iterable
from contextlib import suppress

from ensemake.member.layout import MOST
from ensemake.member.plan import Work


def link_output(works: Iterable[Work]) -> None:
    """Make the links for members that have run; what a program left under such a name stays."""
    for work in works:
        for member in work.planned if len(work.planned) <= MOST else ():
            name = work.entity if work.layout.is_model else member.name
            _link_both(f"{work.base / member.directory}", name)


def _link_both(directory: str, name: str) -> None:
    for kind in ("out", "err"):
        link = f"{directory}/{name}.{kind}"
        if os.path.exists(f"{directory}/run.{kind}") and not os.path.lexists(link):
            with suppress(
                OSError
            ):  # a folder that may not be written, or another process was first
                os.symlink(f"run.{kind}", link)
