"""Draw one figure (rule figure)."""

from typing import TYPE_CHECKING

from patchcert import plugins
from patchcert.report.results import frames
from patchcert.report.style import save
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params = snakemake.params
    draw = plugins.load("patchcert.report.figures", snakemake.wildcards.figure).draw
    shown = frames({name: list(paths) for name, paths in snakemake.input.items()}, params.facts, params.study)
    if params.image_sizes:
        shown["image_sizes"] = params.image_sizes
    save(draw(**shown, style=params.style), snakemake.output.svg, snakemake.output.png)
