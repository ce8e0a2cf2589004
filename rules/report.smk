"""Tables, figures and the page that shows them."""

LEDGER = "reports/claims.csv"


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


ruleorder: figure_mask_set > figure
ruleorder: figure_training_curves > figure


rule page:
    input:
        metrics=metrics_of(GRID).values(),
        analyses=analysis_files(),
        tables=expand(rules.table.output.markdown, table=made(TABLES)),
        figures=expand(rules.figure.output.png, figure=made(FIGURES)),
        vectors=expand(rules.figure.output.svg, figure=made(FIGURES)),
        records=every(rules.prepare.output.record, configured_runs()),
    output:
        f"{REPORTS}/README.md",
    log:
        f"{LOGS}/page.log",
    benchmark:
        f"{BENCHMARKS}/page.tsv"
    params:
        config={key: value for key, value in config.items() if key not in ("mirror", "directories")},
        captions={name: item["caption"] for name, item in (TABLES | FIGURES).items()},
        facts=grid_facts(),
        analyses=analyses_shown(),
        tables=made(TABLES),
        figures=made(FIGURES),
        code=adapter_code("page.py"),
    message:
        "Writing the page of results"
    script:
        "../workflow/scripts/page.py"


rule reported:
    input:
        rules.page.output,
        expand([*rules.table.output], table=made(TABLES)),
        expand([*rules.figure.output], figure=made(FIGURES)),
