"""Where the workflow's files lie: in a clone, or in an installed copy of the package."""

import argparse
from pathlib import Path

PACKAGE = Path(__file__).parent


def share() -> Path:
    """Return the folder that holds ``workflow/Snakefile``, ``profiles``, ``rules``, ``scripts``."""
    installed = PACKAGE / "share"
    return installed if installed.is_dir() else PACKAGE.parent.parent


def snakefile() -> str:
    """Return the path of the workflow, for ``module ensemake: snakefile: ...``."""
    return str(share() / "workflow" / "Snakefile")


def main() -> None:
    """Print one of the paths: ``snakemake --snakefile $(ensemake-path snakefile)``."""
    parser = argparse.ArgumentParser(prog="ensemake-path", description=main.__doc__)
    parser.add_argument("what", choices=["snakefile", "profiles"])
    what = parser.parse_args().what
    print(snakefile() if what == "snakefile" else share() / "profiles")


if __name__ == "__main__":
    main()
