"""Run settings by launcher, as SmartSim names them."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ensemake.member.launcher_options import LAUNCHERS, Launcher, OptionValue
from ensemake.python import values
from ensemake.python.settings import RunSettings

DEBUG = 7  # all that aprun can tell
FOUND_ON = {
    "local": (),
    "slurm": ("srun", "mpirun", "mpiexec"),
    "pbs": ("aprun", "mpirun", "mpiexec"),
    "pals": (),
}


class LauncherSettings(RunSettings):
    """How one member is run with a launcher; the arguments are in SmartSim's order."""

    def __init__(
        self,
        exe: str,
        exe_args: str | Iterable[str] | None = None,
        run_args: Mapping[str, OptionValue] | None = None,
        env_vars: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(exe, exe_args, env_vars=env_vars, **arguments)
        self.assign("run_args", self._options(run_args))  # here: a warning points at the script


class SrunSettings(LauncherSettings):
    """How one member is run with srun.

    Parameters
    ----------
    alloc
        Id of the allocation to run in, as of `get_allocation`; not part of the config.
    exe, exe_args, run_args, env_vars, arguments
        As of `RunSettings`.
    """

    default_command = "srun"
    alloc: str | None = None

    def __init__(
        self,
        exe: str,
        exe_args: str | Iterable[str] | None = None,
        run_args: Mapping[str, OptionValue] | None = None,
        env_vars: Mapping[str, Any] | None = None,
        alloc: str | int | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(exe, exe_args, env_vars=env_vars, **arguments)
        self.assign("run_args", self._options(run_args))  # here: a warning points at the script
        self.alloc = None if alloc is None else str(alloc)

    def set_het_group(self, het_group: Iterable[int]) -> None:
        """Run in these components of a heterogeneous job."""
        self._put("het_group", ",".join(str(int(group)) for group in het_group))


class MpirunSettings(LauncherSettings):
    """How one member is run with mpirun."""

    default_command = "mpirun"


class MpiexecSettings(LauncherSettings):
    """How one member is run with mpiexec."""

    default_command = "mpiexec"


class OrterunSettings(LauncherSettings):
    """How one member is run with orterun."""

    default_command = "orterun"


class PalsMpiexecSettings(LauncherSettings):
    """How one member is run with the mpiexec of HPE Cray's PALS."""

    default_command = "mpiexec"

    affinity: tuple[str, ...] = ()  # words of the script that starts the program

    @property
    def launcher(self) -> Launcher:
        """The vocabulary of PALS, which differs from that of Open MPI's mpiexec."""
        return LAUNCHERS["palsmpiexec"]

    def set_gpu_affinity_script(self, affinity: str, *args: Any) -> None:
        """Have a script start the program on each rank, as one that chooses a GPU does."""
        self.affinity = (values.program_path(affinity), *map(str, args))

    def format_run_args(self) -> list[str]:
        """Return the options of the launcher, and the words of the affinity script."""
        return [*super().format_run_args(), *self.affinity]

    def as_config(self) -> dict[str, Any]:
        """Return the config's ``run_settings``; an affinity script is the program that it runs."""
        config = super().as_config()
        if not self.affinity:
            return config
        script, *words = self.affinity
        args = [*words, config["exe"], *config.get("exe_args", [])]
        return {**config, "exe": script, "exe_args": args}


class AprunSettings(LauncherSettings):
    """How one member is run with aprun."""

    default_command = "aprun"

    def _put(self, what: str, value: OptionValue) -> None:
        """Set an option; of the memory of a node, aprun is told that of each task."""
        super()._put(what, value)
        if "mem_mb" in self.resources:
            per_node = int(self.run_args.get("pes-per-node") or self.tasks)
            self._option("memory-per-pe", self.resources["mem_mb"] // per_node)

    def set_verbose_launch(self, verbose: bool) -> None:
        """Let the launcher tell what it does."""
        if verbose:
            self._put("verbose_launch", DEBUG)
        else:
            super().set_verbose_launch(verbose)


class JsrunSettings(LauncherSettings):
    """How one member is run with jsrun."""

    default_command = "jsrun"


CLASSES: dict[str, type[RunSettings]] = {
    kind.default_command: kind
    for kind in (
        SrunSettings, MpirunSettings, MpiexecSettings, OrterunSettings, AprunSettings, JsrunSettings
    )
}  # fmt: skip


def run_settings(launcher: str, run_command: str | None, **arguments: Any) -> RunSettings:
    """Return the settings for a launcher: with ``auto``, what one uses there."""
    if launcher == "pals" and run_command in ("auto", "mpiexec"):
        return PalsMpiexecSettings(**arguments)
    if run_command != "auto":
        name = Path(run_command or "none").name
        kind = CLASSES.get(name, RunSettings)
        return kind(run_command=run_command or "none", **arguments)
    if launcher == "slurm":
        return SrunSettings(**arguments)
    found = next((name for name in FOUND_ON[launcher] if shutil.which(name)), None)
    settings = CLASSES.get(found or "", RunSettings)(**arguments)
    # without options for it, which launcher is left to the place where the member runs
    settings.run_command = found if found and settings.run_args else "auto"
    return settings
