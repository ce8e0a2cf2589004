"""Join the shards of one multi-label run's scores (rule gather_scores)."""

from typing import TYPE_CHECKING

from patchcert.scores import gather
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    gather(snakemake.input, snakemake.output.values, snakemake.output.record)
