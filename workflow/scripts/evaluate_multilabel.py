"""What multi-label certificates amount to over the runs of an analysis (rule evaluate_multilabel)."""

from typing import TYPE_CHECKING

import pandas as pd

from patchcert.evaluation.multilabel import Certificates, measures
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    threshold, files = snakemake.params.threshold, list(snakemake.input)
    rows = [
        facts | measures(Certificates(pd.read_parquet(records), pd.read_parquet(attackers)), threshold)
        for facts, records, attackers in zip(snakemake.params.runs, files[::2], files[1::2], strict=True)
    ]
    write_json(snakemake.output[0], {"threshold": threshold, "runs": rows})
