# Questions: each prints the answer of the command `ensemake`; only prune changes anything, and only
# when confirmed.


rule preview:
    log:
        EXPERIMENT.question_log("preview"),
    localrule: True
    params:
        command=EXPERIMENT.ask("preview"),
        at_once=EXPERIMENT.at_once,
        config=EXPERIMENT.asked,
    shell:
        "{params.command:q} {params.config:q} {params.at_once} | (umask 077; tee {log:q})"


for target in ("status", "results"):

    rule:
        name:
            target
        log:
            EXPERIMENT.question_log(target),
        localrule: True
        params:
            command=EXPERIMENT.ask(target),
            config=EXPERIMENT.asked,
        shell:
            "{params.command:q} {params.config:q} | tee {log:q}"


rule prune:
    log:
        EXPERIMENT.question_log("prune"),
    localrule: True
    params:
        command=EXPERIMENT.ask("prune"),
        config=EXPERIMENT.asked,
        confirm=["--yes"] if config.get("confirm") == "prune" else [],
    shell:
        "{params.command:q} {params.config:q} {params.confirm} | tee {log:q}"
