"""Tell what became of every model and ensemble, from files alone."""

import argparse
from pathlib import Path

from ensemake.member.plan import expand_work, read_config
from ensemake.results.outcomes import status_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    parser.add_argument("--entity", action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    config = read_config(arguments.config)
    for entity in arguments.entity or config.entities:
        print(*status_lines(expand_work(config, entity)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
