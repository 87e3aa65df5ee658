"""The config's section on plots: what is drawn of an ensemble's table."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ensemake.config.scalars import Section, Text

Function = Annotated[str, StringConstraints(pattern=r"^[^:\x00\n]+:\w+$")]


class Drawn(Section):
    """One plot: columns of results.csv along its axes."""

    x: Text = Field(examples=["T"], description="column along the x axis")
    y: Text = Field(examples=["loss"], description="column along the y axis")
    colour: Text | None = Field(None, description="column that gives the colour; of a heat map")
    facet: Text | None = Field(None, description="column: a panel for each of its values")
    kind: Literal["points", "line", "heatmap"] = Field(
        "points",
        description="`points`; `line`, the mean and a band of one standard deviation; `heatmap`, "
        "the mean of `colour` in each cell",
    )
    log: list[Literal["x", "y", "colour"]] = Field([], description="logarithmic axes")

    @property
    def name(self) -> str:
        """What its files are called: ``loss-T-by-mode-heatmap``."""
        by = ["by", self.colour] if self.colour else []
        per = ["per", self.facet] if self.facet else []
        kind = [self.kind] if self.kind != "points" else []
        return re.sub(r"[^\w.-]", "_", "-".join([self.y, self.x, *by, *per, *kind]))

    @property
    def columns(self) -> dict[str, str]:
        """The columns it needs, by key."""
        given = {"x": self.x, "y": self.y, "colour": self.colour, "facet": self.facet}
        return {key: name for key, name in given.items() if name is not None}


def picture_name(plot: "Drawn | str") -> str:
    """Return what the files of a plot are called; of a function, its name."""
    return plot.name if isinstance(plot, Drawn) else plot.rpartition(":")[2]
