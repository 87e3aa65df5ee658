"""Fail if a member of an entity has not completed, and say which."""

import argparse
import sys
from pathlib import Path

from ensemake.errors import in_words


def main() -> int:
    from ensemake.member.plan import read_work
    from ensemake.results.outcomes import outcomes, status_lines

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the experiment's folder")
    parser.add_argument("entity", help="model or ensemble")
    arguments = parser.parse_args()
    work = read_work(arguments.root, arguments.entity)
    found = outcomes(work)
    print(*status_lines(work, found), sep="\n", file=sys.stderr)
    return 0 if all(one.state == "completed" for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(in_words(main))
