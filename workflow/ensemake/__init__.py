"""ensemake: ensembles and parameter sweeps of simulation and ML codes as a Snakemake workflow."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemake.errors import (
        EnsemakeError,
        EntityExistsError,
        RunFailedError,
        RunningError,
        UnsupportedError,
    )
    from ensemake.python.batch_settings import BatchSettings
    from ensemake.python.entities import Ensemble, Model
    from ensemake.python.experiment import Experiment
    from ensemake.python.launcher_settings import (
        AprunSettings,
        JsrunSettings,
        MpiexecSettings,
        MpirunSettings,
        OrterunSettings,
        PalsMpiexecSettings,
        SrunSettings,
    )
    from ensemake.python.settings import (
        RunSettings,
        Singularity,
    )
    from ensemake.python.statuses import Status

__version__ = "0.1.0"

# Every cluster job imports this package: what scripts need is imported when they ask for it.
_HOMES = {
    "python.batch_settings": ("BatchSettings",),
    "python.entities": ("Ensemble", "Model"),
    "errors": (
        "EnsemakeError",
        "EntityExistsError",
        "RunFailedError",
        "RunningError",
        "UnsupportedError",
    ),
    "python.experiment": ("Experiment",),
    "python.launcher_settings": (
        "AprunSettings",
        "JsrunSettings",
        "MpiexecSettings",
        "MpirunSettings",
        "OrterunSettings",
        "PalsMpiexecSettings",
        "SrunSettings",
    ),
    "python.settings": (
        "RunSettings",
        "Singularity",
    ),
    "python.statuses": ("Status",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AprunSettings",
    "BatchSettings",
    "EnsemakeError",
    "Ensemble",
    "EntityExistsError",
    "Experiment",
    "JsrunSettings",
    "Model",
    "MpiexecSettings",
    "MpirunSettings",
    "OrterunSettings",
    "PalsMpiexecSettings",
    "RunFailedError",
    "RunSettings",
    "RunningError",
    "Singularity",
    "SrunSettings",
    "Status",
    "UnsupportedError",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]
