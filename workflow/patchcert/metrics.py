"""Numbers derived from per-image records: shares with their confidence intervals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from patchcert import InputError

METRICS = ("undefended_clean", "defended_clean", "certified")
"""The accuracies of a defense, by name."""


class Share(NamedTuple):
    """A share of images in per cent, with the ends of its confidence interval in per cent and the counts behind it."""

    percent: float
    low: float
    high: float
    hits: int
    total: int


def share(hits: ArrayLike, confidence: float = 0.95) -> Share:
    """The share of true entries and its Wilson score interval.

    Args:
        hits: bool [N], one entry an image.
        confidence: level of the interval, between 0 and 1.

    Raises:
        InputError: there is no image, or the entries are not true or false.
    """
    values = np.asarray(hits)
    if values.ndim != 1 or values.dtype != np.bool_ or len(values) == 0:
        raise InputError(f"hits: {values.dtype} of shape {values.shape}; write one true or false for each image, at least one")
    count, total = int(values.sum()), len(values)
    interval = binomtest(count, total).proportion_ci(confidence_level=confidence, method="wilson")
    return Share(100 * count / total, 100 * float(interval.low), 100 * float(interval.high), count, total)


def share_if_any(hits: NDArray[np.bool_], confidence: float = 0.95) -> Share:
    """As :func:`share`, and a share of NaN where there is no image."""
    return share(hits, confidence) if len(hits) else Share(math.nan, math.nan, math.nan, 0, 0)


def accuracies(records: pd.DataFrame, confidence: float = 0.95) -> dict[str, dict[str, float] | int]:
    """Accuracies of a defense from its per-image records.

    Args:
        records: one row an image, with ``label``, ``undefended`` and ``defended`` (labels), ``certified`` and ``near_flip``
            (true or false).
        confidence: level of the Wilson intervals.

    Returns:
        ``undefended_clean``, ``defended_clean`` and ``certified`` as the fields of :class:`Share`, per cent, and the number of
        ``near_flips``: images that are certified but for a label decided by too small a margin.

    Raises:
        InputError: there is no row.
    """
    hits = {
        "undefended_clean": records["undefended"] == records["label"],
        "defended_clean": records["defended"] == records["label"],
        "certified": records["certified"],
    }
    found: dict[str, dict[str, float] | int] = {
        name: share(values.to_numpy(dtype=bool), confidence)._asdict() for name, values in hits.items()
    }
    return found | {"near_flips": int(records["near_flip"].sum())}
