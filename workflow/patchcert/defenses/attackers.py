"""An attacker of multi-label answers who puts the patch of each image at one place: false negatives and false positives there.

The worst case of :func:`patchcert.defenses.multilabel.certify_located` takes the two at different places, which no patch can.
Here the metric of the whole data set is as small as one place an image can make it, exactly. Not in the paper.

At a place, every class that can fail there does: a true positive more raises precision, recall and F1 or leaves them, and a
false positive or false negative more lowers them or leaves them, so that an attacker gains nothing by sparing one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.curves import checked_labels, checked_threshold
from patchcert.defenses.multilabel import Bounds, histograms

Metric = Literal["precision", "recall", "f1"]
"""A ratio of counts that are summed over all images and classes."""


@dataclass(frozen=True, eq=False)
class Attainable:
    """What one place can do to each image: pairs (FN, FP) of which none is at most another one in both.

    Attributes:
        pairs: false negatives and false positives, whole numbers [Q, 2], image after image; by falling FN and rising FP.
        starts: where the pairs of each image begin, and the number of pairs, int64 [N + 1].
    """

    pairs: NDArray[np.integer]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.starts) - 1

    def __getitem__(self, image: int) -> NDArray[np.integer]:
        """The pairs of one image, [Q, 2]."""
        return self.pairs[self.starts[image] : self.starts[image + 1]]


class WorstMetric(NamedTuple):
    """The smallest value of a metric, and what the attacker does for it.

    Attributes:
        value: a fraction; NaN if the metric is 0/0 whatever the attacker does, and for a precision also if the attacker can
            silence every answer and cause no false positive anywhere: then precision is 1 wherever it is anything.
        pairs: FN and FP of each image, int64 [N, 2].
    """

    value: float
    pairs: NDArray[np.int64]


class WorstRecall(NamedTuple):
    """The smallest class-averaged recall, NaN where no class occurs, and the place of each image, int64 [N]."""

    value: float
    places: NDArray[np.int64]


def attainable(extrema: Bounds, labels: ArrayLike, threshold: float) -> Attainable:
    """The pairs (FN, FP) that an attacker chooses among in each image; arguments and errors as for ``certify``."""
    return nondominated(*histograms(extrema, labels, threshold))


def nondominated(fn: NDArray[np.int64], fp: NDArray[np.int64]) -> Attainable:
    """Of the pairs that the places of each image allow, [N, P] each, those that no other exceeds in one and reaches in both."""
    base = int(fp.max(initial=0)) + 1
    keys = np.sort(fn * base + fp, axis=1)[:, ::-1]
    best = np.maximum.accumulate(keys % base, axis=1)
    kept = np.ones(keys.shape, dtype=np.bool_)
    kept[:, 1:] = best[:, 1:] > best[:, :-1]
    starts = np.append(0, kept.sum(axis=1).cumsum())
    return Attainable(np.stack(np.divmod(keys[kept], base), axis=1), starts)


def worst_metric(extrema: Bounds, labels: ArrayLike, threshold: float, metric: Metric) -> WorstMetric:
    """The smallest precision, recall or F1 of the data set that an attacker with one place an image can bring about.

    Args:
        extrema: row extrema, or bounds at other places.
        labels: 0 or 1, [N, C].
        threshold: number from 0 to 1.
        metric: "precision", "recall" or "f1", of the counts summed over images and classes.

    Raises:
        InputError: a wrong shape, type or range, or an unknown metric.
    """
    truth = checked_labels(labels, len(extrema), extrema.lowest.shape[2])
    return smallest(attainable(extrema, truth, threshold), truth.sum(axis=1), metric)


def smallest(choices: Attainable, positives: NDArray[np.int64], metric: Metric) -> WorstMetric:
    """Choose a pair (FN, FP) in each image so that the metric of the sums is smallest.

    Dinkelbach's iteration: of sums N and D over chosen pairs, N/D = r is smallest iff the least sum of N - r D, which each
    image contributes to by itself, is 0; if it is less, the pairs that make it have a smaller ratio. The ratio falls with every
    step and there are finitely many, so it ends; whole numbers throughout make it exact. Choices with D = 0, hence N = 0, count
    only if there are no others.

    Args:
        choices: the pairs of each image.
        positives: number of classes that each image has, int64 [N].
        metric: "precision", "recall" or "f1".

    Raises:
        InputError: an unknown metric.
    """
    if metric not in get_args(Metric):
        raise InputError(f"metric: {metric!r}; write one of {', '.join(get_args(Metric))}")
    fn, fp = choices.pairs.astype(np.int64).T
    image = np.repeat(np.arange(len(choices)), np.diff(choices.starts))
    found = positives[image] - fn
    if metric == "precision":
        part, whole = found, found + fp
    elif metric == "recall":
        part, whole = found, positives[image]
    else:
        part, whole = 2 * found, 2 * found + fp + fn
    chosen = _argmin(-whole, choices.starts, image)
    while divisor := int(whole[chosen].sum()):
        cost = part * divisor - whole * int(part[chosen].sum())
        better = _argmin(cost, choices.starts, image)
        if cost[better].sum() == 0:
            return WorstMetric(int(part[chosen].sum()) / divisor, np.stack([fn[chosen], fp[chosen]], axis=1))
        chosen = better
    return WorstMetric(float("nan"), np.stack([fn[chosen], fp[chosen]], axis=1))


def worst_class_recall(extrema: Bounds, labels: ArrayLike, threshold: float) -> WorstRecall:
    """The smallest class-averaged recall that an attacker with one place an image can bring about.

    The average is over classes that occur. Each positive weighs 1 / (positives of its class x number of such classes), and
    recall is 1 less the weight of those that fail. This is a sum over images, so that in each the place with the heaviest
    weighted histogram is the worst.

    Args:
        extrema: row extrema, or bounds at other places.
        labels: 0 or 1, [N, C]; all images of the data set.
        threshold: number from 0 to 1.

    Raises:
        InputError: a wrong shape, type or range.
    """
    truth = checked_labels(labels, len(extrema), extrema.lowest.shape[2])
    cut, weights = checked_threshold(threshold), class_weights(truth)
    image, name = np.nonzero(truth)
    lost = np.zeros(extrema.lowest.shape[:2])
    np.add.at(lost, image, np.where(extrema.lowest[image, :, name] <= cut, weights[name][:, None], 0))
    return WorstRecall(remaining_recall(lost.max(axis=1), weights), lost.argmax(axis=1))


def class_weights(labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What one positive of each class weighs in the class-averaged recall of labels [N, C], float64 [C]; 0 if there is none."""
    positives = labels.sum(axis=0)
    weights = np.divide(1, positives * (positives > 0).sum(), out=np.zeros(len(positives)), where=positives > 0)
    return np.asarray(weights)


def remaining_recall(lost: Sequence[float] | NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Recall that is left of 1 when images lose these weights; NaN if no class has a weight."""
    return max(1 - math.fsum(lost), 0.0) if weights.any() else float("nan")


def _argmin(values: NDArray[np.int64], starts: NDArray[np.int64], image: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the first of the smallest values of each image, int64 [N]; every image has one."""
    if not len(image):
        return np.zeros(0, dtype=np.int64)
    at = np.flatnonzero(values == np.minimum.reduceat(values, starts[:-1])[image])
    return at[np.unique(image[at], return_index=True)[1]]
