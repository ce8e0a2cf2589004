"""Minority Reports as records, one row an image, and what they amount to at every threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchcert.defenses.asking import checked_truth, smallest_majority
from patchcert.defenses.minority_reports import checked, report_confidence
from patchcert.predictions import Predictions


def records(predictions: Predictions, labels: NDArray[np.int64]) -> pd.DataFrame:
    """One row an image, from which the answer and the certificate at every threshold follow.

    At a threshold, an image raises an alert exactly if ``report_confidence >= threshold``, and is certified exactly if
    ``one_mask_correct and lowest_confidence >= threshold``.

    Args:
        predictions: the stored predictions.
        labels: true labels, int64 [N].

    Returns:
        Columns ``image_id``, ``label``, ``undefended``, ``candidate`` (labels), ``one_mask_correct`` (true or false),
        ``lowest_confidence`` (float32, smallest over all masks), ``report_confidence`` (float32, largest over the masks whose
        label is not the candidate, -1 where there is none).
    """
    one_mask, sure = checked(predictions.pair_labels.diagonal(axis1=1, axis2=2), predictions.confidences)
    truth = checked_truth(labels, len(one_mask))
    candidate = smallest_majority(one_mask)
    return pd.DataFrame(
        {
            "image_id": predictions.image_ids,
            "label": truth,
            "undefended": predictions.unmasked.astype(np.int64),
            "candidate": candidate,
            "one_mask_correct": (one_mask == truth[:, None]).all(axis=1),
            "lowest_confidence": sure.min(axis=1),
            "report_confidence": report_confidence(one_mask, sure, candidate),
        }
    )


def curve(records: pd.DataFrame) -> pd.DataFrame:
    """Counts of images at every threshold from 0 to 1: each row holds from its threshold up to that of the next row.

    Confidences are float32 and reach a threshold that equals them, so that counts change just above a confidence: the
    thresholds of the rows are 0 and the float32 numbers that follow confidences.

    Args:
        records: what :func:`records` returns.

    Returns:
        Columns ``threshold`` (float32, increasing from 0), ``clean`` (answered with the true label, no alert), ``certified``,
        ``alerts`` and ``total`` (int64).
    """
    reports = records["report_confidence"].to_numpy(dtype=np.float32)
    lowest = records["lowest_confidence"].to_numpy(dtype=np.float32)
    right = (records["candidate"] == records["label"]).to_numpy(dtype=np.bool_)
    correct = records["one_mask_correct"].to_numpy(dtype=np.bool_)
    confidences = np.concatenate([reports, lowest])
    changes = np.nextafter(confidences[confidences >= 0], np.float32(1))
    thresholds = np.unique(np.append(np.float32(0), changes))
    counts = pd.DataFrame(
        {
            "clean": np.searchsorted(np.sort(reports[right]), thresholds),
            "certified": correct.sum() - np.searchsorted(np.sort(lowest[correct]), thresholds),
            "alerts": len(records) - np.searchsorted(np.sort(reports), thresholds),
        }
    )
    rows = counts.assign(total=np.int64(len(records)))
    rows.insert(0, "threshold", thresholds)
    return rows[counts.ne(counts.shift()).any(axis=1)].reset_index(drop=True)


def measures(records: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """The counts of one run at every threshold, ``curve``: the columns of :func:`curve` as lists.

    Args:
        records: as :func:`records` gives them.
        confidence: level of intervals, of which counts have none.
    """
    del confidence
    return {"curve": curve(records).to_dict(orient="list")}
