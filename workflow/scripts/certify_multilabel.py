"""Certify every label of every image of one run, from stored scores (rule certify_multilabel)."""

from typing import TYPE_CHECKING

from patchcert.datasets.labels import true_labels
from patchcert.evaluation.multilabel import certificates
from patchcert.masks import masks_from_text, size_from_text
from patchcert.provenance import whole_file
from patchcert.scores import open_scores
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params, wildcards = snakemake.params, snakemake.wildcards
    scores = open_scores(snakemake.input.values, snakemake.input.record)
    labels = true_labels(snakemake.input.index, scores.image_ids)
    masks = masks_from_text(tuple(params.image_size), wildcards.patch, wildcards.budget)
    patches = [size_from_text(wildcards.patch), *map(tuple, params.patches)]
    found = certificates(scores, labels, masks, patches, numerical_margin=params.numerical_margin)
    for table, path in zip(found, snakemake.output, strict=True):
        with whole_file(path) as temporary:
            table.to_parquet(temporary, index=False)
