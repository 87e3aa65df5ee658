"""Write results.csv of an entity."""

import argparse
from pathlib import Path

from ensemake.member.plan import Work, read_config
from ensemake.results.collect import write_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    parser.add_argument("--entity", required=True, help="model or ensemble")
    arguments = parser.parse_args()
    path, faults = write_results(Work(read_config(arguments.config), arguments.entity))
    print(path, *faults, sep="\n")


if __name__ == "__main__":
    main()
