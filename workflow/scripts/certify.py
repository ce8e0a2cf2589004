"""Certify every image of one run by one defense, from stored predictions (rule certify)."""

from typing import TYPE_CHECKING

from patchcert import plugins
from patchcert.datasets.labels import true_labels
from patchcert.predictions import Predictions
from patchcert.provenance import whole_file
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    evaluation = plugins.load("patchcert.evaluation", snakemake.wildcards.defense)
    predictions = Predictions.load(snakemake.input.predictions)
    labels = true_labels(snakemake.input.index, predictions.image_ids)
    records = evaluation.records(predictions, labels, **snakemake.params.settings)
    with whole_file(snakemake.output[0]) as temporary:
        records.to_parquet(temporary, index=False)
