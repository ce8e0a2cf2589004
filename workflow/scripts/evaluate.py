"""What one defense achieves over the runs of an analysis, from its certificates (rule evaluate)."""

from typing import TYPE_CHECKING

import pandas as pd

from patchcert import plugins
from patchcert.datasets.subsets import subset
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    measures = plugins.load("patchcert.evaluation", snakemake.wildcards.defense).measures
    rows, number, drawn = [], snakemake.params.subset["images"], {}
    for facts, path in zip(snakemake.params.runs, snakemake.input, strict=True):
        records = pd.read_parquet(path)
        if number is not None:
            records = records.iloc[subset(records["image_id"], number, snakemake.params.subset["seeds"][facts["dataset"]])]
            drawn[facts["dataset"]] = list(records["image_id"])
        rows.append(facts | measures(records, snakemake.params.confidence))
    found = {"confidence": snakemake.params.confidence, "runs": rows}
    write_json(snakemake.output[0], found | ({"subset": snakemake.params.subset | {"image_ids": drawn}} if drawn else {}))
