"""Draw a mask set and the two rounds of double masking on one test image (rule figure_mask_set)."""

from typing import TYPE_CHECKING

from patchcert.datasets.index import open_split
from patchcert.masks import masks_from_text
from patchcert.predictions import Predictions
from patchcert.report.figures import mask_set as mask_set_figure
from patchcert.report.style import save
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params, facts = snakemake.params, snakemake.params.facts[0]
    pair_labels = Predictions.load(snakemake.input.predictions).pair_labels
    row = mask_set_figure.example_row(pair_labels, params.style["example_image"])
    images = open_split(snakemake.input.index, snakemake.input.pixels, "test").part(slice(row, row + 1)).read()
    masks = masks_from_text(tuple(params.dataset["image_size"]), facts["patch"], facts["budget"])
    figure = mask_set_figure.draw(images.pixels[0], int(images.labels[0]), pair_labels[row], masks, params.style)
    save(figure, snakemake.output.svg, snakemake.output.png)
