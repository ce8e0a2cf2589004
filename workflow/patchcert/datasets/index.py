"""The image index of a dataset and its split, which every stage shares, and the images behind it.

A loader is a module of ``patchcert.datasets.loaders`` with ``records(files)``, one row an image with its id and label, and
``images(files, ids, size)``, the pixels of some of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from patchcert import InputError, plugins

LOADERS = "patchcert.datasets.loaders"
SPLITS = ("train", "calibration", "test")
UNUSED = "unused"


class Images(NamedTuple):
    """Part of a dataset: ids str [N], pixels uint8 [N, 3, H, W], labels int64 [N]."""

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def index(settings: Mapping[str, Any], files: Mapping[str, Path]) -> pd.DataFrame:
    """The image index of a dataset: ``image_id``, ``label`` and ``split``, one row an image, in the dataset's order.

    The test images are drawn first, then the calibration images, then the training images, each stratified by label, so
    that the test images stay the same when the sizes of the others change.

    Args:
        settings: the dataset's block of the configuration: ``loader``, ``split_sizes``, ``split_seed``.
        files: paths by file name.

    Raises:
        InputError: the sizes ask for more images than there are, or too few for one of each label.
    """
    table: pd.DataFrame = plugins.load(LOADERS, settings["loader"]).records(files)
    sizes = settings["split_sizes"]
    fixed = sum(sizes[name] or 0 for name in SPLITS)
    if fixed > len(table):
        raise InputError(f"split_sizes: {dict(sizes)} ask for {fixed} images; {settings['loader']} has {len(table)}")
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


def load(
    settings: Mapping[str, Any],
    files: Mapping[str, Path],
    index_file: str | Path,
    split: str,
    part: slice = slice(None),
) -> Images:
    """The images of a split (or a slice of it), in the order of the index.

    Args:
        settings: the dataset's block of the configuration.
        files: paths by file name.
        index_file: the Parquet file that ``prepare`` wrote.
        split: one of ``SPLITS``.
        part: which of the split's images.
    """
    table = pd.read_parquet(index_file)
    table = table[table["split"] == split].iloc[part]
    ids: Sequence[str] = table["image_id"].tolist()
    pixels = plugins.load(LOADERS, settings["loader"]).images(files, ids, tuple(settings["image_size"]))
    return Images(np.array(ids, dtype=np.str_), pixels, table["label"].to_numpy(dtype=np.int64))
