"""The default study's images: 1,797 handwritten digits of 8x8 pixels and 17 grey levels, which ship inside scikit-learn.

Each image is scaled to the study's size and given three equal colour channels.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from patchcert import InputError

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


def images(files: Mapping[str, Path], image_ids: Sequence[str], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """The named digits in the order of their names, uint8 [n, 3, H, W], scaled bicubically."""
    table = _read(files)
    grey = (table[:, :-1].reshape(-1, SIDE, SIDE) * 255 // WHITE).astype(np.uint8)
    rows = [int(name.removeprefix("digits-")) for name in image_ids]
    scaled = [Image.fromarray(grey[row]).resize(image_size[::-1], Image.Resampling.BICUBIC) for row in rows]
    return np.repeat(np.stack([np.asarray(picture) for picture in scaled])[:, None], 3, axis=1)


def object_sizes(files: Mapping[str, Path], image_ids: Sequence[str], image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Size of the named digits, float64 [n]: the ink's bounding box in per cent of the image's pixels.

    Ink is what is at least half as bright as white once the digit is scaled; the counterpart of ImageNet's object boxes.
    """
    ink = images(files, image_ids, image_size)[:, 0] >= INK
    rows, columns = (_extent(np.any(ink, axis=axis)) for axis in (2, 1))
    return 100 * rows * columns / (image_size[0] * image_size[1])


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
