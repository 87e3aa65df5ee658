"""Write tables, plots and the overview of whatever has finished, and tell what has not."""

import argparse
from pathlib import Path

from ensemake.member.plan import Work, expand_work, read_config
from ensemake.results.collect import write_members, write_results
from ensemake.results.outcomes import outcomes, status_lines
from ensemake.show.page import write_page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the saved config")
    parser.add_argument("--entity", action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    config = read_config(arguments.config)
    for entity in arguments.entity or config.entities:
        tell(expand_work(config, entity))
    print(write_page(config))


def tell(work: Work) -> None:
    """Write an entity's tables and plots and print its outcome."""
    found = outcomes(work)
    write_members(work)
    path, faults = write_results(work, found)
    if work.settings.metrics and not work.layout.is_model:
        from ensemake.results.plot_files import draw_all  # a second to import

        draw_all(work)
    lines = status_lines(work, found)
    print(*lines, *(f"  {fault}" for fault in faults[:10]), f"  {path}", sep="\n", flush=True)


if __name__ == "__main__":
    main()
