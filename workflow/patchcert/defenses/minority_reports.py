"""Minority Reports: detecting a patch attack from the one-mask predictions, and the certificate of that.

The defended classifier answers a label or raises an alert. A certified image is never answered wrongly without one: a weaker
guarantee than that of double masking, since an attacker may force alerts. Source: PatchCleanser, section 5.2.

Confidences and thresholds are compared as float32, so that a confidence equal to the threshold reaches it everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses.asking import checked_truth, smallest_majority

ALERT = -1
"""The answer that an attack was detected."""

NO_REPORT = np.float32(-1)
"""Report confidence of an image on which all masks agree: below every threshold."""


def infer(one_mask_labels: ArrayLike, confidences: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Labels that the defended classifier answers, ``ALERT`` where it detects an attack, int64 [N].

    The candidate is the majority of the one-mask labels, the smallest of tied ones. A mask whose label is another one with a
    confidence of at least the threshold raises the alert.

    Args:
        one_mask_labels: the label of each image under each mask alone, whole numbers >= 0, [N, K].
        confidences: the softmax confidence of each of these labels, from 0 to 1, [N, K].
        threshold: confidence from which a minority is heard, from 0 to 1.

    Raises:
        InputError: a wrong shape, type or range.
    """
    labels, sure = checked(one_mask_labels, confidences)
    candidate = smallest_majority(labels)
    return np.where(report_confidence(labels, sure, candidate) >= _threshold(threshold), ALERT, candidate)


def certify(one_mask_labels: ArrayLike, confidences: ArrayLike, labels: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Whether no patch that the mask set covers can make the defense answer a wrong label without an alert, bool [N].

    True where every one-mask label is the true one with a confidence of at least the threshold. The mask that hides the patch
    leaves the classifier what it would leave without the patch, and so keeps its label and its confidence: a wrong candidate
    meets this report, and it raises the alert.

    Args:
        one_mask_labels: the label of each image under each mask alone, whole numbers >= 0, [N, K].
        confidences: the softmax confidence of each of these labels, from 0 to 1, [N, K].
        labels: true labels, whole numbers [N].
        threshold: confidence from which a minority is heard, from 0 to 1.

    Raises:
        InputError: a wrong shape, type or range.
    """
    one_mask, sure = checked(one_mask_labels, confidences)
    truth = checked_truth(labels, len(one_mask))
    return np.asarray(((one_mask == truth[:, None]) & (sure >= _threshold(threshold))).all(axis=1))


def checked(one_mask_labels: ArrayLike, confidences: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """One-mask labels, int64 [N, K], and their confidences, float32 [N, K].

    Raises:
        InputError: a wrong shape, type or range.
    """
    labels = np.asarray(one_mask_labels)
    if labels.ndim != 2 or labels.shape[1] == 0:
        raise InputError(f"one_mask_labels: shape {labels.shape}; write [images, masks]")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < 0:
        raise InputError(f"one_mask_labels: {labels.dtype}, smallest {labels.min(initial=0)}; write whole numbers from 0 up")
    sure = np.asarray(confidences, dtype=np.float32)
    if sure.shape != labels.shape:
        raise InputError(f"confidences: shape {sure.shape}; write one for each of the labels, {labels.shape}")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise InputError("confidences: not all are from 0 to 1; write softmax confidences, such as 0.9")
    return labels.astype(np.int64, copy=False), sure


def _threshold(threshold: float) -> np.float32:
    value = np.asarray(threshold)
    if value.ndim or value.dtype.kind not in "iuf" or not 0 <= value <= 1:
        raise InputError(f"threshold: {threshold!r}; write a number from 0 to 1, such as 0.9")
    return np.float32(threshold)


def report_confidence(
    labels: NDArray[np.int64], confidences: NDArray[np.float32], candidate: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The largest confidence of a mask whose label is not the candidate, float32 [N], ``NO_REPORT`` where there is none."""
    reports = np.where(labels == candidate[:, None], NO_REPORT, confidences)
    return np.asarray(reports.max(axis=1))
