"""List members that the config no longer describes, and delete them when confirmed."""

import argparse
from pathlib import Path

from ensemake.member.plan import expand_work, read_config
from ensemake.results.prune import prune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    parser.add_argument("--confirm", action="store_true", help="delete them")
    arguments = parser.parse_args()
    config = read_config(arguments.config)
    lines = [
        line
        for entity in config.entities
        for line in prune(expand_work(config, entity), arguments.confirm)
    ]
    print(*lines, sep="\n" if lines else "")
    print(_advice(len(lines), arguments.confirm))


def _advice(count: int, confirmed: bool) -> str:
    if not count:
        return "Nothing to prune: every member directory belongs to the config."
    if confirmed:
        return f"{count} deleted."
    return f"{count} not in the config; nothing was deleted. To delete: --config confirm=prune"


if __name__ == "__main__":
    main()
