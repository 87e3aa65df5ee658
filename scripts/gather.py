"""Gather what a member needs from many others, then become its run.sh."""

import argparse
import os
import sys
from pathlib import Path

from ensemake.batch.runner import CARRY_ON
from ensemake.errors import in_words
from ensemake.member.plan import read_plan
from ensemake.results.gather import gather


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="a plan that holds the member")
    parser.add_argument("member", help="its name")
    arguments = parser.parse_args()
    plan = read_plan(arguments.plan)
    fault = gather(plan, arguments.member)
    if fault:
        print(f"{plan.entity}/{arguments.member}: {fault}", file=sys.stderr)
        sys.exit(0 if os.environ.get(CARRY_ON) else 1)
    (directory,) = (one.directory for one in plan.members if one.name == arguments.member)
    os.execvp("bash", ["bash", "-p", f"{directory}/run.sh"])


if __name__ == "__main__":
    raise SystemExit(in_words(main))
