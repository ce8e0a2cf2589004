"""True labels of images by their ids, out of an image index; nothing here reads pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.datasets.index import Labels, read_index


def true_labels(index_file: str | Path, image_ids: NDArray[np.str_]) -> Labels:
    """Labels of the named images, int64 [N], or bool [N, C] of a dataset whose images may show any number of its C classes.

    Raises:
        InputError: an image is not in the index.
    """
    table, labels = read_index(index_file)
    rows = pd.Series(np.arange(len(table)), index=table["image_id"])
    unknown = [name for name in image_ids.tolist() if name not in rows.index]
    if unknown:
        raise InputError(f"{index_file}: it has no image {unknown[0]!r}, which the predictions name; predict anew")
    of_images: Labels = labels[rows.loc[image_ids.tolist()].to_numpy(dtype=np.int64)]
    return of_images
