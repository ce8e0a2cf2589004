"""Count what a classifier says of images under noise in the mask of each (rule sample_noise)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import own_gpus
from patchcert.localisation import vote
from patchcert.masks import size_from_text
from patchcert.study.adapter import job
from patchcert.study.arrays import Restored, load
from patchcert.study.smoothing import Task, given_boxes, sample_images, shown_images

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(snakemake.threads)
    inputs, wildcards, params = snakemake.input, snakemake.wildcards, snakemake.params
    task = Task.of(dict(wildcards), inputs, params)
    mask = size_from_text(wildcards.patch)
    images = open_split(inputs.index, inputs.pixels, "test").drawn(params.images, params.images_seed)
    shown, source = shown_images(task, images, inputs.get("attacked"))
    if restored := inputs.get("restored"):
        boxes = vote(load(restored, Restored).maps, mask, **params.voting).boxes
    else:
        boxes = given_boxes(task, shown, wildcards.place, mask)
    settings = {"sigma": float(wildcards.sigma), "source": source, **params.sampling}
    sample_images(task, shown, boxes, Path(snakemake.output[0]), **settings)
