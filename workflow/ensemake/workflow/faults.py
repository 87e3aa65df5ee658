"""A config that is at fault ends the workflow with its message alone."""

import sys

from ensemake.config.faults import ConfigError


class ExitOnFaults:
    """Ends with the message alone where a config is at fault: a traceback tells a user nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError):
            print(error, file=sys.stderr, flush=True)
            raise SystemExit(1)
