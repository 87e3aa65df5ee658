"""What the Python interface raises; each error also is the builtin one it resembles."""

from collections.abc import Callable


class EnsemakeError(Exception):
    """Any error of the Python interface that is not a plain TypeError, ValueError or OSError."""


class UnsupportedError(EnsemakeError, ValueError):
    """A launcher or an option that ensemake does not have."""


class EntityExistsError(EnsemakeError, ValueError):
    """Two entities of one name where names must differ."""


class RunningError(EnsemakeError, RuntimeError):
    """Another process runs the same entities now."""


class RunFailedError(EnsemakeError, RuntimeError):
    """Members failed, or the workflow could not be run.

    Attributes
    ----------
    failed : list of str
        Names of the members that did not complete; empty if the workflow itself failed.
    """

    def __init__(self, message: str, failed: list[str] | None = None) -> None:
        super().__init__(message)
        self.failed = failed or []


class AllocationError(RunFailedError):
    """A workload manager did not give nodes, or does not know them."""


class StrategyError(EnsemakeError, TypeError, ValueError):
    """A function that is a strategy failed, or returned no list of parameters."""


class GenerateError(EnsemakeError, OSError):
    """Directories of members could not be written."""


class WrongValueError(EnsemakeError, TypeError, ValueError):
    """A value that the config does not have there."""


class NotYetKnownError(EnsemakeError, LookupError):
    """Members are chosen by the results of another entity, which has not finished."""

    def __init__(self, entity: str, source: str) -> None:
        super().__init__(f"{entity}: its members are known once {source} has finished")
        self.entity, self.source = entity, source


def file_fault(error: OSError) -> str:
    """Say what is wrong with a file, or a disk."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)


def in_words(main: Callable[[], int | None]) -> int | str | None:
    """Call a program's main function; what a full disk or Ctrl-C ends is told without frames.

    Returns
    -------
    int, str or None
        What ``SystemExit`` takes.
    """
    try:
        return main()
    except OSError as error:
        return f"ensemake: {file_fault(error)}"
    except KeyboardInterrupt:
        return "ensemake: interrupted"
