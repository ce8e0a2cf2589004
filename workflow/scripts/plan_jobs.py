"""Print the jobs that snakemake would run, one line of JSON each; takes snakemake's own arguments (`patchcert plan`)."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from snakemake.cli import main
from snakemake.dag import DAG

from patchcert.planning.jobs import ASKED, MARK


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


async def _jobs(dag: DAG, detailed: bool = False) -> AsyncIterator[str]:
    yield ASKED
    for job in dag.needrun_jobs():
        described = {
            "rule": job.rule.name,
            "file": Path(job.rule.snakefile).stem,
            "wildcards": dict(job.wildcards.items()),
            "params": dict(job.params.items()),
            "inputs": [str(file) for file in job.input],
            "outputs": [str(file) for file in job.output],
        }
        yield MARK + json.dumps(described, default=_plain)


# no output of snakemake's own has the parameters, which say what a job will do
DAG.summary = _jobs
sys.argv[0] = "snakemake"
main(["--summary", *sys.argv[1:]])
