"""Check a config file and tell all that is wrong with it; nothing is run."""

import argparse
import sys
from pathlib import Path

from ensemake.check import load_config
from ensemake.config.faults import ConfigError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="relative paths in it start from this folder")
    file = parser.parse_args().config
    try:
        config = load_config(file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{file}: no faults; {len(config.models)} models, {len(config.ensembles)} ensembles")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
