"""Attack a region scorer where its certificates are weakest (rule attack_regions)."""

from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import own_gpus
from patchcert.masks import size_from_text
from patchcert.models import registry
from patchcert.provenance import whole_file
from patchcert.study.adapter import job
from patchcert.study.regions import attack_regions

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(snakemake.threads)
    params, name = snakemake.params, snakemake.wildcards.model
    images = open_split(snakemake.input.index, snakemake.input.pixels, "test").part(slice(params.images)).read()
    model = registry.trained(name, params.dataset["classes"], tuple(params.dataset["image_size"]), snakemake.input.weights)
    patch = size_from_text(snakemake.wildcards.patch)
    attacks = attack_regions(
        model, name, images, patch, steps=params.steps, seed=int(snakemake.wildcards.seed), device=params.device
    )
    with whole_file(snakemake.output[0]) as temporary:
        attacks.table.to_parquet(temporary, index=False)
