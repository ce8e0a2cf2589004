"""Where a patch is: by the labels that a classifier gives when a block slides over the image and is restored at each place.

A patch that turns the answer does so wherever the block leaves it alone. The most frequent label is therefore taken for the
attacker's, and the positions at which another label comes out vote for where the patch is: the position whose cross-shaped
surroundings hold most of them is the answer. This is empirical. An attacker who knows it may mislead it, and nothing here is a
certificate.

:func:`patchcert.label_maps.label_maps` asks the classifier, :func:`locate` does the voting on stored labels.

Source: Zhang et al., "Certified defense against patch attacks via mask-guided randomized smoothing", Science China Information
Sciences 65, 2022, sections 3.2 and 3.3, equations 11 and 12. Where the paper leaves something open, :func:`locate` says what is
done.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from patchcert import InputError
from patchcert.defenses.asking import smallest_majority
from patchcert.masks import Size

TOLERANCE = 3
"""Pixels by which the block found is enlarged on every side, so that it covers the patch (section 3.2)."""
NOWHERE = (0, 0, 0, 0)


class Outcome(IntEnum):
    """What the votes say of an image."""

    LOCATED = 0
    UNDISTURBED = 1
    """Every position has one label: there is no vote, and no box. The paper has no such images."""
    AMBIGUOUS = 2
    """High scores in several places that do not hang together: the image is discarded."""


class Locations(NamedTuple):
    """Where the patches of N images are.

    Attributes:
        boxes: the block with the highest score, enlarged by the tolerance and cut to the image: int64 [N, 4], top, bottom,
            left, right, half-open. No pixel where nothing is located.
        outcomes: :class:`Outcome`, int64 [N].
        attacked: the most frequent label, int64 [N]; of tied ones the smallest.
        scores: votes for each position, int64 [N, R, C] (equation 12).
    """

    boxes: NDArray[np.int64]
    outcomes: NDArray[np.int64]
    attacked: NDArray[np.int64]
    scores: NDArray[np.int64]


def locate(labels: ArrayLike, block: Size, *, overlap: int, threshold: int, tolerance: int = TOLERANCE) -> Locations:
    """Find the patch by joint voting.

    The positions whose label is not the most frequent one are votes. A position's score is the number of votes in a cross
    around it: of blocks that overlap the block there and share at least ``overlap`` of its rows or ``overlap`` of its columns.
    The highest score is where the patch is. An image is ambiguous if the positions with a score above the threshold are in two
    parts or more that do not hang together.

    Open in the paper, and done here so: of tied scores the position counts that is nearest to the middle of all of them, and of
    equally near ones the first in reading order; positions hang together through their eight neighbours; positions outside the
    image have no vote; all positions within the tolerance are taken for the patch, and not only those that are votes.

    Args:
        labels: of the image with the block restored at each position, whole numbers [N, R, C];
            see :func:`patchcert.label_maps.label_maps`.
        block: rows and columns, pixels.
        overlap: rows or columns that blocks of the cross share with its middle, from 1 (the cross is a square) to the block's
            smaller side (its arms are one position wide). The paper calls it m and does not say what it is.
        threshold: the score tau above which a position is a candidate; left open likewise.
        tolerance: pixels by which the block is enlarged on every side.

    Raises:
        InputError: arguments of a wrong shape, type or range.
    """
    found = np.asarray(labels)
    if found.ndim != 3 or 0 in found.shape[1:] or found.dtype.kind not in "iu":
        raise InputError(f"labels: {found.dtype} of shape {found.shape}; write whole numbers, [images, rows, columns]")
    if not 1 <= overlap <= min(block):
        raise InputError(f"overlap: {overlap}; write rows or columns of a block of {block[0]}x{block[1]}, 1 to {min(block)}")
    if threshold < 0 or tolerance < 0:
        raise InputError(f"threshold: {threshold}, tolerance: {tolerance}; write whole numbers from 0 up")
    attacked = smallest_majority(found.reshape(len(found), found.shape[1] * found.shape[2]).astype(np.int64))
    votes = (found != attacked[:, None, None]).astype(np.int64)
    scores = ndimage.correlate(votes, cross(block, overlap)[None], mode="constant")
    outcomes = np.array([_outcome(*each, threshold) for each in zip(votes, scores, strict=True)], dtype=np.int64)
    tops, lefts = np.array([_highest(each) for each in scores], dtype=np.int64).reshape(-1, 2).T
    boxes = np.stack([tops, tops + block[0], lefts, lefts + block[1]], axis=1) + tolerance * np.array([-1, 1, -1, 1])
    boxes[:, :2] = boxes[:, :2].clip(0, found.shape[1] + block[0] - 1)
    boxes[:, 2:] = boxes[:, 2:].clip(0, found.shape[2] + block[1] - 1)
    located = outcomes == Outcome.LOCATED
    return Locations(np.where(located[:, None], boxes, NOWHERE), outcomes, attacked, scores)


def vote(maps: NDArray[np.int64], block: Size, *, overlap: float, threshold: float, tolerance: int) -> Locations:
    """Where the patches are, by joint voting whose settings are shares, so that they suit blocks of every size.

    Args:
        maps: labels with a block restored at every place, int64 [N, R, C].
        block: rows and columns, pixels.
        overlap: rows or columns that blocks of the cross share with its middle, as a share of the block's smaller side.
        threshold: score above which a place is a candidate, as a share of the blocks in the cross.
        tolerance: pixels by which the block found is enlarged on every side.
    """
    shared = max(1, round(overlap * min(block)))
    votes = int(threshold * int(cross(block, shared).sum()))
    return locate(maps, block, overlap=shared, threshold=votes, tolerance=tolerance)


def cross(block: Size, overlap: int) -> NDArray[np.int64]:
    """The template T: 1 for each block, by how far it is moved, that shares ``overlap`` rows or columns with the middle one.

    Returns:
        int64 [2 * rows - 1, 2 * columns - 1], the block that is not moved in the middle.
    """
    shared_rows, shared_columns = (side - np.abs(np.arange(1 - side, side)) for side in block)
    return ((shared_rows[:, None] >= overlap) | (shared_columns >= overlap)).astype(np.int64)


def covered(boxes: ArrayLike, patches: ArrayLike) -> NDArray[np.bool_]:
    """Whether each box covers the patch of its image wholly, bool [N]; both int [N, 4].

    Raises:
        InputError: the two are not boxes of the same images.
    """
    found, wanted = np.asarray(boxes), np.asarray(patches)
    if found.shape != wanted.shape or found.ndim != 2 or found.shape[1] != 4:
        raise InputError(f"patches: shape {wanted.shape}, boxes: {found.shape}; write a box for each image, [N, 4] both")
    outwards = np.array([1, -1, 1, -1])
    return np.asarray((found * outwards <= wanted * outwards).all(axis=1))


def _highest(scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the score is highest, row and column, int64 [2]; of several the one nearest to their middle."""
    tied = np.argwhere(scores == scores.max())
    # in whole numbers, so that equal distances are equal
    away = ((len(tied) * tied - tied.sum(axis=0)) ** 2).sum(axis=1)
    return np.asarray(tied[away.argmin()])


def _outcome(votes: NDArray[np.int64], scores: NDArray[np.int64], threshold: int) -> Outcome:
    if not votes.any():
        return Outcome.UNDISTURBED
    _, parts = ndimage.label(scores > threshold, structure=np.ones((3, 3)))
    return Outcome.AMBIGUOUS if parts > 1 else Outcome.LOCATED
