"""Multi-Label PatchCleanser: double masking of each class by itself, its certificate, and the histograms over masks.

A classifier scores every class of an image; the answer is positive for a class if its score is greater than the threshold, both
as float32. Everything here is computed from the *row extrema* of the scores under two masks, at any threshold, and nothing is
lost: mask k fails a class under some second mask exactly if its lowest score is at most the threshold (label 1) or its highest
one is greater (label 0), since one score of a row is at most t iff the smallest is, and one is greater iff the largest is.

Source: Jacob, Xiang and Mittal, "Towards a Certifiably Robust Defense for Multi-label Classifiers Against Adversarial Patches".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchcert import InputError
from patchcert.curves import Counts, checked_labels, checked_threshold

Attacker = Literal["worst_case", "fn", "fp"]
"""What an attacker with one place an image is after: both kinds of error, each at its own worst place; or one of them."""

CHECKED_IMAGES = 256
"""Images that are checked at a time: extrema may be memory-mapped and larger than the memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bounds:
    """Within which bounds the defended score of each class stays, whatever the patch shows, for each place where it may be.

    A place is a mask that hides the patch, or a set of such masks (:func:`patchcert.defenses.places.at_places`).

    Attributes:
        lowest: lower bound, float32 [N, P, C]; images, places, classes.
        highest: upper bound, float32 [N, P, C].

    Raises:
        InputError: a wrong shape or type, NaN, or bounds that no scores have.
    """

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Take the arrays as float32, which copies none that is, and check them."""
        for each in fields(self):
            object.__setattr__(self, each.name, _scores(each.name, getattr(self, each.name)))
            if getattr(self, each.name).shape != self.lowest.shape:
                raise InputError(
                    f"{each.name}: shape {getattr(self, each.name).shape}; write that of lowest, {self.lowest.shape}"
                )
        for begin in range(0, len(self), CHECKED_IMAGES):
            fault = ~self._sound(slice(begin, begin + CHECKED_IMAGES))
            if fault.any():
                image, name = begin + int(np.argwhere(fault)[0, 0]), int(np.argwhere(fault)[0, 1])
                if any(np.isnan(getattr(self, each.name)[image]).any() for each in fields(self)):
                    raise InputError(f"scores: image {image}, class {name}: NaN; write a number for every mask")
                raise InputError(
                    f"extrema: image {image}, class {name}: no scores have these; write the smallest, largest and "
                    "diagonal scores of the rows of one symmetric matrix"
                )

    def __len__(self) -> int:
        """Number of images N."""
        return len(self.lowest)

    def __getitem__(self, images: slice) -> Self:
        """The same of some images; no array is copied."""
        return type(self)(**{each.name: getattr(self, each.name)[images] for each in fields(self)})

    def widened(self, margin: float) -> Bounds:
        """Bounds that are looser by a margin, for scores that another device may round otherwise."""
        return Bounds(lowest=self.lowest - np.float32(margin), highest=self.highest + np.float32(margin)) if margin else self

    def _sound(self, images: slice) -> NDArray[np.bool_]:
        """Whether scores can have these extrema, bool [images, C]; any two rows share a score: no lowest exceeds a highest."""
        return np.asarray(self.lowest[images].max(axis=1) <= self.highest[images].min(axis=1))


@dataclass(frozen=True, eq=False, kw_only=True)
class Extrema(Bounds):
    """For each first mask the score with that mask alone, and the lowest and highest with any second mask, itself included.

    The places are the masks: with a patch under mask k, every image that has mask k on it is as it would be without the patch.

    Attributes:
        single: score under one mask, float32 [N, K, C].
        lowest: lowest score over second masks, float32 [N, K, C].
        highest: highest score over second masks, float32 [N, K, C].

    Raises:
        InputError: a wrong shape or type, NaN, or extrema that no scores have.
    """

    single: NDArray[np.float32]

    @classmethod
    def from_pairs(cls, scores: ArrayLike) -> Extrema:
        """The row extrema of scores under every two masks.

        Args:
            scores: floating-point, [N, K, K, C], the same for masks (i, j) and (j, i), with one mask on the diagonal.

        Raises:
            InputError: a wrong shape or type, NaN, or scores that depend on the order of the masks.
        """
        pairs = np.asarray(scores)
        if pairs.ndim != 4 or pairs.shape[1] != pairs.shape[2] or 0 in pairs.shape[1:]:
            raise InputError(f"scores: shape {pairs.shape}; write [images, masks, masks, classes]")
        if pairs.dtype.kind != "f":
            raise InputError(f"scores: {pairs.dtype}; write floating-point scores, such as sigmoids")
        if np.isnan(pairs).any():
            raise InputError(f"scores: image {np.argwhere(np.isnan(pairs))[0, 0]} has a score that is NaN; write numbers")
        if not np.array_equal(pairs, pairs.transpose(0, 2, 1, 3)):
            raise InputError("scores: not symmetric; masks i and j give one image, so [n, i, j] must equal [n, j, i]")
        single = pairs.diagonal(axis1=1, axis2=2).transpose(0, 2, 1)
        return cls(single=single, lowest=pairs.min(axis=2), highest=pairs.max(axis=2))

    def _sound(self, images: slice) -> NDArray[np.bool_]:
        single, lowest, highest = self.single[images], self.lowest[images], self.highest[images]
        return super()._sound(images) & ((lowest <= single) & (single <= highest)).all(axis=1)


def infer(extrema: Extrema, threshold: float) -> NDArray[np.bool_]:
    """Which classes the defended classifier finds, bool [N, C] (Algorithms 1 and 3); a tied majority is absent.

    Raises:
        InputError: the threshold is no number from 0 to 1.
    """
    return defended_scores(extrema) > checked_threshold(threshold)


def defended_scores(extrema: Extrema) -> NDArray[np.float32]:
    """The answer scores of the defended classifier, float32 [N, C]: Algorithm 1 answers "present" exactly where they exceed t.

    With L the largest of the lowest scores of the masks, H the smallest of the highest ones, and M the lower median of the
    one-mask scores: L <= H, as two rows share a score, and the answer score is M, or the nearer of L and H where M is outside.
    The majority is "present" iff t < M. Then a disagreer is unanimous iff some highest score is at most t, so the answer is
    "present" iff t < H; else a disagreer is unanimous iff some lowest score is greater, so it is "present" iff t < L.
    """
    middle = (extrema.single.shape[1] - 1) // 2
    median = np.partition(extrema.single, middle, axis=1)[:, middle]
    return np.clip(median, extrema.lowest.max(axis=1), extrema.highest.min(axis=1))


def certify(extrema: Bounds, labels: ArrayLike, threshold: float) -> Counts:
    """What is certified of each class by itself, as counts of 0 or 1, int64 [N, C] (Algorithms 2 and 4).

    A class is certified if no pair of masks changes its answer from the label: then it is a true positive or a true negative,
    whatever the patch; else it is taken as a false negative or a false positive. The guarantee needs a mask set that covers the
    patch (:meth:`patchcert.masks.MaskSet.covers`).

    Args:
        extrema: row extrema, or bounds at other places.
        labels: 0 or 1, [N, C].
        threshold: number from 0 to 1.

    Raises:
        InputError: a wrong shape, type or range.
    """
    truth = _truth(extrema, labels)
    answer = certified_scores(extrema, truth) > checked_threshold(threshold)
    right, wrong = answer == truth, answer != truth
    return Counts(*((found & kind).astype(np.int64) for found in (right, wrong) for kind in (truth, ~truth)))


def certified_scores(extrema: Bounds, labels: ArrayLike) -> NDArray[np.float32]:
    """The answer scores of the worst case of each class, float32 [N, C]; they give the counts of :func:`certify` at any
    threshold.

    Raises:
        InputError: labels of a wrong shape, or other than 0 and 1.
    """
    return np.asarray(np.where(_truth(extrema, labels), extrema.lowest.min(axis=1), extrema.highest.max(axis=1)))


def histograms(extrema: Bounds, labels: ArrayLike, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many classes each place can turn into false negatives, and how many into false positives, int64 [N, P].

    These are the certification histograms (Definition 3), summed over the classes that the image has, and over those that it
    does not have. Arguments and errors are those of :func:`certify`.
    """
    present = _truth(extrema, labels)[:, None]
    cut = checked_threshold(threshold)
    return ((extrema.lowest <= cut) & present).sum(axis=2), ((extrema.highest > cut) & ~present).sum(axis=2)


def certify_located(extrema: Bounds, labels: ArrayLike, threshold: float, attacker: Attacker) -> Counts:
    """Counts of each image that hold wherever the patch is, since it is at one place only, int64 [N] (Algorithm 5).

    Args:
        extrema: row extrema, or bounds at other places.
        labels: 0 or 1, [N, C].
        threshold: number from 0 to 1.
        attacker: "worst_case", the largest false negatives and the largest false positives of any place, each by itself; "fn",
            an attacker who goes where the false negatives are most, and among such places where the false positives are; "fp",
            its mirror image. Where the most is none, any place will do.

    Raises:
        InputError: a wrong shape, type or range, or an unknown attacker.
    """
    truth = _truth(extrema, labels)
    fn, fp = damage(*histograms(extrema, truth, threshold), attacker)
    positives = truth.sum(axis=1)
    return Counts(positives - fn, truth.shape[1] - positives - fp, fn, fp)


def damage(fn: NDArray[np.int64], fp: NDArray[np.int64], attacker: Attacker) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What an attacker does of the false negatives and false positives that each place allows, [N, P, ...], as two [N, ...].

    Raises:
        InputError: an unknown attacker.
    """
    if attacker not in get_args(Attacker):
        raise InputError(f"attacker: {attacker!r}; write one of {', '.join(get_args(Attacker))}")
    if attacker == "worst_case":
        return fn.max(axis=1), fp.max(axis=1)
    if attacker == "fp":
        fp, fn = damage(fp, fn, "fn")
        return fn, fp
    most = fn.max(axis=1)
    return most, np.where(fn == most[:, None], fp, 0).max(axis=1)


def located_scores(extrema: Bounds, labels: ArrayLike) -> NDArray[np.float32]:
    """Answer scores with the totals of the located worst case, float32 [N, C]: those of Algorithm 5 at any threshold.

    An image has r or more false negatives at a place iff the r-th smallest of the lowest scores of its positives there is at
    most t, and so at some place iff the smallest of these over all places is: that is the score of its r-th positive. Likewise
    the largest, over all places, of the r-th largest of the highest scores is that of a negative. Which of the positives has
    which score means nothing: no counts of single classes follow, as the worst place for one class need not be that for
    another.

    Raises:
        InputError: labels of a wrong shape, or other than 0 and 1.
    """
    truth = _truth(extrema, labels)
    present = truth[:, None]
    falling = np.sort(np.where(present, extrema.lowest, np.float32(np.inf)), axis=2).min(axis=1)
    rising = np.sort(np.where(present, np.float32(-np.inf), extrema.highest), axis=2).max(axis=1)
    found = np.empty(truth.shape, dtype=np.float32)
    positives_first = np.argsort(~truth, axis=1, kind="stable")
    is_positive = np.arange(truth.shape[1]) < truth.sum(axis=1, keepdims=True)
    np.put_along_axis(found, positives_first, np.where(is_positive, falling, rising), axis=1)
    return found


def _truth(extrema: Bounds, labels: ArrayLike) -> NDArray[np.bool_]:
    return checked_labels(labels, len(extrema), extrema.lowest.shape[2])


def _scores(name: str, values: ArrayLike) -> NDArray[np.float32]:
    scores = np.asarray(values)
    if scores.ndim != 3 or 0 in scores.shape[1:]:
        raise InputError(f"{name}: shape {scores.shape}; write [images, masks, classes]")
    if scores.dtype.kind != "f":
        raise InputError(f"{name}: {scores.dtype}; write floating-point scores, such as sigmoids")
    return scores.astype(np.float32, copy=False)
