# Questions: each prints its answer; only prune changes anything, and only when confirmed.


rule preview:
    log:
        EXPERIMENT.question_log("preview"),
    localrule: True
    params:
        command=EXPERIMENT.command("preview.py"),
        at_once=EXPERIMENT.at_once,
        config=EXPERIMENT.asked,
    shell:
        "{params.command:q} {params.at_once} {params.config:q} | tee {log:q}"


for target in ("status", "results"):

    rule:
        name:
            target
        log:
            EXPERIMENT.question_log(target),
        localrule: True
        params:
            command=EXPERIMENT.command(f"{target}.py"),
            config=EXPERIMENT.asked,
        shell:
            "{params.command:q} {params.config:q} | tee {log:q}"


rule prune:
    log:
        EXPERIMENT.question_log("prune"),
    localrule: True
    params:
        command=EXPERIMENT.command("prune.py"),
        config=EXPERIMENT.asked,
        confirm=["--confirm"] if config.get("confirm") == "prune" else [],
    shell:
        "{params.command:q} {params.confirm} {params.config:q} | tee {log:q}"
