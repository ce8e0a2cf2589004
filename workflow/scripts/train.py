"""Train one classifier (rule train)."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import own_gpus
from patchcert.study.adapter import job
from patchcert.training.trainer import Run, train

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device, snakemake.params.settings["gpus"]) as gpus:
    torch.set_num_threads(snakemake.threads)
    dataset = snakemake.params.dataset
    run = Run(
        model=snakemake.wildcards.model,
        settings=snakemake.params.settings,
        seed=int(snakemake.wildcards.seed),
        image_size=tuple(dataset["image_size"]),
        classes=dataset["classes"],
        data=snakemake.params.data,
        code=snakemake.params.code,
        device=snakemake.params.device,
        start=Path(snakemake.input.start) if snakemake.input.start else None,
        gpus=gpus,
    )
    paths = snakemake.input.index, snakemake.input.pixels
    parts = (open_split(*paths, split) for split in ("train", "calibration"))
    train(run, *parts, output=Path(snakemake.output.weights).parent, scratch=Path(snakemake.params.scratch))
