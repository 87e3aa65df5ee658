# A member each: one wildcard rule per ensemble, named after it.


for entity in EXPERIMENT.single:

    rule:
        name:
            entity.rule
        input:
            ancient(entity.generated_for),
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
            script=entity.script,
        shell:
            entity.limit + "exec bash -p {params.script:q} > {log:q} 2>&1"
