"""Draw the training logs (rule figure_training_curves)."""

from typing import TYPE_CHECKING

import pandas as pd

from patchcert.provenance import read_json
from patchcert.report.figures import training_curves
from patchcert.report.style import save
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    inputs = zip(snakemake.params.runs, snakemake.input.logs, snakemake.input.records, strict=True)
    logs = [pd.read_csv(log).assign(**run, best_epoch=read_json(record)["best_epoch"]) for run, log, record in inputs]
    save(training_curves.draw(pd.concat(logs), snakemake.params.style), snakemake.output.svg, snakemake.output.png)
