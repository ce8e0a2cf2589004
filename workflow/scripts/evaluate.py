"""What one defense achieves over the runs of an analysis, from its certificates (rule evaluate)."""

from typing import TYPE_CHECKING

import pandas as pd

from patchcert import plugins
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    measures = plugins.load("patchcert.evaluation", snakemake.wildcards.defense).measures
    rows = [
        facts | measures(pd.read_parquet(path), snakemake.params.confidence)
        for facts, path in zip(snakemake.params.runs, snakemake.input, strict=True)
    ]
    write_json(snakemake.output[0], {"confidence": snakemake.params.confidence, "runs": rows})
