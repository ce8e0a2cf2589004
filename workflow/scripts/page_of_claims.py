"""Write the ledger, all published numbers and what became of them, and its page (rule page_of_claims)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.claims.cost_words import read_costs
from patchcert.claims.entries import commands, entries
from patchcert.claims.measured import Results, ledger_of, survey
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
    results = [Results(each) for each in studies]
    found = survey(read_ledger(snakemake.input.published), *results)
    costs = read_costs(snakemake.input.costs)
    template = Path(snakemake.input.template).read_text(encoding="utf-8")
    with whole_file(snakemake.output.csv) as temporary:
        ledger_of(found).to_csv(temporary, index=False)
    with whole_file(snakemake.output.page) as temporary:
        shown = page(entries(found, *results, costs), [commands(each) for each in studies], template)
        temporary.write_text(shown, encoding="utf-8")
