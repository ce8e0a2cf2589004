"""The image index that ``prepare`` writes, which every later stage shares, and the prepared images behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError

SPLITS = ("train", "calibration", "test")


class Pictures(Protocol):
    """Labelled images that are read part by part: in memory or on disk."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels int64 [N]."""

    def __len__(self) -> int:
        """Number of images N."""

    def rows(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pixels of some images, uint8 [n, 3, H, W], by their places int64 [n]."""


@dataclass(frozen=True)
class Images:
    """Part of a dataset: ids str [N], pixels uint8 [N, 3, H, W], labels int64 [N]."""

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

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
        labels: int64 [N].
        places: int64 [N], where each image is among the prepared pixels.
        pixels: uint8 [M, 3, H, W], the memory map of the prepared images of all splits.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    places: NDArray[np.int64]
    pixels: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.ids)

    def part(self, part: slice) -> Split:
        """Some of the images."""
        return replace(self, ids=self.ids[part], labels=self.labels[part], places=self.places[part])

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
    table = pd.read_parquet(index_file)
    pixels = np.load(pixels_file, mmap_mode="r")
    if len(pixels) != (table["row"] >= 0).sum():
        raise InputError(f"{pixels_file}: it does not belong to {index_file}; delete both and run snakemake again")
    table = table[table["split"] == split]
    ids = np.array(table["image_id"].tolist(), dtype=np.str_)
    return Split(ids, table["label"].to_numpy(dtype=np.int64), table["row"].to_numpy(dtype=np.int64), pixels)
