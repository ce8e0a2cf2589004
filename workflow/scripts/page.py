"""Write the page that shows every table and figure (rule page)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.provenance import environment, read_json, whole_file
from patchcert.report.findings import findings
from patchcert.report.page import page
from patchcert.report.results import frames
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    target, shown = Path(snakemake.output[0]), snakemake.params.shown
    strategies = {name: block["strategy"] for name, block in shown["config"]["trainings"].items()}
    results = frames({"results": list(snakemake.input.metrics)}, shown["facts"])["results"] if shown["facts"] else None
    text = page(
        shown["config"],
        findings(results, strategies, {name: frames(**each) for name, each in shown["analyses"].items()}),
        {
            name: (caption, Path(path).read_text("utf-8"))
            for (name, caption), path in zip(shown["tables"].items(), snakemake.input.tables, strict=True)
        },
        {
            name: (caption, os.path.relpath(path, target.parent))
            for (name, caption), path in zip(shown["figures"].items(), snakemake.input.figures, strict=True)
        },
        environment("torch", "timm", "numpy", "scikit-learn", "snakemake"),
        {Path(path).parent.name: read_json(path)["images"] for path in snakemake.input.records},
        target=shown["target"],
        near_flips=0 if results is None else int(results.loc[results["metric"] == "certified", "near_flips"].sum()),
    )
    with whole_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
