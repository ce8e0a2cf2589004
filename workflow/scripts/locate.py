"""Say for each attacked image whether the patch was found (rule locate)."""

from typing import TYPE_CHECKING

from patchcert.evaluation.localisation import records
from patchcert.localisation import vote
from patchcert.masks import size_from_text
from patchcert.provenance import whole_file
from patchcert.study.adapter import job
from patchcert.study.arrays import Restored, Shown, load

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    shown = load(snakemake.input.attacked, Shown)
    maps = load(snakemake.input.restored, Restored).maps
    found = vote(maps, size_from_text(snakemake.wildcards.patch), **snakemake.params.voting)
    table = records(shown.ids, shown.labels, shown.clean, shown.undefended, shown.patches, found)
    with whole_file(snakemake.output[0]) as temporary:
        table.to_parquet(temporary, index=False)
