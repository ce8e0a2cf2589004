"""Tables, figures and the page that shows them."""

TABLES = {
    "accuracy": "Clean accuracy of the defended classifier and certified accuracy, by model and training strategy. Published values are those of full-size models on CIFAR-10, a patch of the same share of the image; PC is the PatchCleanser paper, GC the Greedy Cutout paper.",
    "vanilla": "Clean accuracy of the undefended classifiers, without any mask, beside that of the full-size models on CIFAR-10 (PC, the PatchCleanser paper).",
}
FIGURES = {
    "mask_set": "A mask set over a test image, and the two rounds of double masking with the labels that the classifier gave.",
    "strategies": "Certified accuracy by training strategy; diamonds are the published values for CIFAR-10 and full-size models.",
    "training_curves": "Calibration accuracy under each strategy's own masks, epoch by epoch; a dot marks the epoch that was chosen.",
}
METRICS = f"{RESULTS}/metrics/double_masking.json"
LEDGER = "reports/claims.csv"


rule table:
    input:
        metrics=METRICS,
        ledger=LEDGER,
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
        confidence=config["evaluate"]["confidence"],
        code=table_code,
    message:
        "Writing the table {wildcards.table}"
    script:
        "../workflow/scripts/table.py"


rule figure_mask_set:
    input:
        files=[source_path(entry) for entry in SOURCES[config["datasets"][example_run()["dataset"]]["source"]]],
        index=rules.prepare.output.index.format(**example_run()),
        predictions=rules.gather_predictions.output[0].format(**example_run()),
    output:
        svg=f"{REPORTS}/figures/mask_set.svg",
        png=report(
            f"{REPORTS}/figures/mask_set.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "mask set"},
        ),
    log:
        f"{LOGS}/figure/mask_set.log",
    benchmark:
        f"{BENCHMARKS}/figure/mask_set.tsv"
    params:
        caption=FIGURES["mask_set"],
        dataset=config["datasets"][example_run()["dataset"]],
        facts=example_run(),
        style=config["report"],
        code=adapter_code("figure_mask_set.py"),
    message:
        "Drawing the mask set and the two rounds"
    script:
        "../workflow/scripts/figure_mask_set.py"


rule figure_strategies:
    input:
        metrics=METRICS,
        ledger=LEDGER,
    output:
        svg=f"{REPORTS}/figures/strategies.svg",
        png=report(
            f"{REPORTS}/figures/strategies.png",
            caption="../workflow/captions/figure.rst",
            category="Figures",
            labels={"figure": "strategies"},
        ),
    log:
        f"{LOGS}/figure/strategies.log",
    benchmark:
        f"{BENCHMARKS}/figure/strategies.tsv"
    params:
        caption=FIGURES["strategies"],
        style=config["report"],
        code=adapter_code("figure_strategies.py"),
    message:
        "Drawing certified accuracy by strategy"
    script:
        "../workflow/scripts/figure_strategies.py"


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
            labels={"figure": "training curves"},
        ),
    log:
        f"{LOGS}/figure/training_curves.log",
    benchmark:
        f"{BENCHMARKS}/figure/training_curves.tsv"
    params:
        caption=FIGURES["training_curves"],
        runs=configured_runs(),
        style=config["report"],
        code=adapter_code("figure_training_curves.py"),
    message:
        "Drawing the training logs"
    script:
        "../workflow/scripts/figure_training_curves.py"


rule page:
    input:
        metrics=METRICS,
        tables=expand(rules.table.output.markdown, table=TABLES),
        figures=expand(f"{REPORTS}/figures/{{figure}}.png", figure=FIGURES),
        vectors=expand(f"{REPORTS}/figures/{{figure}}.svg", figure=FIGURES),
        records=every(rules.prepare.output.record, configured_runs()),
    output:
        f"{REPORTS}/README.md",
    log:
        f"{LOGS}/page.log",
    benchmark:
        f"{BENCHMARKS}/page.tsv"
    params:
        config={key: value for key, value in config.items() if key not in ("mirror", "directories")},
        captions=TABLES | FIGURES,
        tables=list(TABLES),
        figures=list(FIGURES),
        code=adapter_code("page.py"),
    message:
        "Writing the page of results"
    script:
        "../workflow/scripts/page.py"


rule reported:
    input:
        rules.page.output,
        expand(rules.table.output.csv, table=TABLES),
