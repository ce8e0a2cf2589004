"""Prepare the images of one dataset, index and split them (rule prepare)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.datasets.prepare import counts, prepare
from patchcert.provenance import write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    files = {Path(path).name: Path(path) for path in snakemake.input.files}
    outputs = snakemake.output.index, snakemake.output.pixels
    table = prepare(snakemake.params.dataset, files, *outputs, threads=snakemake.threads)
    record = {
        "settings": snakemake.params.dataset,
        "identity": snakemake.params.identity,
        "files": snakemake.params.digests,
    }
    write_json(snakemake.output.record, record | counts(table))
