"""Precision and recall of multi-label answers, exact at every threshold, and what they amount to over all of them.

Everything starts from *answer scores*: one number an image and class, such that the answer is positive at a threshold exactly
if the number is greater. The scores of an undefended classifier are such numbers; :mod:`patchcert.defenses.multilabel` finds
them for the defended classifier and for its certificates. So each count is a rank among scores. Scores and thresholds are
compared as float32, so that a score equal to the threshold is negative everywhere. Ratios are fractions, and 0/0 is NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError


class Counts(NamedTuple):
    """True positives, true negatives, false negatives and false positives; int64, all four of one shape."""

    tp: NDArray[np.int64]
    tn: NDArray[np.int64]
    fn: NDArray[np.int64]
    fp: NDArray[np.int64]


def totals(scores: ArrayLike, labels: ArrayLike, thresholds: ArrayLike) -> Counts:
    """Counts over all images and classes at each threshold, int64 [T].

    Args:
        scores: answer scores, [N, C].
        labels: 0 or 1, [N, C].
        thresholds: numbers from 0 to 1, [T], in any order.

    Raises:
        InputError: a wrong shape, type or range.
    """
    found, truth = _checked(scores, labels)
    cuts = checked_thresholds(thresholds)
    return _counts(_above(found[truth], cuts), _above(found[~truth], cuts), truth)


def class_totals(scores: ArrayLike, labels: ArrayLike, thresholds: ArrayLike) -> Counts:
    """Counts over all images of each class at each threshold, int64 [T, C]; arguments and errors as for :func:`totals`."""
    found, truth = _checked(scores, labels)
    cuts = checked_thresholds(thresholds)
    right = [_above(column[label], cuts) for column, label in zip(found.T, truth.T, strict=True)]
    wrong = [_above(column[~label], cuts) for column, label in zip(found.T, truth.T, strict=True)]
    return _counts(np.stack(right, axis=1), np.stack(wrong, axis=1), truth, axis=0)


def turning_points(*scores: ArrayLike) -> NDArray[np.float32]:
    """Every threshold from 0 to 1 at which a count of any of these answer scores changes, and 0; float32, increasing.

    Counts stay as they are from one of them up to the next, which is left out: a count changes where the threshold reaches a
    score.
    """
    values = np.unique(np.concatenate([np.zeros(1, np.float32), *(np.ravel(np.asarray(each, np.float32)) for each in scores)]))
    return values[(values >= 0) & (values <= 1)]


def precision(counts: Counts) -> NDArray[np.float64]:
    """TP / (TP + FP), in the shape of the counts; NaN where nothing is answered."""
    return _ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: Counts) -> NDArray[np.float64]:
    """TP / (TP + FN), in the shape of the counts; NaN where there is nothing to find."""
    return _ratio(counts.tp, counts.tp + counts.fn)


def f1(counts: Counts) -> NDArray[np.float64]:
    """2 TP / (2 TP + FP + FN), in the shape of the counts; NaN where there is nothing to find and nothing is answered."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


class ClassAverage(NamedTuple):
    """A ratio averaged over classes, and what was left out.

    Attributes:
        value: the average, float64 [...]; NaN where no class has a ratio.
        absent: number of classes that no image has.
        undefined: number of other classes whose ratio is 0/0, int64 [...].
    """

    value: NDArray[np.float64]
    absent: int
    undefined: NDArray[np.int64]


def class_average(ratios: ArrayLike, occurs: ArrayLike, *, published: bool = False) -> ClassAverage:
    """Average a precision or recall over classes.

    Classes that no image has are left out, and so is a class whose ratio is 0/0; both are counted.

    Args:
        ratios: one a class, [..., C], NaN for 0/0.
        occurs: whether any image has the class, bool [C].
        published: average in the way of common evaluation code for multi-label classifiers, for comparison: over all classes,
            0/0 taken as 0. Absent and undefined classes are counted all the same.

    Raises:
        InputError: the two do not have the same classes.
    """
    values, present = np.asarray(ratios, dtype=np.float64), np.asarray(occurs)
    if present.ndim != 1 or present.dtype != np.bool_ or values.shape[-1:] != present.shape:
        raise InputError(
            f"occurs: {present.dtype} of shape {present.shape}; write one true or false for each class of ratios {values.shape}"
        )
    known = ~np.isnan(values) & present
    summed = np.where(known, values, 0).sum(axis=-1)
    averaged = np.full(known.shape[:-1], present.size) if published else known.sum(axis=-1)
    undefined = (np.isnan(values) & present).sum(axis=-1)
    return ClassAverage(_ratio(summed, averaged), int((~present).sum()), undefined)


def area_under_curve(recall: ArrayLike, precision: ArrayLike, lowest_recall: float = 0.0, *, extend: bool = True) -> float:
    """Area under a precision-recall curve as a fraction of the ideal one's, whose precision is 1 everywhere.

    Trapezoids between neighbouring points, over recall from ``lowest_recall`` to 1. Points are ordered by recall, those of one
    recall by falling precision, the order of falling thresholds wherever recall rises with that; a point without
    precision, 0/0, is left out. Source: with ``lowest_recall=0`` Table II of the Multi-Label PatchCleanser paper, with
    ``lowest_recall=0.25`` the average precision of its successor, PatchDEMUX, normalised over recall from 25 to 100 %. How they
    treat the ends is not said; here:

    * *Above the largest recall* that a point has, the area is nothing: no threshold reaches such a recall.
    * *Below the smallest recall*, precision stays at what it is there: to withhold positive answers at random lowers the recall
      and keeps the precision. ``extend=False`` counts nothing instead.
    * *At* ``lowest_recall`` the curve is cut; precision there is interpolated.

    Args:
        recall: of each point, from 0 to 1 or NaN, [T], in any order.
        precision: of each point, from 0 to 1 or NaN, [T].
        lowest_recall: where the range of recall begins, from 0 up and less than 1.
        extend: whether the curve reaches below its smallest recall.

    Returns:
        A fraction from 0 to 1; NaN where no point has both a recall and a precision.

    Raises:
        InputError: a wrong shape or range.
    """
    across, up = np.asarray(recall, dtype=np.float64), np.asarray(precision, dtype=np.float64)
    if across.ndim != 1 or across.shape != up.shape:
        raise InputError(f"recall: shape {across.shape}, precision: shape {up.shape}; write one of each for every threshold")
    if not 0 <= lowest_recall < 1:
        raise InputError(f"lowest_recall: {lowest_recall!r}; write a fraction from 0 up and less than 1, such as 0.25")
    for name, values in (("recall", across), ("precision", up)):
        if ((values < 0) | (values > 1)).any():
            raise InputError(f"{name}: from {np.nanmin(values)} to {np.nanmax(values)}; write fractions from 0 to 1")
    known = ~np.isnan(across) & ~np.isnan(up)
    if not known.any():
        return float("nan")
    order = np.lexsort((-up[known], across[known]))
    across, up = across[known][order], up[known][order]
    if across[-1] < lowest_recall:
        return 0.0
    if extend:
        across, up = np.append(min(lowest_recall, across[0]), across), np.append(up[0], up)
    begin = int(np.searchsorted(across, lowest_recall))
    if begin and across[begin] > lowest_recall:
        share = (lowest_recall - across[begin - 1]) / (across[begin] - across[begin - 1])
        begin -= 1
        across[begin], up[begin] = lowest_recall, up[begin] + share * (up[begin + 1] - up[begin])
    return float(np.trapezoid(up[begin:], across[begin:]) / (1 - lowest_recall))


def checked_labels(labels: ArrayLike, images: int, classes: int) -> NDArray[np.bool_]:
    """Which classes each image has, bool [images, classes].

    Raises:
        InputError: another shape, or values other than 0 and 1.
    """
    truth = np.asarray(labels)
    if truth.shape != (images, classes):
        raise InputError(f"labels: shape {truth.shape}; write 0 or 1 for each image and class, [{images}, {classes}]")
    if truth.dtype.kind not in "biu" or not ((truth == 0) | (truth == 1)).all():
        raise InputError(f"labels: {truth.dtype}, not all 0 or 1; write 1 where the image has the class and 0 elsewhere")
    return truth.astype(np.bool_, copy=False)


def checked_threshold(threshold: float) -> np.float32:
    """A threshold as it is compared with scores.

    Raises:
        InputError: no number from 0 to 1.
    """
    value = np.asarray(threshold)
    if value.ndim or value.dtype.kind not in "iuf" or not 0 <= value <= 1:
        raise InputError(f"threshold: {threshold!r}; write a number from 0 to 1, such as 0.8")
    return np.float32(value)


def checked_thresholds(thresholds: ArrayLike) -> NDArray[np.float32]:
    """Thresholds as they are compared with scores, float32 [T].

    Raises:
        InputError: not a list of numbers from 0 to 1.
    """
    values = np.asarray(thresholds)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"thresholds: {thresholds!r}; write a list of numbers from 0 to 1, such as [0.5, 0.8]")
    return values.astype(np.float32)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    found = np.asarray(scores)
    if found.ndim != 2 or found.dtype.kind != "f":
        raise InputError(f"scores: {found.dtype} of shape {found.shape}; write floating-point scores, [images, classes]")
    if np.isnan(found).any():
        raise InputError(f"scores: image {np.argwhere(np.isnan(found))[0, 0]} has a score that is NaN; write numbers")
    return found.astype(np.float32, copy=False), checked_labels(labels, *found.shape)


def _above(values: NDArray[np.float32], cuts: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(len(values) - np.searchsorted(np.sort(values), cuts, side="right"), dtype=np.int64)


def _counts(tp: NDArray[np.int64], fp: NDArray[np.int64], labels: NDArray[np.bool_], axis: int | None = None) -> Counts:
    return Counts(tp, (~labels).sum(axis=axis) - fp, labels.sum(axis=axis) - tp, fp)


def _ratio(part: NDArray[np.int64] | NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0))
