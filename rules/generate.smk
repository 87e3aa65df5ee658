# Members' directories: configured files, copies, links, params.json, run.sh.
#
# A chunk of members is one job with one marker: a declared output per file costs Snakemake 0.2 ms
# each time it builds the graph. `files_*` declares them for those who ask for a file by name.


rule generate:
    input:
        [entity.all_members for entity in EXPERIMENT.entities],
        [entity.all_generated for entity in EXPERIMENT.entities],


for entity in EXPERIMENT.entities:

    rule:
        name:
            f"generate_{entity.rule}"
        output:
            touch(entity.generated),
        log:
            entity.log("{look}generate-{chunk}"),
        localrule: True
        params:
            plan=entity.plan,
        shell:
            EXPERIMENT.shell("generate.py", "{params.plan:q} > {log:q} 2>&1")

    rule:
        name:
            f"files_{entity.rule}"
        input:
            entity.planned_for,
        output:
            update(entity.own_files),
        log:
            entity.log("files" if entity.layout.is_model else "files-{member}"),
        localrule: True
        params:
            root=EXPERIMENT.root,
            entity=entity.name,
            member=entity.member_name,
        shell:
            EXPERIMENT.shell(
                "generate.py",
                "--entity {params.entity:q} --member {params.member:q} {params.root:q} > {log:q} 2>&1",
            )
