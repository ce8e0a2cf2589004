"""The image index of each dataset: ids, labels, splits."""


rule prepare:
    input:
        files=source_files,
    output:
        index=f"{RESULTS}/prepared/{{dataset}}/index.parquet",
        record=f"{RESULTS}/prepared/{{dataset}}/record.json",
    log:
        f"{LOGS}/prepare/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare/{{dataset}}.tsv"
    params:
        dataset=dataset_of,
        identity=data_identity,
    message:
        "Indexing and splitting {wildcards.dataset}"
    script:
        "../workflow/scripts/prepare.py"


rule prepared:
    input:
        every(rules.prepare.output.index, configured_runs()),
