"""ensemake: ensembles and parameter sweeps of simulation and ML codes as a Snakemake workflow."""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemake.errors import (
        AllocationError,
        EnsemakeError,
        EntityExistsError,
        GenerateError,
        RunFailedError,
        RunningError,
        StrategyError,
        UnsupportedError,
        WrongValueError,
    )
    from ensemake.python.batch_settings import BatchSettings, QsubBatchSettings, SbatchSettings
    from ensemake.python.container import Singularity
    from ensemake.python.database import Orchestrator
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
    from ensemake.python.opened import open_results as open  # noqa: F401
    from ensemake.python.settings import RunSettings
    from ensemake.python.slurm_allocation import get_allocation, release_allocation
    from ensemake.python.statuses import Status
    from ensemake.python.telemetry import get_logger

__version__ = "0.1.0"

# Every cluster job imports this package: what scripts need is imported when they ask for it.
_HOMES = {
    "config.faults": ("ConfigError",),
    "python.batch_settings": ("BatchSettings", "QsubBatchSettings", "SbatchSettings"),
    "python.database": ("Orchestrator",),
    "python.entities": ("Ensemble", "Model"),
    "errors": (
        "AllocationError",
        "EnsemakeError",
        "EntityExistsError",
        "GenerateError",
        "RunFailedError",
        "RunningError",
        "StrategyError",
        "UnsupportedError",
        "WrongValueError",
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
    "python.container": ("Singularity",),
    "python.opened": ("open_results",),
    "python.settings": ("RunSettings",),
    "python.slurm_allocation": ("get_allocation", "release_allocation"),
    "python.statuses": ("Status",),
    "python.telemetry": ("get_logger",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# SmartSim's names, and the places that its scripts import from.
_ALSO = {
    "open": "open_results",
    "SmartSimStatus": "Status",
    "SmartSimError": "EnsemakeError",
    "SSUnsupportedError": "UnsupportedError",
    "SSConfigError": "ConfigError",
    "SSInternalError": "EnsemakeError",
    "SSReservedKeywordError": "WrongValueError",
    "LauncherError": "RunFailedError",
    "LauncherUnsupportedFeature": "UnsupportedError",
    "ParameterWriterError": "GenerateError",
    "PreviewFormatError": "UnsupportedError",
    "ShellError": "RunFailedError",
    "UserStrategyError": "StrategyError",
}
_PLACES = (
    "smartsim",
    *(
        f"smartsim.{name}"
        for name in ("database", "entity", "error", "log", "settings", "status", "wlm")
    ),
    "smartsim.error.errors",
    "smartsim.wlm.slurm",
)

__all__ = [
    "AllocationError",
    "AprunSettings",
    "BatchSettings",
    "EnsemakeError",
    "Ensemble",
    "EntityExistsError",
    "Experiment",
    "GenerateError",
    "JsrunSettings",
    "Model",
    "MpiexecSettings",
    "MpirunSettings",
    "Orchestrator",
    "OrterunSettings",
    "PalsMpiexecSettings",
    "QsubBatchSettings",
    "RunFailedError",
    "RunSettings",
    "RunningError",
    "SbatchSettings",
    "Singularity",
    "SrunSettings",
    "Status",
    "StrategyError",
    "UnsupportedError",
    "WrongValueError",
    "get_allocation",
    "get_logger",
    "release_allocation",
]


def __getattr__(name: str) -> Any:
    own = _ALSO.get(name, name)
    home = _HOME_OF.get(own)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), own)


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF, *_ALSO]


def _mirror(place: str) -> ModuleType:
    """Return a module of all these names, which is imported as ``ensemake.<place>``."""
    module = ModuleType(f"{__name__}.{place}", "Names of ensemake where SmartSim has them.")
    vars(module).update(__getattr__=__getattr__, __dir__=__dir__, __path__=[])
    return module


for _place in _PLACES:
    sys.modules[f"{__name__}.{_place}"] = _mirror(_place)
    _above, _, _name = f"{__name__}.{_place}".rpartition(".")
    setattr(sys.modules[_above], _name, sys.modules[f"{__name__}.{_place}"])
