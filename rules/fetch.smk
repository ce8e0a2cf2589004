"""Raw inputs, verified against config/sources.csv."""


rule fetch:
    output:
        f"{DATA}/{{source}}/{{version}}/{{file}}",
    log:
        f"{LOGS}/fetch/{{source}}/{{version}}/{{file}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch/{{source}}/{{version}}/{{file}}.tsv"
    priority: 1
    params:
        entry=source_entry,
    message:
        "Fetching {wildcards.source} {wildcards.version}: {wildcards.file}"
    script:
        "../workflow/scripts/fetch.py"
