"""Draw the metrics of an entity over its swept parameters."""

import argparse
from pathlib import Path

from ensemake.member.plan import Work, read_config
from ensemake.results.plot_files import draw_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    parser.add_argument("--entity", required=True, help="model or ensemble")
    arguments = parser.parse_args()
    print(*draw_all(Work(read_config(arguments.config), arguments.entity)), sep="\n")


if __name__ == "__main__":
    main()
