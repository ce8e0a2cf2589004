"""Read one published number from its certificates, with digests of what they came from (rule claim)."""

from typing import TYPE_CHECKING

from patchcert.claims.record import record
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params = snakemake.params
    write_json(snakemake.output[0], record(params.row, snakemake.config, params.files, params.upstream))
