"""Double masking: PatchCleanser's robust prediction (Algorithm 1) and its certificate (Algorithm 2).

Both read the label that a classifier gives for pairs of masks, ``pair_labels[n, i, j]``: image n with masks i and j on it. The
diagonal holds the one-mask predictions. :func:`decide` and :func:`certify` take the labels as stored; :func:`infer_online` and
:func:`certify_online` ask for them one wave after the other, and stop asking about an image once it is settled.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.defenses.asking import (
    UNPREDICTED,
    Ask,
    Claims,
    checked_pairs,
    checked_truth,
    first_round,
    missing_label,
    refuted,
    smallest_majority,
)


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
    that both pass share the image with both their masks, and therefore the label. For the same reason a disagreer with
    unpredicted pairs does no harm where another one passes.

    Args:
        pair_labels: as :func:`patchcert.defenses.asking.checked_pairs` takes them, [N, K, K].

    Raises:
        InputError: labels that are none, or an unpredicted pair on which an answer hangs.
    """
    labels = checked_pairs(pair_labels)
    one_mask = labels.diagonal(axis1=1, axis2=2)
    majority = smallest_majority(one_mask)
    disagrees = one_mask != majority[:, None]
    predicted = labels != UNPREDICTED
    upheld = disagrees & ((labels == one_mask[:, :, None]) | ~predicted).all(axis=2)
    trusted = upheld & predicted.all(axis=2)
    _refuse_missing(labels, upheld & ~trusted.any(axis=1, keepdims=True))
    first_trusted = one_mask[np.arange(len(labels)), trusted.argmax(axis=1)]
    return _decision(majority, disagrees.any(axis=1), trusted.any(axis=1), first_trusted)


def certify(pair_labels: ArrayLike, labels: ArrayLike) -> NDArray[np.bool_]:
    """Whether no patch that the mask set covers can change the defended answer from the true label, bool [N].

    True where every two-mask prediction is correct; one wrong prediction settles an image without the rest. The guarantee
    needs a mask set that covers the patch (:meth:`patchcert.masks.MaskSet.covers`). Source: PatchCleanser, Definition 2,
    Theorem 1, Algorithm 2.

    Args:
        pair_labels: as :func:`patchcert.defenses.asking.checked_pairs` takes them, [N, K, K].
        labels: true labels, whole numbers [N].

    Raises:
        InputError: labels that are none, a wrong shape or type, or a pair unpredicted where no prediction is wrong.
    """
    predicted = checked_pairs(pair_labels)
    truth = checked_truth(labels, len(predicted))
    certified = ((predicted == truth[:, None, None]) | (predicted == UNPREDICTED)).all(axis=(1, 2))
    _refuse_missing(predicted, certified[:, None])
    return np.asarray(certified)


def infer_online(ask: Ask, images: int, masks: int, *, wave: int = 1) -> Decision:
    """Run Algorithm 1 on labels asked for as they are needed; the same answers as :func:`decide`.

    The first call of ``ask`` takes all one-mask predictions. An image whose labels agree needs nothing more. Otherwise its
    disagreers are tried in order of mask, each against the second masks whose one-mask label is another first: there it is
    contradicted soonest.

    Args:
        ask: the asking function.
        images: number of images N.
        masks: number of masks K.
        wave: requests a call, see :func:`patchcert.defenses.asking.refuted`.

    Raises:
        InputError: the wave is smaller than 1.
    """
    one_mask = first_round(ask, images, masks)
    majority = smallest_majority(one_mask)
    disagrees = one_mask != majority[:, None]
    image, mask = np.nonzero(disagrees)
    label = one_mask[image, mask]
    rank = (one_mask[image] == label[:, None]).astype(np.int8)
    rank[np.arange(len(mask)), mask] = 2
    others = rank.argsort(axis=1, kind="stable")[:, :-1]
    trusted = ~refuted(ask, Claims(image, label, mask[:, None] * masks + others), masks=masks, wave=wave)
    passed, first = np.unique(image[trusted], return_index=True)
    first_trusted = majority.copy()
    first_trusted[passed] = label[trusted][first]
    return _decision(majority, disagrees.any(axis=1), np.isin(np.arange(images), passed), first_trusted)


def certify_online(
    ask: Ask,
    labels: ArrayLike,
    masks: int,
    losses: NDArray[np.floating],
    pairs: NDArray[np.int64],
    *,
    wave: int = 1,
) -> NDArray[np.bool_]:
    """Compute :func:`certify` from labels asked for as they are needed, and leave an image at its first wrong one.

    The first call of ``ask`` takes all one-mask predictions. Images that pass are asked on, the pairs first that are likely to
    fail: those with the largest sum of the two one-mask losses.

    Args:
        ask: the asking function.
        labels: true labels, whole numbers [N].
        masks: number of masks K.
        losses: the classifier's loss on the true label under each single mask, [N, K].
        pairs: the pairs of masks to ask for, int64 [Q, 2]: one for each masked area that is not that of a single mask.
        wave: requests a call, see :func:`patchcert.defenses.asking.refuted`.

    Raises:
        InputError: a wrong shape or type of the labels or losses, or a wave smaller than 1.
    """
    losses = np.asarray(losses)
    truth = checked_truth(labels, len(losses))
    if losses.shape != (len(truth), masks):
        raise InputError(f"losses: shape {losses.shape}; write one loss for each image and mask, [{len(truth)}, {masks}]")
    certified = (first_round(ask, len(truth), masks) == truth[:, None]).all(axis=1)
    image = np.flatnonzero(certified)
    first, second = pairs.T
    worst_first = np.argsort(-(losses[image][:, first] + losses[image][:, second]), axis=1, kind="stable")
    requests = (first * masks + second)[worst_first]
    certified[image] = ~refuted(ask, Claims(image, truth[image], requests), masks=masks, wave=wave)
    return np.asarray(certified)


def _decision(
    majority: NDArray[np.int64],
    disagreed: NDArray[np.bool_],
    trusts: NDArray[np.bool_],
    first_trusted: NDArray[np.int64],
) -> Decision:
    cases = np.where(trusts, Case.DISAGREER, np.where(disagreed, Case.MAJORITY, Case.AGREED))
    return Decision(np.where(trusts, first_trusted, majority), cases.astype(np.int64))


def _refuse_missing(labels: NDArray[np.int64], needed: NDArray[np.bool_]) -> None:
    """Raise where a row of the labels [N, K, K] that is needed, bool broadcast to [N, K], holds an unpredicted pair."""
    missing = np.argwhere((labels == UNPREDICTED) & needed[:, :, None])
    if len(missing):
        raise missing_label(*missing[0].tolist())
