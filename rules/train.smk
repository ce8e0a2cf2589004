"""Trained weights, each with its record and its log."""


rule train:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        start=starting_weights,
    output:
        weights=f"{CHECKPOINTS}/{RUN}/weights.safetensors",
        record=f"{CHECKPOINTS}/{RUN}/record.json",
        log=f"{CHECKPOINTS}/{RUN}/log.csv",
    log:
        f"{LOGS}/train/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/train/{RUN}.tsv"
    threads: 1
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        data=data_identity,
        settings=training_settings,
        device=config["device"],
        code=training_code,
        scratch=f"{SCRATCH}/train",
    message:
        "Training {wildcards.model} on {wildcards.dataset}: {wildcards.training}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/train.py"


rule trained:
    input:
        every(rules.train.output.weights, configured_runs()),
