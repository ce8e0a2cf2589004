"""Data and checkpoints under DVC: recorded after everything is trained, and brought back in another clone."""

from types import SimpleNamespace


def recorded_runs():
    """Every configured run and every run that one of them starts from."""
    runs = configured_runs()
    for run in runs:  # grows while it is read
        start = config["trainings"][run["training"]]["start_from"]
        if start and run | {"training": start} not in runs:
            runs.append(run | {"training": start})
    return runs


def expected_identity(run):
    """What a run's record says where its weights are those that the configuration asks for."""
    facts = SimpleNamespace(**run)
    return {
        "settings": training_settings(facts),
        "data": data_identity(facts),
        "code": training_code(facts),
        "device": config["device"],
    }


def configured_sources():
    return [entry for block in config["datasets"].values() for entry in SOURCES[block["source"]]]


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
        digests={source_path(entry): entry.sha256 for entry in configured_sources()},
    message:
        "Restoring {DATA} and {CHECKPOINTS} with DVC"
    script:
        "../workflow/scripts/restore.py"
