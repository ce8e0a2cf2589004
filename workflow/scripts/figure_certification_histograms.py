"""Draw certification histograms over one test image (rule figure_certification_histograms)."""

from typing import TYPE_CHECKING

from patchcert.datasets.index import open_split
from patchcert.masks import size_from_text
from patchcert.report.figures import certification_histograms as histograms_figure
from patchcert.report.style import save
from patchcert.scores import open_scores
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params = snakemake.params
    extrema = open_scores(snakemake.input.values, snakemake.input.record).extrema
    split = open_split(snakemake.input.index, snakemake.input.pixels, "test")
    row = histograms_figure.example_row(extrema, split.labels, params.threshold)
    image, budget = split.part(slice(row, row + 1)).read(), size_from_text(params.facts["budget"])
    figure = histograms_figure.draw(
        image.pixels[0], image.labels[0], extrema[row : row + 1], budget, params.threshold, params.style
    )
    save(figure, snakemake.output.svg, snakemake.output.png)
