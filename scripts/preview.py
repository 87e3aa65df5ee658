"""Tell what would run, before anything runs."""

import argparse
from pathlib import Path

from ensemake.member.plan import expand_work, read_config
from ensemake.show.preview import preview_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    parser.add_argument("--at-once", type=int, help="how many jobs a cluster gets at once")
    arguments = parser.parse_args()
    config = read_config(arguments.config)
    for number, entity in enumerate(config.entities):
        print(end="\n" * bool(number))  # a blank line between them
        print(*preview_lines(expand_work(config, entity), arguments.at_once), sep="\n", flush=True)


if __name__ == "__main__":
    main()
