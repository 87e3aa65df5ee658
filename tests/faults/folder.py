"""A trial's folder: a small experiment whose members keep a ledger of their own, outside results.

The ledger is the evidence: a line is appended when a member's command starts, when it is there
twice at once, and when it has done its work. What ensemake says is compared with it.
"""

import csv
import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ensemake.config.database import Database
from ensemake.store.resp import Client
from ensemake.store.store import Folders, Store

MEMBERS = 8
FAILS, FORGETS = 2, 5  # the members that fail the first time that they come to their end
TABLE = "results/faults/{}/results.csv"

# Builtins, but for sleep: what is measured are the moments between its steps.
MEMBER = f"""\
#!/bin/bash
top=../../../..
name=${{PWD##*/}}
tell() {{ echo "$1 $name $EPOCHREALTIME" >>$top/ledger; }}
tell started
if [ -e $top/pids/$name ] && read -r pid <$top/pids/$name && [ /proc/$pid/cwd -ef . ]; then
  tell twice
fi
echo $$ >$top/pids/$name
put() {{  # into the store, if there is one; of several servers into that which takes it
  local rest=${{ENSEMAKE_STORE#redis://:}} word place answer=
  word=${{rest%%@*}} rest=${{rest#*@}}
  if [ "$SR_DB_TYPE" = Clustered ]; then rest=$SSDB; fi
  for place in ${{rest//,/ }}; do
    place=${{place%/0}}
    exec 3<>/dev/tcp/${{place%:*}}/${{place#*:}} || exit 4
    printf 'AUTH %s\\r\\nSET %s 1\\r\\n' "$word" "$name" >&3
    read -r -u 3 && read -r -u 3 answer
    exec 3>&-
    [[ $answer = +OK* ]] && return
  done
  exit 4
}}
rm -f out.json
for i in 1 2 3; do sleep 0.$((1 + $1 % 3)); done
if [ ! -e $top/gentle ] && [ ! -e $top/pids/$name.failed ]; then
  case $1 in
    {FAILS}) echo >$top/pids/$name.failed; exit 3 ;;
    {FORGETS}) echo >$top/pids/$name.failed; exit 0 ;;
  esac
fi
if [ -n "$ENSEMAKE_STORE" ]; then put; fi
echo '{{"value": '$(($1 * $1 + 7))'}}' >out.json
tell finished
"""
CONFIG = f"""\
experiment: faults
ensembles:
  sweep:
    params: {{x: {{range: [0, {MEMBERS}]}}}}
    run_settings: {{exe: ./member.sh, exe_args: ["{{{{ x }}}}"]}}
    outputs: [out.json]
    metrics: {{value: {{file: out.json, key: value}}}}
"""
STAGES = {"then": MEMBERS, "gathered": 1}


@dataclass(frozen=True)
class Line:
    """A line of the ledger."""

    what: str
    member: str
    time: float


class Folder:
    """The folder of one trial, and what can be seen in it."""

    def __init__(self, path: Path, extra: str, is_gentle: bool) -> None:
        self.path = path
        self.completed: dict[str, float] = {}  # member -> when it was first seen to be recorded
        (path / "config").mkdir(parents=True)
        (path / "pids").mkdir()
        (path / "config" / "config.yaml").write_text(CONFIG + extra)
        self.sizes = {"sweep": MEMBERS, **{k: n for k, n in STAGES.items() if f"  {k}:" in extra}}
        self.store = "database: store" in extra
        (path / "member.sh").write_text(MEMBER)
        (path / "member.sh").chmod(0o755)
        (path / "ledger").touch()
        if is_gentle:
            (path / "gentle").touch()

    def ledger(self) -> list[Line]:
        """Return what the members have told."""
        words = [line.split() for line in (self.path / "ledger").read_text().splitlines()]
        return [Line(what, member, float(when)) for what, member, when in words]

    def told(self, what: str) -> Counter[str]:
        """Return how often each member told this."""
        return Counter(line.member for line in self.ledger() if line.what == what)

    def watch(self) -> None:
        """Note which members are recorded as completed by now."""
        for path in self.path.glob("results/faults/*/*/status.json"):
            if path.parent.name not in self.completed and _status(path) == "completed":
                self.completed[path.parent.name] = time.time()

    def table(self) -> list[dict[str, str]]:
        """Return the rows of all tables of results that are there."""
        return [row for name in self.sizes for row in self._rows(name)]

    def _rows(self, entity: str) -> list[dict[str, str]]:
        try:
            with (self.path / TABLE.format(entity)).open(newline="") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    @property
    def members(self) -> int:
        """How many members there are in all."""
        return sum(self.sizes.values())

    def kept(self) -> set[str]:
        """Return the members whose data the files of the store hold."""
        found = set()
        for number, dump in enumerate(sorted(self.path.glob("results/faults/store/dump*.rdb"))):
            place = self.path / f"look-{number}"
            place.mkdir()
            shutil.copy(dump, place / "dump.rdb")
            store = Store("look", Database(), Folders(place, place / "state"), is_loaded=True)
            try:
                store.wait()
                with Client(store.order.socket, store.order.password) as client:
                    found |= set(client.ask("KEYS", "*"))
            finally:
                store.stop(save=False)
        return found

    def leftovers(self) -> list[str]:
        """Return files that somebody was about to rename or to move, and did not."""
        names = (".moving", ".back")
        found = self.path.glob("results/**/*")
        left = [path for path in found if path.suffix == ".tmp" or path.name in names]
        return [str(path.relative_to(self.path)) for path in left]


def _status(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["status"])
    except (OSError, ValueError, KeyError):
        return ""
