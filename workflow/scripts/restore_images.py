"""Ask a classifier about images with a block restored at every place (rule restore_images)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import own_gpus
from patchcert.masks import size_from_text
from patchcert.study.adapter import job
from patchcert.study.smoothing import Task, restore_images, shown_images

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(snakemake.threads)
    inputs, wildcards, params = snakemake.input, snakemake.wildcards, snakemake.params
    task = Task.of(dict(wildcards), inputs, params)
    images = open_split(inputs.index, inputs.pixels, "test").drawn(params.images, params.images_seed)
    shown, source = shown_images(task, images, inputs.get("attacked"))
    restore_images(
        task,
        shown,
        size_from_text(wildcards.patch),
        Path(snakemake.output[0]),
        source=source,
        cache=Path(params.cache),
        workers=snakemake.threads,
        batch_size=params.batch_size,
    )
