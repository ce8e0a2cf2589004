"""Accuracies with their confidence intervals, one JSON file a defense."""


def evaluated_runs(wildcards):
    return [facts for facts in CERTIFIED if facts["defense"] == wildcards.defense]


def evaluated_certificates(wildcards):
    return every(rules.certify.output[0], evaluated_runs(wildcards))


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
        code=adapter_code("evaluate.py"),
    message:
        "Evaluating {wildcards.defense}"
    script:
        "../workflow/scripts/evaluate.py"


rule evaluated:
    input:
        expand(rules.evaluate.output[0], defense=config["defenses"]),
