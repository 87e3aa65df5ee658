# Many members in one job: for ensembles with batch_settings.


for entity in EXPERIMENT.batched:

    rule:
        name:
            f"batch_{entity.rule}"
        input:
            ancient(entity.generated_for),
            entity.taken,
        output:
            touch(entity.done),
        log:
            entity.log("batch-{chunk}"),
        retries: entity.retries
        threads: entity.batch_threads
        resources:
            **entity.batch_resources,
        params:
            plan=entity.plan,
            preamble=entity.preamble,
            carry_on=entity.carry_on,
        shell:
            "{{ {params.preamble}\n{params.carry_on} "
            + EXPERIMENT.shell("batch.py", "{params.plan:q}; }} > {log:q} 2>&1")
