"""Certificates of challenger masking as records, one row an image, and what they amount to."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.defenses import challenger
from patchcert.evaluation.double_masking import certified_records, measures
from patchcert.predictions import Predictions

__all__ = ["measures", "records"]


def records(predictions: Predictions, labels: NDArray[np.int64], *, numerical_margin: float) -> pd.DataFrame:
    """One row an image: what the undefended and the defended classifier answer, and whether the answer is certified.

    Args:
        predictions: the stored predictions.
        labels: true labels, int64 [N].
        numerical_margin: smallest difference of the two largest logits that counts as a decision.

    Returns:
        The columns of :func:`patchcert.evaluation.double_masking.certified_records`, with ``defended`` (label) and ``games``.
    """

    def answers(pair_labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        decision = challenger.decide(pair_labels)
        return {"defended": decision.labels, "games": decision.games}

    return certified_records(predictions, labels, answers, numerical_margin=numerical_margin)
