"""Write one table as CSV and Markdown (rule table)."""

from typing import TYPE_CHECKING

from patchcert import plugins
from patchcert.provenance import whole_file
from patchcert.report.cells import as_markdown
from patchcert.report.ledger import read_ledger
from patchcert.report.results import read_results
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    make = plugins.load("patchcert.report.tables", snakemake.wildcards.table).make
    table, compact = make(read_results(snakemake.input.metrics), read_ledger(snakemake.input.ledger))
    with whole_file(snakemake.output.csv) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    with whole_file(snakemake.output.markdown) as temporary:
        temporary.write_text(as_markdown(compact), encoding="utf-8")
