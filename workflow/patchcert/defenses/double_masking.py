"""Double masking: PatchCleanser's robust prediction (Algorithm 1) and its certificate (Algorithm 2), on stored predictions.

Both read the label that a classifier gave for every pair of masks, ``pair_labels[n, i, j]``: image n with masks i and j on
it. The diagonal holds the one-mask predictions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.predictions import Predictions


class Case(IntEnum):
    """Which line of Algorithm 1 gave the answer."""

    AGREED = 1
    DISAGREER = 2
    MAJORITY = 3


class Decision(NamedTuple):
    """Answers of Algorithm 1: labels, int64 [N], and the :class:`Case` that decided each, int64 [N]."""

    labels: NDArray[np.int64]
    cases: NDArray[np.int64]


def infer(pair_labels: ArrayLike) -> NDArray[np.int64]:
    """Labels that the defended classifier answers, int64 [N] (Algorithm 1); see :func:`decide`."""
    return decide(pair_labels).labels


def decide(pair_labels: ArrayLike) -> Decision:
    """Run Algorithm 1 on stored predictions, for all images at once.

    A tied majority is the smallest of the tied labels. The order in which disagreers are tried does not matter: two of them
    that both pass share the image with both their masks, and therefore the label.

    Args:
        pair_labels: whole numbers >= 0, [N, K, K], symmetric in the two masks.

    Raises:
        InputError: another shape or type, a negative label, or labels that depend on the order of the two masks.
    """
    labels = _checked(pair_labels)
    one_mask = labels.diagonal(axis1=1, axis2=2)
    majority = _smallest_majority(one_mask)
    disagrees = one_mask != majority[:, None]
    trusted = disagrees & (labels == one_mask[:, :, None]).all(axis=2)
    first_trusted = one_mask[np.arange(len(labels)), trusted.argmax(axis=1)]
    cases = np.where(trusted.any(axis=1), Case.DISAGREER, np.where(disagrees.any(axis=1), Case.MAJORITY, Case.AGREED))
    return Decision(np.where(cases == Case.DISAGREER, first_trusted, majority), cases.astype(np.int64))


def certify(pair_labels: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Whether no patch that the mask set covers can change the defended answer from the true label, bool [N].

    True where every two-mask prediction is correct. The guarantee needs a mask set that covers the patch
    (:meth:`patchcert.masks.MaskSet.covers`). Source: PatchCleanser, Definition 2, Theorem 1, Algorithm 2.

    Args:
        pair_labels: whole numbers >= 0, [N, K, K], symmetric in the two masks.
        labels: true labels, whole numbers [N].

    Raises:
        InputError: a wrong shape or type.
    """
    predicted = _checked(pair_labels)
    truth = np.asarray(labels)
    if truth.shape != predicted.shape[:1] or not np.issubdtype(truth.dtype, np.integer):
        raise InputError(
            f"labels: {truth.dtype} of shape {truth.shape}; write one whole number for each of the {len(predicted)} images"
        )
    return np.asarray((predicted == truth[:, None, None]).all(axis=(1, 2)))


def records(predictions: Predictions, labels: NDArray[np.int64], *, numerical_margin: float) -> pd.DataFrame:
    """One row an image: what the undefended and the defended classifier answer, and whether the answer is certified.

    An image whose certificate hangs on a label that was decided by less than ``numerical_margin`` counts as not certified:
    other hardware or another batch size might decide it otherwise.

    Args:
        predictions: the stored predictions.
        labels: true labels, int64 [N].
        numerical_margin: smallest difference of the two largest logits that counts as a decision.

    Returns:
        Columns ``image_id``, ``label``, ``undefended``, ``defended`` (labels), ``case`` (of :class:`Case`), ``margin``
        (smallest over all pairs, in logits), ``two_mask_correct``, ``near_flip``, ``certified`` (true or false).
    """
    decision = decide(predictions.pair_labels)
    correct = certify(predictions.pair_labels, labels)
    near_flip = correct & (predictions.margins < numerical_margin)
    return pd.DataFrame(
        {
            "image_id": predictions.image_ids,
            "label": labels,
            "undefended": predictions.unmasked.astype(np.int64),
            "defended": decision.labels,
            "case": decision.cases,
            "margin": predictions.margins,
            "two_mask_correct": correct,
            "near_flip": near_flip,
            "certified": correct & ~near_flip,
        }
    )


def _checked(pair_labels: ArrayLike) -> NDArray[np.int64]:
    labels = np.asarray(pair_labels)
    if labels.ndim != 3 or labels.shape[1] != labels.shape[2] or labels.shape[1] == 0:
        raise InputError(f"pair_labels: shape {labels.shape}; write [images, masks, masks]")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"pair_labels: {labels.dtype}; write whole numbers from 0 up")
    if labels.min(initial=0) < 0:
        raise InputError(f"pair_labels: smallest {labels.min()}; write whole numbers from 0 up")
    if not np.array_equal(labels, labels.transpose(0, 2, 1)):
        raise InputError("pair_labels: not symmetric; masks i and j give one image, so [n, i, j] must equal [n, j, i]")
    return labels.astype(np.int64, copy=False)


def _smallest_majority(one_mask: NDArray[np.int64]) -> NDArray[np.int64]:
    values, codes = np.unique(one_mask, return_inverse=True)
    counts = np.zeros((len(one_mask), len(values)), dtype=np.int64)
    np.add.at(counts, (np.arange(len(one_mask))[:, None], codes.reshape(one_mask.shape)), 1)
    return values[counts.argmax(axis=1)] if len(one_mask) else np.zeros(0, dtype=np.int64)
