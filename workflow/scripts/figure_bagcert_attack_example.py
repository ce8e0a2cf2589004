"""Draw one patch attack with the region scores before and after it (rule figure_bagcert_attack_example)."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from patchcert.datasets.index import open_split
from patchcert.masks import size_from_text
from patchcert.models import registry
from patchcert.report.figures import bagcert_attack_example
from patchcert.report.style import save
from patchcert.study.adapter import job
from patchcert.study.regions import attack_regions

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, facts = snakemake.params, snakemake.params.facts
    images = open_split(snakemake.input.index, snakemake.input.pixels, "test").part(slice(params.images)).read()
    dataset, weights = params.dataset, snakemake.input.weights
    model = registry.trained(facts["model"], dataset["classes"], tuple(dataset["image_size"]), weights)
    patch = size_from_text(facts["patch"])
    found = attack_regions(model, facts["model"], images, patch, steps=params.steps, seed=facts["seed"], device="cpu")
    broken = found.table["clean"] & ~found.table["attacked"]
    chosen = int(broken.to_numpy().argmax())  # the first that breaks, or the first of all
    pair = np.stack([images.pixels[chosen], found.images[chosen]])
    with torch.inference_mode():
        scores = model.scores(registry.normalisation(facts["model"])(torch.tensor(pair))).numpy()
    classes = int(images.labels[chosen]), int(found.targets[chosen])
    figure = bagcert_attack_example.draw(pair, scores, classes, (found.patches[chosen], found.reached[chosen]), params.style)
    save(figure, snakemake.output.svg, snakemake.output.png)
