"""Write overview.html of an experiment: config, tables, plots, failures, versions."""

import argparse
from pathlib import Path

from ensemake.errors import in_words


def main() -> None:
    from ensemake.member.layout import config_copy
    from ensemake.member.plan import read_config
    from ensemake.show.page import write_page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the experiment's folder, such as results/demo")
    print(write_page(read_config(config_copy(parser.parse_args().root))))


if __name__ == "__main__":
    raise SystemExit(in_words(main))
