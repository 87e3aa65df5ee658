# Ends of members, between jobs that have to know of all: some hundred are gathered in one marker.


for entity in EXPERIMENT.single:

    rule:
        name:
            f"gather_{entity.rule}"
        input:
            entity.group,
        output:
            touch(entity.gathered),
        localrule: True


# Between stages: entities that others take from.
#
# When all its members have ended, well or not, others can choose among them by their results; and
# where their jobs end well whatever happened, a job says here what failed.


for entity in EXPERIMENT.sources:

    checkpoint:
        name:
            f"ended_{entity.rule}"
        input:
            entity.all_ended,
        output:
            touch(entity.ended),
        localrule: True

    rule:
        name:
            f"verdict_{entity.rule}"
        input:
            entity.ended,
        output:
            touch(entity.completed),
        log:
            entity.log("verdict"),
        localrule: True
        params:
            root=EXPERIMENT.root,
            entity=entity.name,
        shell:
            EXPERIMENT.shell(
                "verdict.py", "{params.root:q} {params.entity:q} > {log:q} 2>&1"
            )
