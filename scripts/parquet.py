"""Write results.parquet of an entity: results.csv with its types."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from ensemake.errors import in_words


def main() -> None:
    from ensemake.member.plan import read_work
    from ensemake.results.collect import write_parquet

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the experiment's folder, such as results/demo")
    parser.add_argument("entity", help="model or ensemble")
    arguments = parser.parse_args()
    if find_spec("pyarrow") is None:
        raise SystemExit("Parquet needs pyarrow: pip install pyarrow")
    print(write_parquet(read_work(arguments.root, arguments.entity)))


if __name__ == "__main__":
    raise SystemExit(in_words(main))
