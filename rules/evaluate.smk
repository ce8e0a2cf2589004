"""Accuracies with their confidence intervals, one JSON file for each analysis and defense; the grid of runs counts as one."""


rule evaluate:
    input:
        evaluated_certificates,
    output:
        METRICS_FILE,
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


rule evaluate_multilabel:
    input:
        lambda wildcards: certificates_of(multilabel_facts(wildcards)),
    output:
        METRICS_FILE.format(analysis="{analysis}", defense="multilabel"),
    log:
        f"{LOGS}/evaluate/{{analysis}}/multilabel.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{analysis}}/multilabel.tsv"
    params:
        runs=multilabel_facts,
        threshold=config["defenses"]["multilabel"]["threshold"],
        code=adapter_code("evaluate_multilabel.py"),
    message:
        "Evaluating multi-label certificates: {wildcards.analysis}"
    script:
        "../workflow/scripts/evaluate_multilabel.py"


ruleorder: evaluate_multilabel > evaluate


rule evaluated:
    input:
        evaluations(),
