"""What BagCert's certificates amount to over the runs of an analysis (rule evaluate_regions)."""

from typing import TYPE_CHECKING

import pandas as pd

from patchcert.evaluation.bagcert import measures
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params = snakemake.params
    tables = {path: pd.read_parquet(path) for path in snakemake.input}
    rows = [
        facts | measures(tables[path], facts["patch"], params.confidence)
        for facts, path in zip(params.runs, params.files, strict=True)
    ]
    write_json(snakemake.output[0], {"confidence": params.confidence, "runs": rows})
