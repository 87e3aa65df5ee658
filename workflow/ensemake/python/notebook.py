"""What a notebook shows: small HTML tables, and one that follows a run."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape

from tabulate import tabulate  # type: ignore[import-untyped]

from ensemake.config.faults import printable
from ensemake.python.statuses import Status
from ensemake.sweep.members import Member

Counts = Mapping[str, Counter[Status]]
SHOWN = 20  # members in a table before "and N more"
INTERVAL_S = 1.0
LONGEST_CELL = 100  # characters
COLUMNS = (
    Status.STATUS_COMPLETED,
    Status.STATUS_RUNNING,
    Status.STATUS_QUEUED,
    Status.STATUS_FAILED,
    Status.STATUS_CANCELLED,
)


def is_notebook() -> bool:
    """Tell whether this is a kernel with a page to show HTML on."""
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def watch(process: "subprocess.Popen[bytes]", counts: Callable[[], Counts]) -> None:
    """Show a table that follows a run until it ends."""
    from IPython.display import HTML, display

    shown = display(HTML(counts_table("starting", counts())), display_id=True)
    while process.poll() is None:
        try:
            process.wait(INTERVAL_S)
        except subprocess.TimeoutExpired:
            shown.update(HTML(counts_table("running", counts())))
    shown.update(HTML(counts_table("ended", counts())))


def counts_table(caption: str, counts: Counts) -> str:
    """Return a table of how many members of each entity have which status."""
    head = ["", *(str(status).lower() for status in COLUMNS), "members"]
    rows = [
        [name, *(str(found[status] or "") for status in COLUMNS), str(found.total())]
        for name, found in counts.items()
    ]
    return html_table(caption, head, rows)


def members_table(name: str, members: Sequence[Member]) -> str:
    """Return a table of an ensemble's members and their parameters."""
    some = [members[i] for i in range(min(len(members), SHOWN))]
    names = list(some[0].values) if some else []
    rows = [[member.name, *(_cell(member.values[name]) for name in names)] for member in some]
    more = f", the first {SHOWN}" if len(members) > SHOWN else ""
    return html_table(f"{name}: {len(members)} members{more}", ["member", *names], rows)


def _cell(value: object) -> str:
    return printable(str(value), LONGEST_CELL)


def html_table(caption: str, head: list[str], rows: list[list[str]]) -> str:
    """Return a table as HTML; all text is taken literally."""
    whole = str(tabulate(rows, head, tablefmt="html", disable_numparse=True))
    whole = re.sub(" +</t", "</t", whole)  # it pads cells as in a text
    return whole.replace("<table>", f"<table><caption>{escape(caption)}</caption>", 1)
