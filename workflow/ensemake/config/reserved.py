"""Names that are taken: what ensemake's own tables call their columns."""

IDENTITY = ("index", "member", "replica")
OUTCOME = ("status", "exit_code", "elapsed_s", "reason", "run")
COLUMNS = frozenset({*IDENTITY, *OUTCOME})
