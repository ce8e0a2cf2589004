"""Record data and checkpoints with DVC (rule version)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.study.adapter import job
from patchcert.study.versioning import version

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    version([Path(folder) for folder in snakemake.params.folders])
