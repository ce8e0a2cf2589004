"""The default study's images: 1,797 handwritten digits of 8x8 pixels and 17 grey levels, which ship inside scikit-learn.

They have no published parts: every split is drawn from all of them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.datasets.prepare import Preparation

FILE = "digits.csv.gz"
SIDE = 8
WHITE = 16
INK = 128
"""Brightness, of 255, from which a scaled pixel counts as ink."""


def records(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row a digit, in the file's order: ``image_id`` (str, unique) and ``label`` (int64, 0 to 9).

    Args:
        files: paths by file name, with ``digits.csv.gz`` among them.

    Raises:
        InputError: the file does not hold 64 grey levels and a digit in each row.
    """
    table = _read(files)
    return pd.DataFrame({"image_id": [f"digits-{row:04d}" for row in range(len(table))], "label": table[:, -1]})


def pictures(files: Mapping[str, Path], chosen: pd.DataFrame) -> Iterator[NDArray[np.uint8]]:
    """The digits of some of the records, each uint8 [8, 8], of 0 to 255."""
    grey = (_read(files)[:, :-1].reshape(-1, SIDE, SIDE) * 255 // WHITE).astype(np.uint8)
    yield from grey[chosen.index]


def object_sizes(files: Mapping[str, Path], table: pd.DataFrame, preparation: Preparation) -> NDArray[np.float64]:
    """Size of each digit of some of the records, float64 [n]: the ink's bounding box in per cent of the image's pixels.

    Ink is what is at least half as bright as white once the image is prepared; the counterpart of ImageNet's object boxes.
    """
    ink = np.stack([preparation(picture)[0] for picture in pictures(files, table)]) >= INK
    rows, columns = (_extent(np.any(ink, axis=axis)) for axis in (2, 1))
    sizes: NDArray[np.float64] = 100 * rows * columns / (ink.shape[1] * ink.shape[2])
    return sizes


def _extent(inked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels from the first inked one to the last, for each row of bool [n, pixels]; 0 where there is no ink."""
    last = inked.shape[1] - inked[:, ::-1].argmax(axis=1)
    return np.where(inked.any(axis=1), last - inked.argmax(axis=1), 0)


def _read(files: Mapping[str, Path]) -> NDArray[np.int64]:
    fault = InputError(f"{files[FILE]}: no table of {SIDE * SIDE} grey levels (0 to {WHITE}) and a digit; fetch it anew")
    try:
        table = np.loadtxt(files[FILE], delimiter=",", dtype=np.int64, ndmin=2)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise fault from error
    pixels, labels = table[:, :-1], table[:, -1]
    if table.shape[1] != SIDE * SIDE + 1 or pixels.min() < 0 or pixels.max() > WHITE or set(labels) - set(range(10)):
        raise fault
    return table
