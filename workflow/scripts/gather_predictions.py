"""Join the shards of one run's predictions (rule gather_predictions)."""

from typing import TYPE_CHECKING

from patchcert.predictions import Predictions
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    Predictions.concatenate([Predictions.load(path) for path in snakemake.input]).save(snakemake.output[0])
