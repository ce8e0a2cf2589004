"""Everything of Multi-Label PatchCleanser at every threshold, in one pass over extrema that need not fit into memory.

What is a rank of scores is exact at every threshold: the defended answers, the certificates, and the located worst case. What
hangs on which place is chosen, the attackers who pursue one thing and the one with a single place for both, is given at the
thresholds of a grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.curves import Counts, checked_labels, checked_thresholds
from patchcert.defenses.attackers import Attainable, class_weights, nondominated, remaining_recall, smallest
from patchcert.defenses.multilabel import (
    Bounds,
    Extrema,
    certified_scores,
    damage,
    defended_scores,
    located_scores,
)
from patchcert.defenses.places import at_places

GRID = np.arange(100) / 100
"""The thresholds of the paper: 0.00 to 0.99 in steps of 0.01."""

BLOCK = 256
"""Images that are worked on at a time."""


class Sweep(NamedTuple):
    """Answer scores, exact at every threshold by :mod:`patchcert.curves`, and what attackers do at the thresholds of a grid.

    Attributes:
        defended: answer scores of the defended classifier without an attack, float32 [N, C].
        certified: those of the certificate of each class by itself, float32 [N, C].
        located: those of the located worst case, float32 [N, C]; for totals only.
        fn_attacker: totals of the attacker who is after false negatives, int64 [T].
        fp_attacker: totals of the attacker who is after false positives, int64 [T].
        precision: smallest that one place an image can make it, float64 [T], NaN for 0/0; so are the three that follow.
        recall: smallest recall of the sums.
        f1: smallest F1 of the sums.
        class_recall: smallest recall averaged over the classes that occur.
    """

    defended: NDArray[np.float32]
    certified: NDArray[np.float32]
    located: NDArray[np.float32]
    fn_attacker: Counts
    fp_attacker: Counts
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    class_recall: NDArray[np.float64]


def blocks(extrema: Extrema, labels: ArrayLike, size: int = BLOCK) -> Iterator[tuple[Extrema, NDArray[np.bool_]]]:
    """Extrema and labels [n, C] of at most ``size`` images at a time, in order; nothing is copied, so arrays may be mapped
    files.

    Raises:
        InputError: labels of a wrong shape, or other than 0 and 1, or a size below 1.
    """
    truth = checked_labels(labels, len(extrema), extrema.lowest.shape[2])
    if size < 1:
        raise InputError(f"size: {size}; write the number of images in a block, from 1 up")
    for begin in range(0, len(extrema), size):
        yield extrema[begin : begin + size], truth[begin : begin + size]


def sweep(
    extrema: Extrema,
    labels: ArrayLike,
    thresholds: ArrayLike = GRID,
    *,
    covering_sets: ArrayLike | None = None,
    numerical_margin: float = 0.0,
    size: int = BLOCK,
) -> Sweep:
    """Reduce extrema to answer scores, and run the attackers at each threshold of a grid, block by block.

    Args:
        extrema: row extrema of all images; the arrays may be memory-mapped.
        labels: 0 or 1, [N, C].
        thresholds: numbers from 0 to 1, increasing, [T].
        covering_sets: bool [P, K], to certify and attack at places (:func:`patchcert.defenses.places.places`) instead of masks.
        numerical_margin: by how much a score may differ on other hardware or in another batch, from 0 up; certificates count on
            no more, and the defended answers are those without it.
        size: images a block.

    Raises:
        InputError: a wrong shape, type or range, or thresholds that do not increase.
    """
    truth = checked_labels(labels, len(extrema), extrema.lowest.shape[2])
    cuts = checked_thresholds(thresholds)
    if (np.diff(cuts) <= 0).any():
        raise InputError(f"thresholds: {thresholds!r} do not increase as float32; write increasing ones, each once")
    weights, positives = class_weights(truth), truth.sum(axis=1)
    scores = np.empty((3, *truth.shape), dtype=np.float32)
    totals = np.zeros((2, 2, len(cuts)), dtype=np.int64)
    lost = np.empty((len(truth), len(cuts)))
    fronts: list[list[Attainable]] = [[] for _ in cuts]
    begin = 0
    for block, present in blocks(extrema, truth, size):
        images = slice(begin, begin := begin + len(block))
        bounds = (block if covering_sets is None else at_places(block, covering_sets)).widened(numerical_margin)
        scores[:, images] = defended_scores(block), certified_scores(bounds, present), located_scores(bounds, present)
        fn, fp, heaviest = _histograms(bounds, present, cuts, weights)
        lost[images] = heaviest
        totals[0] += np.sum(damage(fn, fp, "fn"), axis=1)
        totals[1] += np.sum(damage(fn, fp, "fp"), axis=1)
        for front, found in zip(fronts, _fronts(fn, fp), strict=True):
            front.append(found)
    after_fn, after_fp = (Counts(positives.sum() - fn, (~truth).sum() - fp, fn, fp) for fn, fp in totals)
    joint = [_joined(front) for front in fronts]
    defended, certified, located = scores
    return Sweep(
        defended,
        certified,
        located,
        fn_attacker=after_fn,
        fp_attacker=after_fp,
        precision=np.array([smallest(choices, positives, "precision").value for choices in joint]),
        recall=np.array([smallest(choices, positives, "recall").value for choices in joint]),
        f1=np.array([smallest(choices, positives, "f1").value for choices in joint]),
        class_recall=np.array([remaining_recall(each, weights) for each in lost.T]),
    )


def _histograms(
    bounds: Bounds, labels: NDArray[np.bool_], cuts: NDArray[np.float32], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """FN and FP histograms at every threshold, [n, P, T], and the largest weight that one place takes from the recall, [n, T].

    A score is at most a threshold from its turn on: the first of the increasing thresholds that is not below it.
    """
    images, places, _ = bounds.lowest.shape
    turns = len(cuts) + 1  # the last for scores above all thresholds
    cell = np.arange(0, images * places * turns, turns).reshape(images, places)
    image, name = np.nonzero(labels)
    low = (cell[image] + np.searchsorted(cuts, bounds.lowest[image, :, name])).ravel()
    fn = np.bincount(low, minlength=cell.size * turns)
    weight = np.bincount(low, np.repeat(weights[name], places), minlength=cell.size * turns)
    never = np.where(labels[:, None], np.float32(np.inf), bounds.highest)
    high = (cell[:, :, None] + np.searchsorted(cuts, never)).ravel()
    kept = np.bincount(high, minlength=cell.size * turns)
    fn, weight, kept = (each.reshape(images, places, turns)[:, :, :-1].cumsum(axis=2) for each in (fn, weight, kept))
    return fn, (~labels).sum(axis=1)[:, None, None] - kept, weight.max(axis=1)


def _fronts(fn: NDArray[np.int64], fp: NDArray[np.int64]) -> list[Attainable]:
    """The attainable pairs of some images at each threshold, from histograms [n, P, T]."""
    images, places, cuts = fn.shape
    found = nondominated(*(np.moveaxis(each, 2, 0).reshape(cuts * images, places) for each in (fn, fp)))
    starts = found.starts
    return [
        Attainable(found.pairs[begin:end].astype(np.int32), starts[number * images : (number + 1) * images + 1] - begin)
        for number, (begin, end) in enumerate(pairwise(starts[::images]))
    ]


def _joined(fronts: list[Attainable]) -> Attainable:
    """The fronts of one block after the other as one."""
    counts = [np.zeros(1, np.int64), *(np.diff(front.starts) for front in fronts)]
    pairs = [np.zeros((0, 2), np.int32), *(front.pairs for front in fronts)]
    return Attainable(np.concatenate(pairs), np.concatenate(counts).cumsum())
