"""One published number regenerated, and nothing else: `snakemake results/claims/ID.json`; and the page of all of them."""


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


rule page_of_claims:
    input:
        unpack(lambda wildcards: ledger_page_inputs()),
    output:
        csv=LEDGER,
        page=report(
            LEDGER_PAGE,
            caption="../workflow/captions/claims.rst",
            category="Published numbers",
            labels={"page": "claims"},
        ),
    log:
        f"{LOGS}/page_of_claims.log",
    benchmark:
        f"{BENCHMARKS}/page_of_claims.tsv"
    params:
        settings=ledger_page_settings,
        beside=ledger_page_beside,
        code=adapter_code("page_of_claims.py"),
    message:
        "Writing the ledger of published numbers and its page"
    script:
        "../workflow/scripts/page_of_claims.py"
