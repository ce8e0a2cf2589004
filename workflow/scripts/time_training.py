"""Time the training steps of every strategy on one model (rule time_training)."""

from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import device_name, own_gpus
from patchcert.provenance import write_json
from patchcert.study.adapter import job
from patchcert.training.throughput import step_times
from patchcert.training.trainer import Run, learner_of

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(1)
    dataset, wildcards, device = snakemake.params.dataset, snakemake.wildcards, snakemake.params.device
    size, classes = tuple(dataset["image_size"]), dataset["classes"]
    learners = {
        name: learner_of(Run(wildcards.model, settings, 0, size, classes, data="", code="", device=device))
        for name, settings in snakemake.params.trainings.items()
    }
    rows = step_times(learners, open_split(snakemake.input.index, snakemake.input.pixels, "train"))
    run = {"dataset": wildcards.dataset, "model": wildcards.model}
    write_json(snakemake.output[0], {"run": run, "device": device_name(device), "rows": rows})
