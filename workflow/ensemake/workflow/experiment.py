"""Snakemake's face: it turns a config into what the rules ask for.

State is read from the members' status.json when Snakemake builds its graph, and only what is
pending becomes a job: a finished member costs one small read, however often the workflow is run.
Looking writes nothing (``-n``, ``--dag``, ``--report``); a run takes the lock of each entity that
it is about to work on, and only then writes what its jobs read.
"""

import atexit
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ensemake.results import provenance
from ensemake.show.live import LivePage
from ensemake.workflow.entity import EntityRules
from ensemake.workflow.invocation import Invocation


class ExperimentRules(Invocation):
    """The config as rules see it.

    Parameters
    ----------
    workflow, config
        As of an `Invocation`.
    at_end
        What a module calls when its process ends.
    """

    def __init__(
        self, workflow: Any, config: Mapping[str, Any], at_end: "Callable[[ExperimentRules], None]"
    ) -> None:
        super().__init__(workflow, config)
        self.at_end = at_end
        self.by_name: dict[str, EntityRules] = {}
        for name in self.config.entities:
            self.by_name[name] = EntityRules(self, self.by_name, name)
        self.entities = [*self.by_name.values()]
        self.batched = [entity for entity in self.entities if entity.is_batched]
        self.single = [entity for entity in self.entities if not entity.is_batched]
        self.ended: list[tuple[list[Path], str]] = []  # members whose job the cluster ended, why
        self.is_stopped = False  # by a signal
        self.live_page: LivePage | None = None

    @property
    def tables(self) -> list[str]:
        """Results of every entity: tables and plots."""
        return [path for entity in self.entities for path in [entity.results, *entity.plots]]

    @property
    def drawn(self) -> dict[str, str]:
        """What decides how the page looks, if the config says anything of it."""
        texts = [text for entity in self.entities for text in entity.drawn.values()]
        return {"drawn": "\n".join(texts)} if texts else {}

    @property
    def sources(self) -> list[EntityRules]:
        """Those whose ends a job of their own tells."""
        return [entity for entity in self.entities if entity.is_told]

    def verdicts(self, wildcards: object) -> list[str]:
        """Markers of the sources whose members all completed, as far as some are to run."""
        return [path for entity in self.sources for path in entity.verdict(wildcards)]

    @cached_property
    def begun(self) -> str:
        """Id of this run; of a module also its record, for Snakemake calls no hooks of it."""
        run = super().begun
        if self.is_module:
            provenance.record_start(self.root, self.config, {})
            atexit.register(self.at_end, self)
        return run
