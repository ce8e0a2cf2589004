"""Draw certified accuracy by training strategy (rule figure_strategies)."""

from typing import TYPE_CHECKING

from patchcert.report.figures import strategies
from patchcert.report.ledger import read_ledger
from patchcert.report.results import read_results
from patchcert.report.style import save
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    results, ledger = read_results(snakemake.input.metrics), read_ledger(snakemake.input.ledger)
    save(strategies.draw(results, ledger, snakemake.params.style), snakemake.output.svg, snakemake.output.png)
