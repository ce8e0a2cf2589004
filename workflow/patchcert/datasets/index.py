"""The image index that ``prepare`` writes, which every later stage shares, and the prepared images behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.datasets.subsets import subset

SPLITS = ("train", "calibration", "test")

Labels: TypeAlias = NDArray[Any]
"""The class of each image, int64 [N]; where it may show any number of the C classes, whether it shows each: bool [N, C]."""
CLASSES = b"classes"
"""Key of the number of classes in the index file."""


class Pictures(Protocol):
    """Labelled images that are read part by part: in memory or on disk."""

    @property
    def labels(self) -> Labels:
        """Labels int64 [N] or bool [N, C]."""

    def __len__(self) -> int:
        """Number of images N."""

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pixels of some images, uint8 [n, 3, H, W], by their places int64 [n]."""


@dataclass(frozen=True)
class Images:
    """Part of a dataset: ids str [N], pixels uint8 [N, 3, H, W], labels int64 [N] or bool [N, C]."""

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    labels: Labels

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.ids)

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pixels of some images, uint8 [n, 3, H, W], by their places int64 [n]."""
        return self.pixels[numbers]


@dataclass(frozen=True)
class Split:
    """The images of a split, whose pixels are read part by part.

    Attributes:
        ids: str [N], in the order of the index.
        labels: int64 [N], or bool [N, C] of a dataset whose images may show any number of its C classes.
        places: int64 [N], where each image is among the prepared pixels.
        pixels: uint8 [M, 3, H, W], the memory map of the prepared images of all splits.
    """

    ids: NDArray[np.str_]
    labels: Labels
    places: NDArray[np.int64]
    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.ids)

    def part(self, part: slice | NDArray[np.int64]) -> Split:
        """Some of the images, by their places."""
        return replace(self, ids=self.ids[part], labels=self.labels[part], places=self.places[part])

    def drawn(self, number: int, seed: int | None) -> Split:
        """So many of the images: those that :func:`patchcert.datasets.subsets.subset` draws; without a seed the first ones."""
        return self.part(slice(number) if seed is None else subset(self.ids, number, seed))

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pixels of the images with these numbers, counted from 0 in the split: uint8 [n, 3, H, W], in memory."""
        return np.asarray(self.pixels[self.places[numbers]])

    def read(self) -> Images:
        """All of the images."""
        return Images(self.ids, np.asarray(self.pixels[self.places]), self.labels)


def open_split(index_file: str | Path, pixels_file: str | Path, split: str) -> Split:
    """The images of a split in the order of the index; no pixel is read yet.

    Args:
        index_file: the Parquet file that ``prepare`` wrote.
        pixels_file: the array of prepared images that it wrote beside it.
        split: one of ``SPLITS``.

    Raises:
        InputError: one of the files does not belong to the other.
    """
    table, labels = read_index(index_file)
    pixels = np.load(pixels_file, mmap_mode="r")
    if len(pixels) != (table["row"] >= 0).sum():
        raise InputError(f"{pixels_file}: it does not belong to {index_file}; delete both and run snakemake again")
    chosen = (table["split"] == split).to_numpy()
    ids = np.array(table.loc[chosen, "image_id"].tolist(), dtype=np.str_)
    return Split(ids, labels[chosen], table.loc[chosen, "row"].to_numpy(dtype=np.int64), pixels)


def write_index(index_file: str | Path, table: pd.DataFrame, classes: int) -> None:
    """Write an index.

    Args:
        index_file: Parquet.
        table: one row an image, as :func:`patchcert.datasets.prepare.prepare` describes it.
        classes: number of classes, kept in the file's metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.Table.from_pandas(table, preserve_index=False)
    # the types of lists must not depend on whether any image has a label
    for name, each in (("labels", pa.int64()), ("object_sizes", pa.float64())):
        if name in table:
            lists = pa.array([list(some) for some in table[name]], pa.list_(each))
            content = content.set_column(content.column_names.index(name), name, lists)
    metadata = {**(content.schema.metadata or {}), CLASSES: str(classes).encode()}
    pq.write_table(content.replace_schema_metadata(metadata), index_file)


def read_index(index_file: str | Path) -> tuple[pd.DataFrame, Labels]:
    """The index, one row an image, and the labels of its images, int64 [N] or bool [N, C]."""
    import pyarrow.parquet as pq

    table = pd.read_parquet(index_file)
    if "labels" not in table:
        return table, table["label"].to_numpy(dtype=np.int64)
    labels = np.zeros((len(table), int(pq.read_schema(index_file).metadata[CLASSES])), dtype=np.bool_)
    for row, shown in zip(labels, table["labels"], strict=True):
        row[shown] = True
    return table, labels
