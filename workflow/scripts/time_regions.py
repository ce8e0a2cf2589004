"""Time a region scorer's forward pass and its certificates (rule time_regions)."""

from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import device_name, own_gpus
from patchcert.models import registry
from patchcert.provenance import write_json
from patchcert.study.adapter import job
from patchcert.study.regions import region_times

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(1)
    params, name = snakemake.params, snakemake.wildcards.model
    images = open_split(snakemake.input.index, snakemake.input.pixels, "test").part(slice(params.images)).read()
    model = registry.trained(name, params.dataset["classes"], tuple(params.dataset["image_size"]), snakemake.input.weights)
    rows = [
        {"patch": patch, "budget": "none", **row}
        for patch in params.patches
        for row in region_times(model, name, images, patch, device=params.device)
    ]
    write_json(snakemake.output[0], {"run": params.run, "device": device_name(params.device), "rows": rows})
