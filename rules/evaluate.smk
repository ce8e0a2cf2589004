"""Accuracies with their confidence intervals, one JSON file a defense."""


rule evaluate:
    input:
        evaluated_certificates,
    output:
        f"{RESULTS}/metrics/{{defense}}.json",
    log:
        f"{LOGS}/evaluate/{{defense}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{defense}}.tsv"
    params:
        runs=evaluated_runs,
        confidence=config["evaluate"]["confidence"],
        code=evaluation_code,
    message:
        "Evaluating {wildcards.defense}"
    script:
        "../workflow/scripts/evaluate.py"


rule evaluated:
    input:
        expand(rules.evaluate.output[0], defense=evaluated_defenses()),
