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
        subset=evaluated_subset,
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


rule evaluate_regions:
    input:
        lambda wildcards: certificates_of(region_facts(wildcards.analysis)),
    output:
        METRICS_FILE.format(analysis="{analysis}", defense="bagcert"),
    log:
        f"{LOGS}/evaluate/{{analysis}}/bagcert.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{analysis}}/bagcert.tsv"
    params:
        runs=lambda wildcards: region_facts(wildcards.analysis),
        files=lambda wildcards: [rules.certify_regions.output[0].format(**facts) for facts in region_facts(wildcards.analysis)],
        confidence=config["evaluate"]["confidence"],
        code=adapter_code("evaluate_regions.py"),
    message:
        "Evaluating BagCert's certificates: {wildcards.analysis}"
    script:
        "../workflow/scripts/evaluate_regions.py"


rule evaluate_attacks:
    input:
        lambda wildcards: every(rules.attack_regions.output[0], region_facts(wildcards.analysis)),
    output:
        METRICS_FILE.format(analysis="{analysis}", defense="attacks"),
    log:
        f"{LOGS}/evaluate/{{analysis}}/attacks.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{analysis}}/attacks.tsv"
    params:
        runs=lambda wildcards: region_facts(wildcards.analysis),
        confidence=config["evaluate"]["confidence"],
        code=adapter_code("evaluate_attacks.py"),
    message:
        "Evaluating attacks: {wildcards.analysis}"
    script:
        "../workflow/scripts/evaluate_attacks.py"


ruleorder: evaluate_multilabel > evaluate
ruleorder: evaluate_regions > evaluate
ruleorder: evaluate_attacks > evaluate


rule evaluated:
    input:
        evaluations(),
