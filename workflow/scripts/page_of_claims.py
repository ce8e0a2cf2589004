"""Write the page of all published numbers and what became of them (rule page_of_claims)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.claims.entries import commands, entries
from patchcert.claims.measured import Results
from patchcert.claims.page import page
from patchcert.provenance import whole_file
from patchcert.report.ledger import read_ledger
from patchcert.study.adapter import job
from patchcert.study.config import configuration

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    own, other = snakemake.config, configuration(snakemake.input.other)
    studies = [own, other] if own["study"] == "paper" else [other, own]
    found = entries(read_ledger(snakemake.input.ledger), *map(Results, studies))
    template = Path(snakemake.input.template).read_text(encoding="utf-8")
    with whole_file(Path(snakemake.output[0])) as temporary:
        temporary.write_text(page(found, [commands(each) for each in studies], template), encoding="utf-8")
