"""Run the members of a plan in this allocation, or on this machine, as many at once as fit."""

import argparse
from pathlib import Path

from ensemake.batch.runner import run_batch
from ensemake.errors import in_words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="a plan that the workflow wrote")
    return run_batch(parser.parse_args().plan)


if __name__ == "__main__":
    raise SystemExit(in_words(main))
