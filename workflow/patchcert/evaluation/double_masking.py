"""Certificates of double masking as records, one row an image, and what they amount to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.defenses import double_masking
from patchcert.defenses.asking import checked_truth
from patchcert.metrics import accuracies
from patchcert.predictions import Predictions


def records(predictions: Predictions, labels: NDArray[np.int64], *, numerical_margin: float) -> pd.DataFrame:
    """One row an image: what the undefended and the defended classifier answer, and whether the answer is certified.

    Args:
        predictions: the stored predictions.
        labels: true labels, int64 [N].
        numerical_margin: smallest difference of the two largest logits that counts as a decision.

    Returns:
        The columns of :func:`certified_records`, with ``defended`` (label) and ``case``, a
        :class:`patchcert.defenses.double_masking.Case`.
    """

    def answers(pair_labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        decision = double_masking.decide(pair_labels)
        return {"defended": decision.labels, "case": decision.cases}

    return certified_records(predictions, labels, answers, numerical_margin=numerical_margin)


def certified_records(
    predictions: Predictions,
    labels: NDArray[np.int64],
    answers: Callable[[NDArray[np.int64]], Mapping[str, NDArray[np.int64]]],
    *,
    numerical_margin: float,
) -> pd.DataFrame:
    """One row an image, for any inference that two-mask correctness certifies.

    An image whose certificate hangs on a label that was decided by less than ``numerical_margin`` counts as not certified:
    other hardware or another batch size might decide it otherwise.

    Args:
        predictions: the stored predictions.
        labels: true labels, int64 [N].
        answers: what the inference answers on pair labels [n, K, K], and how: columns of int64 [n].
        numerical_margin: smallest difference of the two largest logits that counts as a decision.

    Returns:
        Columns ``image_id``, ``label``, ``undefended`` (label), the answers, ``passes`` (masked copies that were classified),
        ``pairs`` (unordered pairs of masks), ``margin`` (smallest over all predicted pairs, in logits), ``two_mask_correct``,
        ``near_flip``, ``certified`` (true or false).
    """
    truth = checked_truth(labels, len(predictions.image_ids))
    tables = []
    for part, block in predictions.blocks():
        pair_labels = block.pair_labels
        correct = double_masking.certify(pair_labels, truth[part])
        near_flip = correct & (block.margins < numerical_margin)
        tables.append(
            pd.DataFrame(
                {
                    "image_id": block.image_ids,
                    "label": truth[part],
                    "undefended": block.unmasked.astype(np.int64),
                    **answers(pair_labels),
                    "passes": block.passes.astype(np.int64),
                    "pairs": block.labels.shape[1],
                    "margin": block.margins,
                    "two_mask_correct": correct,
                    "near_flip": near_flip,
                    "certified": correct & ~near_flip,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def measures(records: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """What the certificates of one run amount to.

    Args:
        records: one row an image, as :func:`certified_records` gives them.
        confidence: level of the Wilson intervals.

    Returns:
        What :func:`patchcert.metrics.accuracies` returns, ``passes`` (mean masked copies an image that were classified) and
        ``pairs`` (unordered pairs of masks).
    """
    costs = {"passes": float(records["passes"].mean()), "pairs": int(records["pairs"].iloc[0])}
    return accuracies(records, confidence) | costs
