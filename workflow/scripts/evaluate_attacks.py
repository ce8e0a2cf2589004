"""What attacks on region scorers amount to over the runs of an analysis (rule evaluate_attacks)."""

from typing import TYPE_CHECKING

import pandas as pd

from patchcert.evaluation.bagcert import attack_measures
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params = snakemake.params
    rows = [
        facts | attack_measures(pd.read_parquet(path), params.confidence)
        for facts, path in zip(params.runs, snakemake.input, strict=True)
    ]
    write_json(snakemake.output[0], {"confidence": params.confidence, "runs": rows})
