# Tables, plots and a page of what the members left behind.


report: "report.rst"


for entity in EXPERIMENT.entities:

    rule:
        name:
            f"members_{entity.rule}"
        input:
            entity.known,
        output:
            entity.members,
        log:
            entity.log("members"),
        localrule: True
        params:
            root=EXPERIMENT.root,
            entity=entity.name,
            digest=entity.members_digest,
        shell:
            EXPERIMENT.shell(
                "members.py", "{params.root:q} {params.entity:q} > {log:q} 2>&1"
            )

    rule:
        name:
            f"collect_{entity.rule}"
        input:
            entity.all_done,
        output:
            report(entity.results, category=entity.name, labels={"file": "table"}),
            entity.series,
        log:
            entity.log("collect"),
        localrule: True
        params:
            root=EXPERIMENT.root,
            entity=entity.name,
        shell:
            EXPERIMENT.shell(
                "collect.py", "{params.root:q} {params.entity:q} > {log:q} 2>&1"
            )

    rule:
        name:
            f"parquet_{entity.rule}"
        input:
            entity.results,
        output:
            entity.parquet,
        log:
            entity.log("parquet"),
        localrule: True
        params:
            root=EXPERIMENT.root,
            entity=entity.name,
        shell:
            EXPERIMENT.shell(
                "parquet.py", "{params.root:q} {params.entity:q} > {log:q} 2>&1"
            )

    if entity.plots:

        rule:
            name:
                f"plot_{entity.rule}"
            input:
                entity.results,
                entity.figures,
            output:
                [
                    report(
                        plot,
                        category=entity.name,
                        labels={"file": f"plot {plot.name}"},
                    )
                    for plot in map(Path, entity.plots)
                ],
            log:
                entity.log("plot"),
            localrule: True
            params:
                **entity.drawn,
                root=EXPERIMENT.root,
                entity=entity.name,
            shell:
                EXPERIMENT.shell(
                    "plot.py", "{params.root:q} {params.entity:q} > {log:q} 2>&1"
                )


rule overview:
    input:
        EXPERIMENT.tables,
    output:
        report(
            EXPERIMENT.page,
            category="Overview",
            labels={"page": "everything about this experiment"},
        ),
    log:
        EXPERIMENT.log("overview"),
    localrule: True
    params:
        **EXPERIMENT.drawn,
        root=EXPERIMENT.root,
    shell:
        EXPERIMENT.shell("page.py", "{params.root:q} > {log:q} 2>&1")
