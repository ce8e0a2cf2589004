"""Materialise one raw input, verified (rule fetch)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.datasets.fetch import fetch
from patchcert.datasets.sources import Source
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    # the mirror is no parameter of the rule: where bytes come from reruns nothing, since their digest is checked
    fetch(Source(**snakemake.params.entry), Path(snakemake.output[0]), snakemake.config["mirror"])
