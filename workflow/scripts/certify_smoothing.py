"""Certify every image of one run and place by mask smoothing, from stored counts (rule certify_smoothing)."""

from typing import TYPE_CHECKING

from patchcert.evaluation.mask_smoothing import records
from patchcert.localisation import covered, vote
from patchcert.masks import size_from_text
from patchcert.provenance import whole_file
from patchcert.study.adapter import job
from patchcert.study.arrays import Restored, Sampled, Shown, load

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    inputs, wildcards, params = snakemake.input, snakemake.wildcards, snakemake.params
    sampled, mask = load(inputs.counts, Sampled), size_from_text(wildcards.patch)
    located = {}
    if restored := inputs.get("restored"):
        located["outcomes"] = vote(load(restored, Restored).maps, mask, **params.voting).outcomes
    if attacked := inputs.get("attacked"):
        located["covered"] = covered(sampled.boxes, load(attacked, Shown).patches)
    table = records(
        sampled.ids,
        sampled.labels,
        sampled.undefended,
        sampled.selection,
        sampled.estimation,
        sigma=float(wildcards.sigma),
        alpha=params.alpha,
        mask=mask,
        **located,
    )
    with whole_file(snakemake.output[0]) as temporary:
        table.to_parquet(temporary, index=False)
