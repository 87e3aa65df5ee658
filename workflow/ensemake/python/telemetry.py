"""What a script asks for that needs no asking here: telemetry; and SmartSim's log."""

import logging
import sys
import warnings

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class Telemetry:
    """SmartSim's switch; each member's status, time and host stand in its status.json anyway."""

    is_enabled = False

    def enable(self) -> None:
        """Do nothing, and say so."""
        warnings.warn(
            "there is no telemetry to enable: status.json, results.csv and the page tell what "
            "became of each member",
            stacklevel=2,
        )

    def disable(self) -> None:
        """Do nothing."""


def get_logger(name: str, level: str | int | None = None, fmt: str = FORMAT) -> logging.Logger:
    """Return a logger that writes to standard output, from ``info`` on.

    Parameters
    ----------
    name
        Its name.
    level
        The least that it writes, such as ``debug``.
    fmt
        A format of the module logging.
    """
    logger = logging.getLogger(name)
    logger.setLevel(level.upper() if isinstance(level, str) else level or logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter(fmt))
        logger.addHandler(handler)
        logger.propagate = False
    return logger
