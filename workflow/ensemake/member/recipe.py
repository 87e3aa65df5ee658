"""What the members of an ensemble share and what decides their results, as one hash."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemake.config.schema import Model, Program, Scalar
from ensemake.member.command import program_file
from ensemake.member.files import content_hash, fingerprint, sources
from ensemake.sweep.identity import canonical, recipe_digest


def gather_recipe(entity: Model, base: Path) -> dict[str, Any]:
    """Gather the recipe: program, arguments, environment, container, contents of files.

    Not in it: resources, launcher, profile, times of files. Those may change without a rerun.
    """
    run = entity.run_settings
    exe_file = program_file(run.exe, base)
    return {
        "exe": run.exe,
        "exe_content": exe_file and content_hash(exe_file),
        "exe_args": run.exe_args,
        "derived": list(entity.derived.items()),
        "params_as_args": entity.params_as_args,
        "env_vars": run.env_vars,
        "container": run.container and run.container.model_dump(),
        # only where there are some: a key more would run everybody's members again
        **({"mpmd": [_program(other, base) for other in run.mpmd]} if run.mpmd else {}),
        "files": [fingerprint(source, entity.files) for source in sources(entity.files, base)],
        "tag": entity.files.tag,
        "unknown_tags": entity.files.unknown_tags,
    }


def _program(other: Program, base: Path) -> dict[str, Any]:
    file = program_file(other.exe, base)
    content = file and content_hash(file)
    return {"exe": other.exe, "exe_content": content, "exe_args": other.exe_args}


def recipe_hash(entity: Model, base: Path) -> str:
    """Return the recipe as one short text, the same for all members."""
    return hashlib.sha256(canonical(gather_recipe(entity, base)).encode()).hexdigest()


def is_current(entity: Model, values: Mapping[str, Scalar], digest: str, base: Path) -> bool:
    """Tell whether the recipe as it is now gives a member, of these values, this digest."""
    params = {name: value for name, value in values.items() if name not in entity.derived}
    try:
        return recipe_digest(recipe_hash(entity, base), params) == digest
    except OSError:  # a file is gone
        return False
