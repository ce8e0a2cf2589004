"""Labels under two masks as the defenses read them: all stored beforehand, or asked of a classifier as they are needed.

An *asking function* answers requests (image number, first mask, second mask) with labels. The two masks of a request commute,
and a mask with itself is the one-mask prediction. What was asked before is not kept here: an engine that remembers answers
makes repeated requests free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError

Ask: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""Image numbers, first masks and second masks, each int64 [n], to labels, int64 [n]."""

UNPREDICTED = -1
"""Stands in stored labels for a pair of masks that nobody asked for."""


class Claims(NamedTuple):
    """Claims that an image keeps one label under a list of masks; each image's claims are tried one after the other.

    Attributes:
        images: int64 [T], the image of each claim; the claims of one image stand side by side.
        labels: int64 [T], the label that is claimed.
        requests: int64 [T, Q], the pairs of masks that must give it, in the order in which to ask: the first mask times the
            number of masks, plus the second.
    """

    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    requests: NDArray[np.int64]


def stored(pair_labels: ArrayLike) -> Ask:
    """Answer from stored labels.

    Args:
        pair_labels: as :func:`checked_pairs` takes them.

    Raises:
        InputError: the labels are none; the function itself raises it when the label that it is asked for is missing.
    """
    labels = checked_pairs(pair_labels)

    def ask(images: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        answers = labels[images, first, second]
        missing = answers == UNPREDICTED
        if missing.any():
            request = missing.argmax()
            raise missing_label(int(images[request]), int(first[request]), int(second[request]))
        return answers

    return ask


def first_round(ask: Ask, images: int, masks: int) -> NDArray[np.int64]:
    """Ask for the label of every image under every single mask, int64 [images, masks], in one call."""
    mask = np.tile(np.arange(masks), images)
    return ask(np.repeat(np.arange(images), masks), mask, mask).reshape(images, masks)


def refuted(ask: Ask, claims: Claims, *, masks: int, wave: int = 1) -> NDArray[np.bool_]:
    """Which claims an answer contradicts, bool [T], asking no more than it takes to settle each image.

    A claim is left at its first contradiction, and an image at the first of its claims that has all its answers and none
    against it. So the first claim of an image that is not refuted holds; what is said of those after it means nothing.

    The requests of an image, claim after claim, are its queue. Every call of ``ask`` takes the next requests of as many
    queues as there are, up to ``wave`` requests in all and the same number from each as far as they last; but of no claim more
    than were asked of it before, or one. So a claim that falls early costs little beyond what it takes to refute it, and one
    that holds soon fills the waves. With one image and a wave of 1 nothing is asked that could have been spared.

    Args:
        ask: the asking function.
        claims: what is to be refuted.
        masks: number of masks K.
        wave: requests a call.

    Raises:
        InputError: the wave is smaller than 1.
    """
    if wave < 1:
        raise InputError(f"wave: {wave}; write a whole number from 1 up, such as the batch size")
    count, length = claims.requests.shape
    requests = claims.requests.ravel()
    found = np.zeros(count, dtype=np.bool_)
    starts = np.flatnonzero(np.diff(claims.images, prepend=-1))
    position, end = starts * length, np.append(starts[1:], count) * length
    while len(queues := np.flatnonzero(position < end)[:wave]):
        asked_before = position[queues] % length
        shares = _shares(np.minimum(length - asked_before, np.maximum(asked_before, 1)), wave)
        queue = np.repeat(queues, shares)
        asked = position[queue] + np.arange(len(queue)) - np.repeat(shares.cumsum() - shares, shares)
        claim = asked // length
        first, second = np.divmod(requests[asked], masks)
        found[claim[ask(claims.images[claim], first, second) != claims.labels[claim]]] = True
        stop = position[queues] + shares
        last = (stop - 1) // length
        position[queues] = np.where(found[last], (last + 1) * length, stop)
        holds = (asked % length == length - 1) & ~found[claim]
        position[queue[holds]] = end[queue[holds]]
    return found


def checked_pairs(pair_labels: ArrayLike) -> NDArray[np.int64]:
    """The labels of every image under every pair of masks, int64 [N, K, K].

    Args:
        pair_labels: whole numbers >= 0, [N, K, K], symmetric in the two masks, the one-mask labels on the diagonal;
            ``UNPREDICTED`` off the diagonal for a pair that was not predicted.

    Raises:
        InputError: another shape or type, another negative label, labels that depend on the order of the two masks, or no label
            for a single mask.
    """
    labels = np.asarray(pair_labels)
    if labels.ndim != 3 or labels.shape[1] != labels.shape[2] or labels.shape[1] == 0:
        raise InputError(f"pair_labels: shape {labels.shape}; write [images, masks, masks]")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"pair_labels: {labels.dtype}; write whole numbers from 0 up")
    if labels.min(initial=0) < UNPREDICTED:
        raise InputError(f"pair_labels: smallest {labels.min()}; write whole numbers from 0 up")
    if not np.array_equal(labels, labels.transpose(0, 2, 1)):
        raise InputError("pair_labels: not symmetric; masks i and j give one image, so [n, i, j] must equal [n, j, i]")
    missing = np.argwhere(labels.diagonal(axis1=1, axis2=2) == UNPREDICTED)
    if len(missing):
        image, mask = missing[0]
        raise InputError(f"pair_labels: image {image} has no label under mask {mask} alone; predict every single mask")
    return labels.astype(np.int64, copy=False)


def checked_truth(labels: ArrayLike, images: int) -> NDArray[np.int64]:
    """True labels, int64 [images].

    Raises:
        InputError: another shape, or not whole numbers.
    """
    truth = np.asarray(labels)
    if truth.shape != (images,) or not np.issubdtype(truth.dtype, np.integer):
        raise InputError(
            f"labels: {truth.dtype} of shape {truth.shape}; write one whole number for each of the {images} images"
        )
    return truth.astype(np.int64, copy=False)


def missing_label(image: int, first: int, second: int) -> InputError:
    """The error to raise where the answer hangs on a pair that was not predicted."""
    return InputError(
        f"image {image}: the label under masks {first} and {second} is missing, and the answer hangs on it; "
        "predict in matrix mode"
    )


def _shares(lengths: NDArray[np.int64], wave: int) -> NDArray[np.int64]:
    """How many requests each queue gives: the same number of each as far as it lasts, the odd ones from the first queues."""
    ordered = np.sort(lengths)
    before = ordered.cumsum() - ordered
    emptied = int(np.searchsorted(before + ordered * np.arange(len(ordered), 0, -1), wave, side="right"))
    if emptied == len(ordered):
        return lengths
    level = (wave - before[emptied]) // (len(ordered) - emptied)
    shares: NDArray[np.int64] = np.minimum(lengths, level)
    shares[np.flatnonzero(lengths > level)[: wave - shares.sum()]] += 1
    return shares


def smallest_majority(one_mask: NDArray[np.int64]) -> NDArray[np.int64]:
    """The most frequent label of each row of int64 [N, K], and the smallest where several are as frequent, int64 [N]."""
    values, codes = np.unique(one_mask, return_inverse=True)
    counts = np.zeros((len(one_mask), len(values)), dtype=np.int64)
    np.add.at(counts, (np.arange(len(one_mask))[:, None], codes.reshape(one_mask.shape)), 1)
    return values[counts.argmax(axis=1)] if len(one_mask) else np.zeros(0, dtype=np.int64)
