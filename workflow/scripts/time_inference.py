"""Time the defended answers of one run on single images (rule time_inference)."""

from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import device_name, own_gpus
from patchcert.masks import masks_from_text
from patchcert.models import registry
from patchcert.provenance import write_json
from patchcert.study.adapter import job
from patchcert.study.times import inference_times

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(1)
    dataset, params, name = snakemake.params.dataset, snakemake.params, snakemake.wildcards.model
    images = open_split(snakemake.input.index, snakemake.input.pixels, "test").part(slice(params.images)).read()
    size = tuple(dataset["image_size"])
    model = registry.trained(name, dataset["classes"], size, snakemake.input.weights)
    rows = inference_times(
        model,
        registry.normalisation(name)(torch.tensor(images.pixels)),
        {(patch, budget): masks_from_text(size, patch, budget) for patch, budget in params.masks},
        device=params.device,
        **params.engine,
    )
    write_json(snakemake.output[0], {"run": params.run, "device": device_name(params.device), "rows": rows})
