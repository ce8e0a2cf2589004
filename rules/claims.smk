"""One published number regenerated, and nothing else: `snakemake results/claims/ID.json`."""


rule claim:
    input:
        unpack(claim_inputs),
    output:
        f"{RESULTS}/{CLAIMS}",
    log:
        f"{LOGS}/claim/{{claim}}.log",
    benchmark:
        f"{BENCHMARKS}/claim/{{claim}}.tsv"
    params:
        row=claim_row,
        files=claim_files,
        upstream=claim_upstream,
        settings=claim_settings,
        code=claim_code,
    message:
        "Regenerating one published number: {wildcards.claim}"
    script:
        "../workflow/scripts/claim.py"
