"""Write overview.html of an experiment: config, tables, plots, failures, versions."""

import argparse
from pathlib import Path

from ensemake.member.plan import read_config
from ensemake.show.page import write_page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    print(write_page(read_config(parser.parse_args().config)))


if __name__ == "__main__":
    main()
