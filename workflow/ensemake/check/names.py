"""Names of entities: what rules are called after them, and which are taken."""

import re
from collections.abc import Iterator

from ensemake.config.faults import Problem
from ensemake.config.schema import Config
from ensemake.member.layout import RESERVED_ENTITIES

TARGETS = ("all", "generate", "preview", "status", "results", "prune")
RULE_PREFIXES = (
    *("generate_", "batch_", "files_", "members_", "gather_", "ended_", "verdict_"),
    *("collect_", "plot_", "parquet_"),
)


def name_problems(config: Config) -> Iterator[Problem]:
    """Yield names that are taken, or would share a rule."""
    for name in config.models.keys() & config.ensembles.keys():
        yield ("ensembles", name), "is the name of a model too; rename one of them"
    own = {prefix + rule_name(name) for prefix in RULE_PREFIXES for name in config.entities}
    rules: dict[str, str] = {}
    for name in config.entities:
        kind = "models" if name in config.models else "ensembles"
        rule = rule_name(name)
        if name in config.databases:
            yield ("databases", name), f"is the name of one of the {kind} too; rename one of them"
        if name in RESERVED_ENTITIES:
            yield (kind, name), f"{name!r} is a name of ensemake's own; rename it"
        if rule in own or rule in TARGETS:
            yield (kind, name), f"{rule!r} is a target or rule of the workflow; rename it"
        elif rules.setdefault(rule, name) != name:
            yield (kind, name), f"{rules[rule]!r} and {name!r} would share one rule; rename one"


def rule_name(entity: str) -> str:
    """Return the name of an entity's rule: ``Training-Ensemble`` becomes ``Training_Ensemble``."""
    name = re.sub(r"\W", "_", entity, flags=re.ASCII)
    return f"_{name}" if name[0].isdigit() else name
