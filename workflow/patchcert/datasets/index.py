"""The image index of a dataset and its split, which every stage shares, and the images behind it.

A loader is a module of ``patchcert.datasets.loaders`` with ``records(files)``, one row an image with its id and label,
``images(files, ids, size)``, the pixels of some of them, and ``object_sizes(files, ids, size)``, how much of each the object's
bounding boxes take up, in per cent of its pixels, NaN where nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from patchcert import InputError, plugins

LOADERS = "patchcert.datasets.loaders"
SPLITS = ("train", "calibration", "test")
UNUSED = "unused"


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
        settings: the dataset's block of the configuration.
        files: paths by file name.
        ids: str [N], in the order of the index.
        labels: int64 [N].
    """

    settings: Mapping[str, Any]
    files: Mapping[str, Path]
    ids: NDArray[np.str_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.ids)

    def part(self, part: slice) -> Split:
        """Some of the images."""
        return replace(self, ids=self.ids[part], labels=self.labels[part])

    def read(self) -> Images:
        """All of the images."""
        loader = plugins.load(LOADERS, self.settings["loader"])
        pixels = loader.images(self.files, self.ids.tolist(), tuple(self.settings["image_size"]))
        return Images(self.ids, pixels, self.labels)


def index(settings: Mapping[str, Any], files: Mapping[str, Path]) -> pd.DataFrame:
    """The image index of a dataset: ``image_id``, ``label``, ``object_size`` (per cent) and ``split``, one row an image.

    Rows are in the dataset's order. The test images are drawn first, then the calibration images, then the training images,
    each stratified by label, so that the test images stay the same when the sizes of the others change.

    Args:
        settings: the dataset's block of the configuration: ``loader``, ``image_size``, ``split_sizes``, ``split_seed``.
        files: paths by file name.

    Raises:
        InputError: the sizes ask for more images than there are, or too few for one of each label.
    """
    loader = plugins.load(LOADERS, settings["loader"])
    table: pd.DataFrame = loader.records(files)
    sizes = settings["split_sizes"]
    fixed = sum(sizes[name] or 0 for name in SPLITS)
    if fixed > len(table):
        raise InputError(f"split_sizes: {dict(sizes)} ask for {fixed} images; {settings['loader']} has {len(table)}")
    table["object_size"] = loader.object_sizes(files, table["image_id"].tolist(), tuple(settings["image_size"]))
    table["split"] = UNUSED
    rest = np.arange(len(table))
    for name in reversed(SPLITS):
        size = len(rest) if sizes[name] is None else sizes[name]
        drawn, rest = _stratified(table["label"].to_numpy(), rest, size, settings["split_seed"], name)
        table.loc[drawn, "split"] = name
    return table


def _stratified(
    labels: NDArray[np.int64], rows: NDArray[np.int64], size: int, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if size == len(rows):
        return rows, rows[:0]
    try:
        rest, drawn = train_test_split(rows, test_size=size, random_state=seed, stratify=labels[rows])
    except ValueError as error:
        raise InputError(f"split_sizes: {name} of {size} images out of {len(rows)} cannot be stratified: {error}") from error
    return drawn, rest


def open_split(settings: Mapping[str, Any], files: Mapping[str, Path], index_file: str | Path, split: str) -> Split:
    """The images of a split in the order of the index; no pixel is read yet.

    Args:
        settings: the dataset's block of the configuration.
        files: paths by file name.
        index_file: the Parquet file that ``prepare`` wrote.
        split: one of ``SPLITS``.
    """
    table = pd.read_parquet(index_file)
    table = table[table["split"] == split]
    ids = np.array(table["image_id"].tolist(), dtype=np.str_)
    return Split(settings, files, ids, table["label"].to_numpy(dtype=np.int64))
