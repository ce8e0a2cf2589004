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


rule certify_multilabel:
    input:
        index=rules.prepare.output.index,
        values=rules.gather_scores.output.values,
        record=rules.gather_scores.output.record,
    output:
        records=f"{RESULTS}/certificates/multilabel/{MASKED}/records.parquet",
        attackers=f"{RESULTS}/certificates/multilabel/{MASKED}/attackers.parquet",
    log:
        f"{LOGS}/certify/multilabel/{MASKED}.log",
    benchmark:
        f"{BENCHMARKS}/certify/multilabel/{MASKED}.tsv"
    params:
        image_size=lambda wildcards: dataset_of(wildcards)["image_size"],
        patches=config["defenses"]["multilabel"]["smaller_patches"],
        numerical_margin=config["defenses"]["multilabel"]["numerical_margin"],
        code=adapter_code("certify_multilabel.py"),
    message:
        "Certifying each label: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}, {wildcards.budget} masks"
    script:
        "../workflow/scripts/certify_multilabel.py"


rule certify_regions:
    input:
        index=rules.prepare.output.index,
        values=rules.predict_regions.output.values,
        unsure=rules.predict_regions.output.unsure,
        record=rules.predict_regions.output.record,
    output:
        f"{RESULTS}/certificates/bagcert/{RUN}.parquet",
    log:
        f"{LOGS}/certify/bagcert/{RUN}.log",
    benchmark:
        f"{BENCHMARKS}/certify/bagcert/{RUN}.tsv"
    params:
        dataset=dataset_of,
        patches=region_patches,
        code=run_code("certify_regions.py"),
    message:
        "Certifying region scores: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/certify_regions.py"


rule certify_smoothing:
    input:
        unpack(located_inputs),
        counts=rules.sample_noise.output[0],
    output:
        f"{RESULTS}/certificates/mask_smoothing/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.parquet",
    log:
        f"{LOGS}/certify/mask_smoothing/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.log",
    benchmark:
        f"{BENCHMARKS}/certify/mask_smoothing/{RUN}/patch-{{patch}}/{{place}}/sigma-{{sigma}}.tsv"
    params:
        alpha=config["defenses"]["mask_smoothing"]["alpha"],
        voting=VOTING,
        code=adapter_code("certify_smoothing.py"),
    message:
        "Certifying by mask smoothing: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}, mask {wildcards.patch}, {wildcards.place}, sigma {wildcards.sigma}"
    script:
        "../workflow/scripts/certify_smoothing.py"


rule locate:
    input:
        attacked=rules.attack_images.output[0],
        restored=rules.restore_images.output[0].replace("{shown}", "steps-{steps}"),
    output:
        f"{RESULTS}/certificates/localisation/{RUN}/patch-{{patch}}/steps-{{steps}}.parquet",
    log:
        f"{LOGS}/certify/localisation/{RUN}/patch-{{patch}}/steps-{{steps}}.log",
    benchmark:
        f"{BENCHMARKS}/certify/localisation/{RUN}/patch-{{patch}}/steps-{{steps}}.tsv"
    params:
        voting=VOTING,
        code=adapter_code("locate.py"),
    message:
        "Locating patches of {wildcards.patch} after {wildcards.steps} steps: {wildcards.model}, {wildcards.training}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/locate.py"


rule certified:
    input:
        certificates_of(certified_facts()),
