"""True labels of images by their ids, out of an image index; nothing here reads pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert import InputError


def true_labels(index_file: str | Path, image_ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """Labels, int64 [N], of the named images.

    Raises:
        InputError: an image is not in the index.
    """
    table = pd.read_parquet(index_file).set_index("image_id")["label"]
    unknown = [name for name in image_ids.tolist() if name not in table.index]
    if unknown:
        raise InputError(f"{index_file}: it has no image {unknown[0]!r}, which the predictions name; predict anew")
    labels: NDArray[np.int64] = table.loc[image_ids.tolist()].to_numpy(dtype=np.int64)
    return labels
