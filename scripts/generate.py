"""Write the directories of a plan's members, or of one member of an entity."""

import argparse
import sys
from pathlib import Path

from ensemake.errors import in_words
from ensemake.member.generate import generate
from ensemake.member.plan import Plan, read_plan, read_work


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a plan; with --entity, the experiment's folder")
    parser.add_argument("--entity", help="model or ensemble")
    parser.add_argument("--member", help="name of one of its members")
    arguments = parser.parse_args()
    plan = _one(arguments) if arguments.entity else read_plan(arguments.file)
    faults = generate(plan, Path())
    print(*faults, sep="\n", file=sys.stderr)
    print(f"{plan.entity}: {len(plan.members) - len(faults)} of {len(plan.members)} generated")
    return 1 if faults else 0


def _one(arguments: argparse.Namespace) -> Plan:
    work = read_work(arguments.file, arguments.entity)
    members = [member for member in work.planned if member.name == arguments.member]
    return Plan(arguments.entity, work.settings, members)


if __name__ == "__main__":
    raise SystemExit(in_words(main))
