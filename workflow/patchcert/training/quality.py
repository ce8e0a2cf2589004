"""How good a classifier is on labelled images, as one number to choose an epoch by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quality(logits: NDArray[np.float32], truth: NDArray[np.int64] | NDArray[np.bool_]) -> tuple[str, float]:
    """The name of the measure and its value, 0 to 1: ``accuracy``, or ``average_precision`` where images have several labels.

    The latter is the mean over the classes that occur of each one's average precision, which is the usual one number of
    multi-label classification and needs no threshold.

    Args:
        logits: float32 [N, C].
        truth: int64 [N], or bool [N, C].
    """
    if truth.ndim == 1:
        return "accuracy", float((logits.argmax(axis=1) == truth).mean())
    from sklearn.metrics import average_precision_score

    occurring = truth.any(axis=0)
    return "average_precision", float(average_precision_score(truth[:, occurring], logits[:, occurring], average="macro"))
