"""Write one table as CSV and Markdown (rule table)."""

from typing import TYPE_CHECKING

from patchcert import plugins
from patchcert.provenance import whole_file
from patchcert.report.cells import as_markdown
from patchcert.report.results import frames
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    make = plugins.load("patchcert.report.tables", snakemake.wildcards.table).make
    files = {name: list(paths) for name, paths in snakemake.input.items()}
    table, compact = make(**frames(files, snakemake.params.facts, snakemake.params.study))
    with whole_file(snakemake.output.csv) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f")
    with whole_file(snakemake.output.markdown) as temporary:
        temporary.write_text(as_markdown(compact), encoding="utf-8")
