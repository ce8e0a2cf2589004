"""Store what a region scorer says of all places of the test images (rule predict_regions)."""

from typing import TYPE_CHECKING

import torch

from patchcert.datasets.index import open_split
from patchcert.device import own_gpus
from patchcert.study.adapter import job
from patchcert.study.regions import predict_regions
from patchcert.study.trained import Trained

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]), own_gpus(snakemake.params.device):
    torch.set_num_threads(snakemake.threads)
    inputs, params = snakemake.input, snakemake.params
    files = inputs.weights, inputs.record
    classifier = Trained.of(dict(snakemake.wildcards), params.dataset, *files, params.training, params.data)
    images = open_split(inputs.index, inputs.pixels, "test")
    predict_regions(classifier, images, dict(snakemake.output), device=params.device, code=params.code, **params.settings)
