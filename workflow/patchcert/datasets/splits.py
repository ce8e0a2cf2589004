"""Which images of a dataset are learnt from, chosen by and reported: drawn at random, stratified if each has one label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError

UNUSED = "unused"
UNLABELLED = "unlabelled"
"""What the index says of an image in place of a split: nobody drew it; it was not to be drawn, since it has no label."""


def with_splits(records: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The records of a dataset with two more columns: ``split``, and ``row``, the place among the prepared pixels.

    Where the records have a ``part``, the test images are drawn from the part ``test``, and the calibration images and then the
    training images from the part ``train``; else all of them are drawn from all images, in that order. The test images stay the
    same when the sizes of the others change. Each draw is stratified by ``label``. Images that have ``labels``, any number of
    them, are drawn plainly at random, since nearly every combination of labels is rare. ``row`` is -1 for images in no split.

    Args:
        records: one row an image.
        settings: the dataset's block of the configuration: ``loader``, ``split_sizes``, ``split_seed``; of images with
            ``labels`` also ``unlabelled``, whether those without any are to ``keep`` or to ``drop``.

    Raises:
        InputError: the sizes ask for more images than there are, or too few for one of each label.
    """
    sizes, strata = settings["split_sizes"], records["label"].to_numpy() if "label" in records else None
    table = records.assign(split=UNUSED)
    if strata is None and settings["unlabelled"] == "drop":
        table.loc[records["labels"].map(len) == 0, "split"] = UNLABELLED
    for drawn_from, rest, names in _pools(table):
        asked = {name: sizes[name] for name in sizes if name in names}
        fixed = sum(asked[name] or 0 for name in names)
        if fixed > len(rest):
            raise InputError(f"split_sizes: {asked} ask for {fixed} images; {settings['loader']} has {len(rest)}{drawn_from}")
        for name in names:
            size = len(rest) if sizes[name] is None else sizes[name]
            drawn, rest = _drawn(strata, rest, size, settings["split_seed"], name)
            table.loc[drawn, "split"] = name
    used = ~table["split"].isin((UNUSED, UNLABELLED))
    return table.assign(row=np.where(used, used.cumsum() - 1, -1).astype(np.int64))


def _pools(table: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.int64], tuple[str, ...]]]:
    """What images are drawn from: its name in a message, its rows, and the splits that are drawn from it, in order."""
    free = table["split"] == UNUSED
    labelled = "" if free.all() else " with labels"
    if "part" not in table:
        yield labelled, np.flatnonzero(free), ("test", "calibration", "train")
        return
    for part, names in (("test", ("test",)), ("train", ("calibration", "train"))):
        yield f"{labelled} in its part {part!r}", np.flatnonzero(free & (table["part"] == part)), names


def _drawn(
    strata: NDArray[np.int64] | None, rows: NDArray[np.int64], size: int, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """So many of the rows, and the others; stratified if there are strata."""
    from sklearn.model_selection import train_test_split

    if size == len(rows):
        return rows, rows[:0]
    try:
        of_rows = None if strata is None else strata[rows]
        rest, drawn = train_test_split(rows, test_size=size, random_state=seed, stratify=of_rows)
    except ValueError as error:
        raise InputError(f"split_sizes: {name} of {size} images out of {len(rows)} cannot be stratified: {error}") from error
    return drawn, rest
