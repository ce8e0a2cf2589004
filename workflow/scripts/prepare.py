"""Index and split one dataset (rule prepare)."""

from pathlib import Path
from typing import TYPE_CHECKING

from patchcert.datasets.index import index
from patchcert.provenance import file_sha256, whole_file, write_json
from patchcert.study.adapter import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake

    snakemake: Snakemake

with job(snakemake.log[0]):
    files = {Path(path).name: Path(path) for path in snakemake.input.files}
    table = index(snakemake.params.dataset, files)
    with whole_file(snakemake.output.index) as temporary:
        table.to_parquet(temporary, index=False)
    record = {
        "settings": snakemake.params.dataset,
        "identity": snakemake.params.identity,
        "files_sha256": {name: file_sha256(path) for name, path in files.items()},
        "images": table["split"].value_counts().to_dict(),
        "images_by_label": {
            split: part["label"].value_counts().sort_index().rename(str).to_dict() for split, part in table.groupby("split")
        },
    }
    write_json(snakemake.output.record, record)
