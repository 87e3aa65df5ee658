"""Where the jobs of one model or ensemble leave what: paths with wildcards, for the rules."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from ensemake.check.names import rule_name
from ensemake.config.schema import Model
from ensemake.member.files import sources
from ensemake.member.layout import Layout, layout
from ensemake.member.plan import Planned
from ensemake.results.series import series_path
from ensemake.workflow.invocation import Invocation


class EntityPaths:
    """One model or ensemble: its settings, and the files of its jobs.

    Parameters
    ----------
    invocation
        What is to be done.
    entities
        All of the experiment by name, once they are made; this one too.
    name
        Of this one.
    """

    def __init__(self, invocation: Invocation, entities: Mapping[str, Self], name: str) -> None:
        self.invocation = invocation
        self.entities = entities
        self.name = name
        self.rule = rule_name(name)
        self.settings: Model = invocation.config.entities[name]
        self.layout: Layout = layout(invocation.config, name)
        self.is_batched = self.settings.batch_settings is not None
        self.asked = False  # whether this run was to run members

    @property
    def done(self) -> str:
        """Marker of a member, or of a batch."""
        return str(self.layout.done("{chunk}" if self.is_batched else "{member}"))

    def done_of(self, place: str) -> str:
        """Marker of a member or a batch."""
        return str(self.layout.done(place))

    @property
    def generated(self) -> str:
        """Marker of a generated chunk; ``look`` is empty in a run."""
        return str(self.layout.state) + "/{look}{chunk}.generated"

    def _generated(self, chunk: str) -> str:
        """Marker that is not there: a run takes the last one's away, a question has its own.

        Forcing it would not do: below a forced job Snakemake looks no further than `ancient`.
        """
        place = chunk if self.invocation.is_run else f"asked/{chunk}"
        return str(self.layout.generated(place))

    @property
    def members(self) -> str:
        """Table of the members."""
        return str(self.layout.directory / "members.csv")

    @property
    def results(self) -> str:
        """Table of the results."""
        return str(self.layout.directory / "results.csv")

    @property
    def parquet(self) -> str:
        """Table of the results with its types, for those who ask for it."""
        return str(self.layout.directory / "results.parquet")

    @property
    def series(self) -> list[str]:
        """Table of the curves, if there are some."""
        return [str(series_path(self.layout.directory))] if self.settings.series else []

    @property
    def plots(self) -> list[str]:
        """Pictures, in two formats: as chosen or one per metric, if parameters vary; of series."""
        folder = self.layout.directory / "plots"
        names = self.settings.drawn
        return [str(folder / f"{name}.{kind}") for name in names for kind in ("svg", "png")]

    @property
    def figures(self) -> list[str]:
        """Files of the user's that draw plots."""
        plots = [plot for plot in self.settings.plots or () if isinstance(plot, str)]
        files = [plot.rpartition(":")[0] for plot in plots]
        return sorted({path for path in files if path.endswith(".py")})

    @property
    def drawn(self) -> dict[str, str]:
        """What decides how plots and the page look, if the config says anything of it."""
        settings = self.settings
        if settings.plots is None and not settings.labels:
            return {}
        chosen = settings.model_dump(include={"plots", "labels"}, mode="json")
        return {"drawn": json.dumps(chosen, sort_keys=True)}

    @property
    def own_files(self) -> list[str]:
        """All that the generate step writes for a member."""
        folder = self.layout.member("{member}")
        found = sources(self.settings.files, Path())  # what all members get
        targets = [one.target for one in found if one.kind not in ("inner", "folder")]
        return [str(folder / name) for name in ["run.sh", "params.json", *targets]]

    @property
    def ended(self) -> str:
        """Marker of a source all of whose members have ended."""
        return str(self.layout.ended)

    @property
    def completed(self) -> str:
        """Marker of a source all of whose members completed."""
        return str(self.layout.state / "all.completed")

    @property
    def gathered(self) -> str:
        """Marker of the ends of some hundred members: many inputs cost a job their square."""
        return str(self.layout.state / "{group}.gathered")

    @property
    def script(self) -> str:
        """Path of a member's run.sh."""
        return str(self.layout.member("{member}") / "run.sh")

    def log(self, job: str) -> str:
        """Log file of a kind of job."""
        return str(self.layout.state / "logs" / job) + ".log"

    def _place(self, member: Planned) -> str:
        return self.layout.place(member.name, member.directory)
