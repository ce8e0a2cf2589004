"""Bring data and checkpoints back with DVC, so that nothing is trained again (rule restore)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.study.adapter import job
from patchcert.study.versioning import adopt, restore, set_aside

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params = snakemake.params
    restore([Path(folder) for folder in params.folders])
    set_aside(params.runs, params.digests)
    adopt(
        snakemake.config,
        Path(params.snakefile),
        index="prepared",
        trained=["trained"],
        folders=[Path(folder) for folder in params.kept],
        cores=snakemake.threads,
    )
