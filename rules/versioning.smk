"""Data and checkpoints under DVC: recorded after everything is trained, and brought back in another clone."""


rule version:
    input:
        rules.trained.input,
    log:
        f"{LOGS}/version.log",
    params:
        folders=[DATA, CHECKPOINTS],
    message:
        "Recording {DATA} and {CHECKPOINTS} with DVC"
    script:
        "../workflow/scripts/version.py"


rule restore:
    log:
        f"{LOGS}/restore.log",
    params:
        folders=[DATA, CHECKPOINTS],
        kept=[DATA, CHECKPOINTS, f"{RESULTS}/prepared"],
        snakefile=str(workflow.main_snakefile),
        runs={rules.train.output.weights.format(**run): expected_identity(run) for run in recorded_runs()},
        digests={source_path(entry): entry.digest for entry in configured_sources()},
    message:
        "Restoring {DATA} and {CHECKPOINTS} with DVC"
    script:
        "../workflow/scripts/restore.py"
