"""Certify every image of one run by BagCert's conditions, from stored region scores (rule certify_regions)."""

from typing import TYPE_CHECKING

from patchcert.datasets.labels import true_labels
from patchcert.evaluation.bagcert import records
from patchcert.models import registry
from patchcert.models.region_classifier import region_classifier
from patchcert.provenance import whole_file
from patchcert.region_scores import load
from patchcert.study.adapter import job
from patchcert.study.regions import threat

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    params, size = snakemake.params, tuple(snakemake.params.dataset["image_size"])
    name = snakemake.wildcards.model
    scorer = region_classifier(registry.build(name, params.dataset["classes"], size), name)
    scores = load({name: snakemake.input[name] for name in ("values", "unsure", "record")})
    labels = true_labels(snakemake.input.index, scores.image_ids)
    table = records(scores, labels, {patch: threat(scorer, size, patch) for patch in params.patches})
    with whole_file(snakemake.output[0]) as temporary:
        table.to_parquet(temporary, index=False)
