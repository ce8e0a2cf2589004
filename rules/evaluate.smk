"""Accuracies with their confidence intervals, one JSON file for each analysis and defense; the grid of runs counts as one."""


rule evaluate:
    input:
        evaluated_certificates,
    output:
        f"{RESULTS}/metrics/{{analysis}}/{{defense}}.json",
    log:
        f"{LOGS}/evaluate/{{analysis}}/{{defense}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{analysis}}/{{defense}}.tsv"
    params:
        runs=evaluated_runs,
        confidence=config["evaluate"]["confidence"],
        code=evaluation_code,
    message:
        "Evaluating {wildcards.defense}: {wildcards.analysis}"
    script:
        "../workflow/scripts/evaluate.py"


rule evaluated:
    input:
        evaluations(),
