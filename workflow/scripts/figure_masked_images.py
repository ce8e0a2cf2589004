"""Draw what each training strategy shows a trained classifier (rule figure_masked_images)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from patchcert.datasets.index import open_split
from patchcert.report.figures import masked_images
from patchcert.report.style import save
from patchcert.study.adapter import job
from patchcert.training.trainer import Run, learner_of

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    dataset, facts = params.dataset, params.facts
    images = open_split(snakemake.input.index, snakemake.input.pixels, "train").part(slice(params.images)).read()
    size, start = tuple(dataset["image_size"]), Path(snakemake.input.weights)
    boxes = {}
    for name, settings in params.trainings.items():
        run = Run(facts["model"], settings, facts["seed"], size, dataset["classes"], data="", code="", start=start)
        learner = learner_of(run)
        inputs = learner.inputs(images, np.arange(len(images)))
        boxes[name] = learner.search(*inputs, torch.Generator().manual_seed(facts["seed"]))
    save(masked_images.draw(images.pixels, boxes, params.style), snakemake.output.svg, snakemake.output.png)
