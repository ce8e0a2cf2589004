"""Certificates: one row an image, from stored predictions alone."""


rule certify:
    input:
        index=rules.prepare.output.index,
        predictions=rules.gather_predictions.output[0],
    output:
        f"{RESULTS}/certificates/{{defense}}/{MASKED}.parquet",
    log:
        f"{LOGS}/certify/{{defense}}/{MASKED}.log",
    benchmark:
        f"{BENCHMARKS}/certify/{{defense}}/{MASKED}.tsv"
    params:
        settings=defense_settings,
        code=defense_code,
    message:
        "Certifying by {wildcards.defense}: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}, {wildcards.budget} masks"
    script:
        "../workflow/scripts/certify.py"


rule certified:
    input:
        every(rules.certify.output[0], certified_facts()),
