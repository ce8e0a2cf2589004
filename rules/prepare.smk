"""The index of each dataset, with ids, labels and splits, and its images, prepared; no later rule reads a raw file."""


rule prepare:
    input:
        files=source_files,
    output:
        index=f"{RESULTS}/prepared/{{dataset}}/index.parquet",
        pixels=f"{RESULTS}/prepared/{{dataset}}/pixels.npy",
        record=f"{RESULTS}/prepared/{{dataset}}/record.json",
    log:
        f"{LOGS}/prepare/{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare/{{dataset}}.tsv"
    priority: 1
    threads: decoding_threads
    params:
        dataset=dataset_of,
        digests=source_digests,
        identity=data_identity,
    message:
        "Preparing the images and splits of {wildcards.dataset}"
    script:
        "../workflow/scripts/prepare.py"


# Of the pixels, whose file can be too large to be compared by content, the time does not count: they follow from the identity of
# the data, on which weights and predictions depend. Otherwise pixels that are made again would train everything anew.
PIXELS = ancient(rules.prepare.output.pixels)


rule prepared:
    input:
        every(rules.prepare.output.index, configured_runs()),
        every(rules.prepare.output.pixels, configured_runs()),
