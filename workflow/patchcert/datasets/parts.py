"""How many images a dataset has in each split, known before anything is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pandas as pd

from patchcert.datasets.fetch import GENERATED
from patchcert.datasets.index import SPLITS
from patchcert.datasets.sources import Source

PUBLISHED = {
    "digits": {"all": 1_797},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "svhn": {"train": 73_257, "test": 26_032},
    "imagenette": {"train": 9_469, "test": 3_925},
    "imagenet": {"train": 1_281_167, "test": 50_000},
    "coco2014": {"train": 82_783, "test": 40_504},
    "voc2007": {"train": 5_011, "test": 4_952},
}
"""Images of each part of a source of the registry, or of all where it has no parts, as its publisher counts them:
scikit-learn's copy of the UCI digits; Krizhevsky 2009; Netzer et al. 2011; fast.ai's imagenette2; Russakovsky et al. 2015; Lin
et al. 2014; Everingham et al. 2007."""
UNLABELLED = {"coco2014": {"train": 702, "test": 367}}
"""Those of them without a label: published evaluations have 82,081 and 40,137 images (Ridnik et al., Asymmetric Loss)."""


def split_sizes(
    dataset: Mapping[str, Any], sources: Mapping[str, Sequence[Source]], index: str | Path | None = None
) -> dict[str, int | None]:
    """Images by split: of the prepared index where there is one, else as configured, the published numbers for all that remain.

    Args:
        dataset: its block of the configuration: ``source``, ``split_sizes``, ``unlabelled``.
        sources: the registry; generated sources say in their origin how many images they have.
        index: the index that ``prepare`` wrote, if it holds today; a file that is absent is passed over.

    Returns:
        ``train``, ``calibration`` and ``test``; None where the configuration takes all that remain of nobody knows how many.
    """
    if index is not None and Path(index).is_file():
        counted = pd.read_parquet(index, columns=["split"])["split"].value_counts()
        return {split: int(counted.get(split, 0)) for split in SPLITS}
    asked: dict[str, int | None] = {split: dataset["split_sizes"].get(split) for split in SPLITS}
    parts = _parts(dataset, sources)
    if asked["train"] is None and parts:
        drawn_before = ("calibration", "test") if "all" in parts else ("calibration",)
        remain = parts["all" if "all" in parts else "train"] - sum(asked[split] or 0 for split in drawn_before)
        asked["train"] = max(remain, 0)
    return asked


def _parts(dataset: Mapping[str, Any], sources: Mapping[str, Sequence[Source]]) -> dict[str, int]:
    """Images by part that can be drawn; none where nobody knows."""
    name = dataset["source"]
    origins = [entry.origin for entry in sources.get(name, ())]
    if origins and origins[0].startswith(GENERATED):
        return {part: int(number) for part, number in parse_qsl(origins[0].partition("?")[2])}
    dropped = UNLABELLED.get(name, {}) if dataset["unlabelled"] == "drop" else {}
    return {part: number - dropped.get(part, 0) for part, number in PUBLISHED.get(name, {}).items()}
