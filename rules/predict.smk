"""What each classifier says on the masked copies of the test images."""


rule predict:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
    output:
        f"{RESULTS}/predictions/{MASKED}/shards/{{scatteritem}}.npz",
    log:
        f"{LOGS}/predict/{MASKED}/{{scatteritem}}.log",
    benchmark:
        f"{BENCHMARKS}/predict/{MASKED}/{{scatteritem}}.tsv"
    threads: 1
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        data=data_identity,
        training=training_settings,
        engine={key: config["predict"][key] for key in ("fill", "dtype", "batch_size", "compiled")},
        asked=asked_of_classifier,
        block_size=config["predict"]["block_size"],
        device=config["device"],
        code=run_code("predict.py"),
        scratch=f"{SCRATCH}/predict",
    message:
        "Predicting {wildcards.dataset} with {wildcards.model}, {wildcards.training}, seed {wildcards.seed}: patch {wildcards.patch}, {wildcards.budget} masks, shard {wildcards.scatteritem}"
    script:
        "../workflow/scripts/predict.py"


rule gather_predictions:
    input:
        gather.shard(f"{RESULTS}/predictions/{MASKED.replace('{', '{{').replace('}', '}}')}/shards/{{scatteritem}}.npz"),
    output:
        f"{RESULTS}/predictions/{MASKED}/predictions.npz",
    log:
        f"{LOGS}/gather_predictions/{MASKED}.log",
    benchmark:
        f"{BENCHMARKS}/gather_predictions/{MASKED}.tsv"
    params:
        code=adapter_code("gather_predictions.py"),
    message:
        "Joining the shards of {wildcards.model}, {wildcards.training}, seed {wildcards.seed}: {wildcards.budget} masks"
    script:
        "../workflow/scripts/gather_predictions.py"


rule gather_scores:
    input:
        rules.gather_predictions.input,
    output:
        values=f"{RESULTS}/predictions/{MASKED}/scores.npy",
        record=f"{RESULTS}/predictions/{MASKED}/scores.json",
    log:
        f"{LOGS}/gather_scores/{MASKED}.log",
    benchmark:
        f"{BENCHMARKS}/gather_scores/{MASKED}.tsv"
    params:
        code=adapter_code("gather_scores.py"),
    message:
        "Joining the shards of {wildcards.model}, {wildcards.training}, seed {wildcards.seed}: {wildcards.budget} masks"
    script:
        "../workflow/scripts/gather_scores.py"


rule predict_regions:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
    output:
        values=f"{RESULTS}/regions/{RUN}/scores.npy",
        unsure=f"{RESULTS}/regions/{RUN}/unsure.npy",
        record=f"{RESULTS}/regions/{RUN}/record.json",
    log:
        f"{LOGS}/predict_regions/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/predict_regions/{RUN}.tsv"
    threads: 1
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        data=data_identity,
        training=training_settings,
        settings={key: config["defenses"]["bagcert"][key] for key in ("numerical_margin", "batch_size")},
        device=config["device"],
        code=run_code("predict_regions.py"),
    message:
        "Scoring the regions of {wildcards.dataset} with {wildcards.model}, {wildcards.training}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/predict_regions.py"


rule time_regions:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
    output:
        f"{RESULTS}/{REGION_TIMES}",
    log:
        f"{LOGS}/time_regions/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/time_regions/{RUN}.tsv"
    # all of them, so that nothing else runs while the clock does
    threads: workflow.cores
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        run=lambda wildcards: timed_regions(wildcards)["run"],
        patches=lambda wildcards: timed_regions(wildcards)["patches"],
        images=config["defenses"]["bagcert"]["timed_images"],
        device=config["device"],
        code=run_code("time_regions.py"),
    message:
        "Timing region scores and certificates: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/time_regions.py"


rule attack_regions:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
    output:
        f"{RESULTS}/attacks/{RUN}/patch-{{patch}}.parquet",
    log:
        f"{LOGS}/attack_regions/{RUN}/patch-{{patch}}.log",
    benchmark:
        f"{BENCHMARKS}/attack_regions/{RUN}/patch-{{patch}}.tsv"
    threads: 1
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        images=config["defenses"]["bagcert"]["attacked_images"],
        steps=config["defenses"]["bagcert"]["attack_steps"],
        device=config["device"],
        code=run_code("attack_regions.py"),
    message:
        "Attacking {wildcards.model} on {wildcards.dataset}: {wildcards.training}, seed {wildcards.seed}, patch {wildcards.patch}"
    script:
        "../workflow/scripts/attack_regions.py"


rule attack_images:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
    output:
        f"{RESULTS}/attacked/{RUN}/patch-{{patch}}/steps-{{steps}}.npz",
    log:
        f"{LOGS}/attack_images/{RUN}/patch-{{patch}}/steps-{{steps}}.log",
    benchmark:
        f"{BENCHMARKS}/attack_images/{RUN}/patch-{{patch}}/steps-{{steps}}.tsv"
    threads: 1
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        data=data_identity,
        training=training_settings,
        images=config["defenses"]["mask_smoothing"]["images"],
        images_seed=smoothed_seed,
        places=config["defenses"]["mask_smoothing"]["attack_places"],
        device=config["device"],
        block_size=config["defenses"]["mask_smoothing"]["block_size"],
        code=run_code("attack_images.py"),
        scratch=f"{SCRATCH}/attack_images",
    message:
        "Attacking {wildcards.model} on {wildcards.dataset}: {wildcards.training}, seed {wildcards.seed}, patch {wildcards.patch}, {wildcards.steps} steps"
    script:
        "../workflow/scripts/attack_images.py"


rule restore_images:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
        attacked=shown_images,
    output:
        f"{RESULTS}/restored/{RUN}/patch-{{patch}}/{{shown}}.npz",
    log:
        f"{LOGS}/restore_images/{RUN}/patch-{{patch}}/{{shown}}.log",
    benchmark:
        f"{BENCHMARKS}/restore_images/{RUN}/patch-{{patch}}/{{shown}}.tsv"
    threads: restoring_threads
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        data=data_identity,
        training=training_settings,
        images=config["defenses"]["mask_smoothing"]["images"],
        images_seed=smoothed_seed,
        batch_size=config["defenses"]["mask_smoothing"]["batch_size"],
        cache=f"{CACHE}/restored_blocks",
        device=config["device"],
        block_size=config["defenses"]["mask_smoothing"]["block_size"],
        code=run_code("restore_images.py"),
        scratch=f"{SCRATCH}/restore_images",
    message:
        "Restoring a block of {wildcards.patch} at every place: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}, images {wildcards.shown}"
    script:
        "../workflow/scripts/restore_images.py"


rule sample_noise:
    input:
        unpack(located_inputs),
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
        record=rules.train.output.record,
    output:
        f"{RESULTS}/samples/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.npz",
    log:
        f"{LOGS}/sample_noise/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.log",
    benchmark:
        f"{BENCHMARKS}/sample_noise/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.tsv"
    threads: 1
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        data=data_identity,
        training=training_settings,
        images=config["defenses"]["mask_smoothing"]["images"],
        images_seed=smoothed_seed,
        sampling={
            "selection": config["defenses"]["mask_smoothing"]["selection_samples"],
            "estimation": config["defenses"]["mask_smoothing"]["estimation_samples"],
            "batch_size": config["defenses"]["mask_smoothing"]["batch_size"],
        },
        voting=VOTING,
        device=config["device"],
        block_size=config["defenses"]["mask_smoothing"]["block_size"],
        code=run_code("sample_noise.py"),
        scratch=f"{SCRATCH}/sample_noise",
    message:
        "Sampling noise of {wildcards.sigma} in a mask of {wildcards.patch}: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}, {wildcards.place}"
    script:
        "../workflow/scripts/sample_noise.py"


rule time_inference:
    input:
        index=rules.prepare.output.index,
        pixels=PIXELS,
        weights=rules.train.output.weights,
    output:
        f"{RESULTS}/{TIMES}",
    log:
        f"{LOGS}/time_inference/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/time_inference/{RUN}.tsv"
    # all of them, so that nothing else runs while the clock does
    threads: workflow.cores
    resources:
        gpu=GPU_SLOTS,
    params:
        dataset=dataset_of,
        run=run_of,
        masks=timed_masks,
        images=config["predict"]["timed_images"],
        engine={key: config["predict"][key] for key in ("fill", "dtype")},
        device=config["device"],
        code=run_code("time_inference.py"),
    message:
        "Timing single answers: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/time_inference.py"


rule predicted:
    input:
        every(rules.time_inference.output[0], analysis_facts("mask_budgets") if "mask_budgets" in parts_of(None) else []),
        # the shards too: one that was deleted is predicted again
        list(dict.fromkeys(shard for facts in masked_facts() for shard in gather.shard(rules.predict.output[0], **facts))),
        gathered_of(certified_facts()),
