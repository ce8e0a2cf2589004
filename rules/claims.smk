"""One published number regenerated, and nothing else: `snakemake results/claims/ID.json`."""


def claim_row(wildcards):
    """A row of the ledger; what reads it is imported when a number is asked for."""
    from patchcert.claims.measured import row_of
    from patchcert.report.ledger import read_ledger

    try:
        return row_of(read_ledger(LEDGER), wildcards.claim)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def claim_target(wildcards):
    """The certificates that give a number."""
    from patchcert.claims.record import target_of

    try:
        return target_of(claim_row(wildcards), config)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def claim_files(wildcards):
    """The files of each certificate of a number, or of the times of its run."""
    of_kind = {
        "certificates": lambda facts: certificates_of([facts]),
        "times": lambda facts: every(rules.time_inference.output[0], [facts]),
        "region_times": lambda facts: every(rules.time_regions.output[0], [facts]),
    }
    found = claim_target(wildcards)
    return [of_kind[found.kind](facts) for facts in found.facts]


def claim_upstream(wildcards):
    """What the certificates of a number were made from: one file may be for several of them."""
    found = claim_target(wildcards)
    return {
        "predictions": gathered_of(found.facts) if found.kind == "certificates" else [],
        "weights": every(rules.train.output.weights, found.facts),
        "records": every(rules.train.output.record, found.facts),
        "indexes": every(rules.prepare.output.index, found.facts),
    }


def claim_inputs(wildcards):
    files = dict.fromkeys(path for paths in claim_files(wildcards) for path in paths)
    return {"measured": list(files), **claim_upstream(wildcards)}


def claim_code(wildcards):
    return adapter_code("claim.py", *(f"patchcert.evaluation.{facts['defense']}" for facts in claim_target(wildcards).facts))


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
        code=claim_code,
    message:
        "Regenerating one published number: {wildcards.claim}"
    script:
        "../workflow/scripts/claim.py"
