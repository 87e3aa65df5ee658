"""A part of the page by itself: what a notebook shows."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from ensemake.atomic import write_atomically
from ensemake.member.plan import last_run
from ensemake.show.page import page_text

HEIGHT = 520  # pixels


@dataclass(frozen=True)
class Plot:
    """A plot of an ensemble, drawn by the page's script."""

    folder: Path
    entity: str
    part: str
    choice: dict[str, str]

    @property
    def html(self) -> str:
        """A whole page that shows the plot alone."""
        config, _ = last_run(self.folder)
        kept = {
            kind: {name: one for name, one in getattr(config, kind).items() if name == self.entity}
            for kind in ("models", "ensembles")
        }
        view = {"entity": self.entity, **self.choice}
        return page_text(config.model_copy(update=kept), only=self.part, view=view)

    def save(self, path: str | Path) -> Path:
        """Write the plot as a page of its own."""
        write_atomically(Path(path), self.html.encode())
        return Path(path)

    def _repr_html_(self) -> str:
        style = "width: 100%; border: 0"
        return f'<iframe srcdoc="{escape(self.html)}" style="{style}" height="{HEIGHT}"></iframe>'
