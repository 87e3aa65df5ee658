"""Write members.csv of an entity."""

import argparse
from pathlib import Path

from ensemake.errors import in_words


def main() -> None:
    from ensemake.member.plan import read_work
    from ensemake.results.collect import write_members

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the experiment's folder, such as results/demo")
    parser.add_argument("entity", help="model or ensemble")
    arguments = parser.parse_args()
    print(write_members(read_work(arguments.root, arguments.entity)))


if __name__ == "__main__":
    raise SystemExit(in_words(main))
