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
    # before what is quick or waits for nothing: trainings start from one another, and the last one decides when all is done
    priority: 1
    threads: 1
    resources:
        gpu=lambda wildcards: GPU_SLOTS * training_settings(wildcards)["gpus"],
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


rule time_training:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
    output:
        f"{RESULTS}/{TRAINING_TIMES}",
    log:
        f"{LOGS}/time_training/{{dataset}}/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/time_training/{{dataset}}/{{model}}.tsv"
    # all of them, so that nothing else runs while the clock does
    threads: workflow.cores
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        trainings=timed_trainings,
        device=config["device"],
        code=training_timing_code,
    message:
        "Timing training steps: {wildcards.model} on {wildcards.dataset}"
    script:
        "../workflow/scripts/time_training.py"


rule trained:
    input:
        every(rules.train.output.weights, configured_runs()),
