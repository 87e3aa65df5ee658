# A member each: one wildcard rule per ensemble, named after it.
from ensemake.submit.plain import RUN_MEMBER

for entity in EXPERIMENT.single:

    rule:
        name:
            entity.rule
        input:
            ancient(entity.generated_for),
            entity.taken,
        output:
            touch(entity.done),
        log:
            entity.log("{member}"),
        retries: entity.retries
        threads: entity.threads
        resources:
            **entity.resources,
        params:
            digest=entity.digest,
            command=entity.command,
            carry_on=entity.carry_on,
            limit=entity.limit,
        shell:
            RUN_MEMBER
