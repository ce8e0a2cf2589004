"""Predict one shard of the test images (rule predict)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import own_gpus
from patchcert.masks import masks_from_text
from patchcert.study.adapter import job
from patchcert.study.shards import Job, predict_shard, shard_of
from patchcert.study.trained import Trained

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(snakemake.threads)
    dataset, wildcards, params = snakemake.params.dataset, snakemake.wildcards, snakemake.params
    files = snakemake.input.weights, snakemake.input.record
    task = Job(
        classifier=Trained.of(dict(wildcards), dataset, *files, params.training, params.data),
        masks=masks_from_text(tuple(dataset["image_size"]), wildcards.patch, wildcards.budget),
        engine=params.engine,
        mode=params.asked["mode"],
        algorithms=tuple(params.asked["algorithms"]),
        device=params.device,
        code=params.code,
    )
    tested = open_split(snakemake.input.index, snakemake.input.pixels, "test")
    if number := params.asked.get("images"):
        tested = tested.drawn(number, dataset["split_seed"])
    images = shard_of(tested, wildcards.scatteritem)
    predict_shard(task, images, params.block_size, Path(snakemake.output[0]), Path(params.scratch))
