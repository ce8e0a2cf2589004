"""Random subsets of test images, on which the papers evaluate what takes long: 500 or 5,000 of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray


def subset(image_ids: Sequence[str] | NDArray[np.str_], number: int, seed: int) -> NDArray[np.int64]:
    """Places of the images that are drawn without replacement, int64 [n], ascending; n is ``number`` or, if less, their number.

    Those with the smallest digests of seed and id are drawn. So it does not matter in what order the ids come, a smaller subset
    is part of a larger one, and a subset can be found again among the images of any larger one.

    Args:
        image_ids: unique ids.
        number: how many images to draw.
        seed: of the draw.
    """
    digests = np.array([sha256(f"{seed}:{image_id}".encode()).hexdigest() for image_id in image_ids], dtype=np.str_)
    return np.sort(np.argsort(digests)[:number]).astype(np.int64)
