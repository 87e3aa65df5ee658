"""Containers as SmartSim has them: a thin face on the config's section."""

from collections.abc import Mapping
from typing import Any

from ensemake.config.container import Container
from ensemake.python import values
from ensemake.python.face import Face, Key


class Singularity(Face):
    """An Apptainer or Singularity image to run members in.

    Parameters
    ----------
    image
        File, or a URI such as docker://python:3.12.
    args
        Further options of ``apptainer exec``, such as ``--nv``: text that is split at blanks, or a
        list.
    mount
        Folders to see inside: text, a list, or a dict of source and target.
    working_directory
        Folder inside that the program starts in; by default the member's.
    """

    section = Container
    home = ("models", "models", "run_settings", "container")
    image: Key[str] = Key()
    args: Key[list[Any]] = Key(lambda face, args: values.argument_words(args))
    working_directory: Key[str | None] = Key(lambda face, folder: folder or None)
    mount = Key(lambda face, folders: values.bind_list(folders), "bind")

    def __init__(
        self,
        image: str,
        args: str | list[str] = "",
        mount: str | list[str] | Mapping[str, str] = "",
        working_directory: str = "",
    ) -> None:
        super().__init__()
        self.image = image
        self.args = args
        self.mount = mount
        self.working_directory = working_directory
