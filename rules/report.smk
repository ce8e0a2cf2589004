"""Tables, figures and the page that shows them."""

PUBLISHED_NUMBERS = "config/published.csv"
LEDGER, LEDGER_PAGE = f"{REPORTS}/claims.csv", f"{REPORTS}/claims.html"


rule table:
    input:
        unpack(table_inputs),
    output:
        csv=report(
            f"{REPORTS}/tables/{{table}}.csv",
            caption="../workflow/captions/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        markdown=f"{REPORTS}/tables/{{table}}.md",
    log:
        f"{LOGS}/table/{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/table/{{table}}.tsv"
    params:
        caption=table_caption,
        facts=table_facts,
        study=table_study,
        confidence=config["evaluate"]["confidence"],
        code=table_code,
    message:
        "Writing the table {wildcards.table}"
    script:
        "../workflow/scripts/table.py"


rule figure:
    input:
        unpack(figure_inputs),
    output:
        svg=f"{REPORTS}/figures/{{figure}}.svg",
        png=report(
            f"{REPORTS}/figures/{{figure}}.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{LOGS}/figure/{{figure}}.log",
    benchmark:
        f"{BENCHMARKS}/figure/{{figure}}.tsv"
    params:
        caption=figure_caption,
        facts=figure_facts,
        study=figure_study,
        image_sizes=figure_image_sizes,
        style=config["report"],
        code=figure_code,
    message:
        "Drawing the figure {wildcards.figure}"
    script:
        "../workflow/scripts/figure.py"


rule figure_mask_set:
    input:
        unpack(example_inputs),
    output:
        svg=f"{REPORTS}/figures/mask_set.svg",
        png=report(
            f"{REPORTS}/figures/mask_set.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "mask_set"},
        ),
    log:
        f"{LOGS}/figure/mask_set.log",
    benchmark:
        f"{BENCHMARKS}/figure/mask_set.tsv"
    params:
        caption=FIGURES["mask_set"]["caption"],
        facts=analysis_facts("mask_set")[:1],
        dataset=example_dataset(),
        style=config["report"],
        code=adapter_code("figure_mask_set.py"),
    message:
        "Drawing the mask set and the two rounds"
    script:
        "../workflow/scripts/figure_mask_set.py"


rule figure_training_curves:
    input:
        logs=every(rules.train.output.log, configured_runs()),
        records=every(rules.train.output.record, configured_runs()),
    output:
        svg=f"{REPORTS}/figures/training_curves.svg",
        png=report(
            f"{REPORTS}/figures/training_curves.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "training_curves"},
        ),
    log:
        f"{LOGS}/figure/training_curves.log",
    benchmark:
        f"{BENCHMARKS}/figure/training_curves.tsv"
    params:
        caption=FIGURES["training_curves"]["caption"],
        runs=configured_runs(),
        style=config["report"],
        code=adapter_code("figure_training_curves.py"),
    message:
        "Drawing the training logs"
    script:
        "../workflow/scripts/figure_training_curves.py"


rule figure_masked_images:
    input:
        unpack(masked_images_inputs),
    output:
        svg=f"{REPORTS}/figures/masked_images.svg",
        png=report(
            f"{REPORTS}/figures/masked_images.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "masked_images"},
        ),
    log:
        f"{LOGS}/figure/masked_images.log",
    benchmark:
        f"{BENCHMARKS}/figure/masked_images.tsv"
    params:
        caption=FIGURES["masked_images"]["caption"],
        facts=lambda wildcards: masked_images_facts(),
        dataset=lambda wildcards: config["datasets"][masked_images_facts()["dataset"]],
        trainings=lambda wildcards: timed_trainings(SimpleNamespace(**masked_images_facts())),
        images=8,
        style=config["report"],
        code=masked_images_code,
    message:
        "Drawing what each training strategy shows"
    script:
        "../workflow/scripts/figure_masked_images.py"


rule figure_certification_histograms:
    input:
        unpack(histograms_inputs),
    output:
        svg=f"{REPORTS}/figures/certification_histograms.svg",
        png=report(
            f"{REPORTS}/figures/certification_histograms.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "certification_histograms"},
        ),
    log:
        f"{LOGS}/figure/certification_histograms.log",
    benchmark:
        f"{BENCHMARKS}/figure/certification_histograms.tsv"
    params:
        caption=FIGURES["certification_histograms"]["caption"],
        facts=lambda wildcards: histograms_facts(),
        threshold=config["defenses"]["multilabel"]["threshold"],
        style=config["report"],
        code=adapter_code("figure_certification_histograms.py"),
    message:
        "Drawing certification histograms over one image"
    script:
        "../workflow/scripts/figure_certification_histograms.py"


rule figure_bagcert_attack_example:
    input:
        unpack(attack_example_inputs),
    output:
        svg=f"{REPORTS}/figures/bagcert_attack_example.svg",
        png=report(
            f"{REPORTS}/figures/bagcert_attack_example.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "bagcert_attack_example"},
        ),
    log:
        f"{LOGS}/figure/bagcert_attack_example.log",
    benchmark:
        f"{BENCHMARKS}/figure/bagcert_attack_example.tsv"
    params:
        caption=FIGURES["bagcert_attack_example"]["caption"],
        facts=lambda wildcards: attack_example_facts(),
        dataset=lambda wildcards: config["datasets"][attack_example_facts()["dataset"]],
        images=20,
        steps=config["defenses"]["bagcert"]["attack_steps"],
        style=config["report"],
        code=attack_example_code,
    message:
        "Drawing one patch attack on region scores"
    script:
        "../workflow/scripts/figure_bagcert_attack_example.py"


ruleorder: figure_bagcert_attack_example > figure
ruleorder: figure_mask_set > figure
ruleorder: figure_certification_histograms > figure
ruleorder: figure_masked_images > figure
ruleorder: figure_training_curves > figure


rule page:
    input:
        unpack(page_inputs),
    output:
        f"{REPORTS}/{{page}}.md",
    log:
        f"{LOGS}/page/{{page}}.log",
    benchmark:
        f"{BENCHMARKS}/page/{{page}}.tsv"
    params:
        shown=page_settings,
        code=adapter_code("page.py"),
    message:
        "Writing the page of results {wildcards.page}"
    script:
        "../workflow/scripts/page.py"


rule reported:
    input:
        f"{REPORTS}/README.md",
        LEDGER,
        LEDGER_PAGE,
        expand([*rules.table.output], table=made(TABLES)),
        expand([*rules.figure.output], figure=made(FIGURES)),


for target in config["targets"]:

    rule:
        name:
            target
        input:
            f"{REPORTS}/{target}.md",
            expand([*rules.table.output], table=made(TABLES, target)),
            expand([*rules.figure.output], figure=made(FIGURES, target)),
