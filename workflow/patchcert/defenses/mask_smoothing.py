"""Mask-guided randomized smoothing: a radius within which no change inside a mask turns the answer of a smoothed classifier.

A base classifier f, an image x and a mask M make a *smoothed classifier* g: it answers the class that f gives most often when
Gaussian noise of standard deviation sigma is added to the pixels of M. What :func:`certify` says, exactly:

    With probability at least 1 - alpha over the noise that was drawn for the image, the answer is ABSTAIN, or g(x + d) is the
    given label for every change d that is zero outside M and has ||d||_2 < radius, g having the same M and sigma at x + d.

Pixel values are in [0, 1], norms are over all colour channels of all pixels in M, and x + d may leave [0, 1]. The probability
is that of each image by itself. Nothing is said about changes outside M, nor about a mask that moves when the image changes.
Norms within the mask are all that count, so that the theorem is that of Cohen et al. for x as a function of its pixels in M.

Source: Zhang et al., "Certified defense against patch attacks via mask-guided randomized smoothing", Science China Information
Sciences 65, 2022: Theorem 1, Algorithm 1, Corollary 1 with equation 10, and section 4.1 for the R-accuracy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtr, ndtri

from patchcert import InputError
from patchcert.defenses.asking import checked_truth
from patchcert.masks import Size

ABSTAIN = -1
"""In place of a label, where the noise drawn does not tell which class is the most frequent."""


class Certificates(NamedTuple):
    """What is certified of N images.

    Attributes:
        labels: the smoothed classifier's answers, int64 [N], or :data:`ABSTAIN`.
        radii: the l2 norm, pixel values in [0, 1], below which no change inside the mask turns the answer, float64 [N]; above
            0 where there is an answer, and 0 where there is none.
    """

    labels: NDArray[np.int64]
    radii: NDArray[np.float64]


class LinearSmoothing(NamedTuple):
    """The smoothed classifier of a linear one, without sampling.

    Attributes:
        labels: its answers, int64 [N]: 1 where the score is above 0, and else 0.
        probabilities: how often the base classifier gives that answer under the noise, float64 [N]: p_A of equation 9.
        radii: the norm of the smallest change inside the mask that turns the answer, float64 [N]: equation 10; infinite where
            the score does not depend on the mask's pixels.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    radii: NDArray[np.float64]


def certify(selection_counts: ArrayLike, estimation_counts: ArrayLike, sigma: float, alpha: float = 0.001) -> Certificates:
    """Answers and certified radii from how often the base classifier gave each class under noise (Algorithm 1).

    The most frequent class of the first counts is the candidate, of tied ones the smallest. The second counts, of noise drawn
    independently of the first, bound its probability from below; where the bound is above 1/2 it gives the radius. What this
    certifies is said at the head of :mod:`patchcert.defenses.mask_smoothing`.

    Args:
        selection_counts: of the n0 samples that choose the candidate, whole numbers [N, C].
        estimation_counts: of the n samples that bound its probability, whole numbers [N, C].
        sigma: standard deviation of the noise, for pixel values in [0, 1].
        alpha: probability that a certificate is allowed to be wrong; the paper has 0.001.

    Raises:
        InputError: counts of a wrong shape, type or range, an image without a sample, or sigma or alpha out of range.
    """
    selection, estimation = _counts("selection_counts", selection_counts), _counts("estimation_counts", estimation_counts)
    if selection.shape != estimation.shape:
        raise InputError(f"estimation_counts: shape {estimation.shape}; write that of selection_counts, {selection.shape}")
    candidates = selection.argmax(axis=1)
    lowest = lower_bound(estimation[np.arange(len(estimation)), candidates], estimation.sum(axis=1), alpha)
    answers = lowest > 0.5
    radii = radius(np.where(answers, lowest, 0.5), sigma)
    return Certificates(np.where(answers, candidates, ABSTAIN), radii)


def infer(counts: ArrayLike) -> NDArray[np.int64]:
    """The most frequent class of each image under noise, int64 [N], of tied ones the smallest; whole numbers [N, C].

    What the paper calls the empirical answer: nothing is certified of it.

    Raises:
        InputError: counts of a wrong shape, type or range, or an image without a sample.
    """
    return np.asarray(_counts("counts", counts).argmax(axis=1))


def lower_bound(hits: ArrayLike, samples: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """The Clopper-Pearson lower bound of a probability, float64 in the shape that hits and samples broadcast to.

    The largest p for which at least so many hits have a probability of at most alpha. The true probability is below the bound
    with a probability of at most alpha, whatever it is: LowerConfBound of Algorithm 1.

    Args:
        hits: how often it happened, whole numbers.
        samples: of how many independent samples, whole numbers from 1 up.
        alpha: between 0 and 1.

    Raises:
        InputError: alpha out of range, or hits and samples that are no such numbers.
    """
    found, total = np.broadcast_arrays(np.asarray(hits), np.asarray(samples))
    if not 0 < alpha < 1:
        raise InputError(f"alpha: {alpha!r}; write a number between 0 and 1, such as 0.001")
    if found.dtype.kind not in "iu" or total.dtype.kind not in "iu":
        raise InputError(f"hits: {found.dtype}, samples: {total.dtype}; write whole numbers")
    if ((found < 0) | (found > total) | (total < 1)).any():
        raise InputError("hits: more than samples, or fewer than none; write 0 to samples, of which there is one or more")
    bounds = betaincinv(np.maximum(found, 1), total - found + 1.0, alpha)
    return np.asarray(np.where(found > 0, bounds, 0.0), dtype=np.float64)


def radius(top: ArrayLike, sigma: float, runner_up: ArrayLike | None = None) -> NDArray[np.float64]:
    """The certified radius R, float64 in the shape that the probabilities broadcast to (Theorem 1, equation 6).

    Args:
        top: lower bounds of the answer's probability under noise.
        sigma: standard deviation of the noise.
        runner_up: upper bounds of the probability of every other class; without them 1 - top, as in Algorithm 1.

    Raises:
        InputError: sigma is not above 0, or not 0 <= runner_up <= top <= 1.
    """
    check_sigma(sigma)
    first = np.asarray(top, dtype=np.float64)
    first, second = np.broadcast_arrays(first, np.asarray(1 - first if runner_up is None else runner_up, dtype=np.float64))
    if not ((second >= 0) & (second <= first) & (first <= 1)).all():
        raise InputError("probabilities: the runner-up's is above the top's, or one is none; write 0 <= runner_up <= top <= 1")
    # where both bounds are 0 or both 1 the difference of infinities has no value, and nothing is certified
    differ = second < first
    quantiles = ndtri(np.where(differ, first, 0.5)) - ndtri(np.where(differ, second, 0.5))
    return np.asarray(sigma / 2 * quantiles, dtype=np.float64)


def linear(weights: ArrayLike, bias: ArrayLike, images: ArrayLike, masks: ArrayLike, sigma: float) -> LinearSmoothing:
    """Smooth linear classifiers of two classes exactly (Corollary 1); they answer 1 where w x + b > 0, and else 0.

    The radius does not depend on sigma, and no larger one would do: a change of the length of the radius along the weights in
    the mask brings the score to 0.

    Args:
        weights: of a value each, broadcast to the images.
        bias: [N], or one for all.
        images: [N, ...].
        masks: true where noise is added, bool broadcast to the images; [N, 1, H, W] for images [N, C, H, W].
        sigma: standard deviation of the noise.

    Raises:
        InputError: sigma is not above 0, masks that are not true or false, or shapes that do not fit.
    """
    shown, inside = np.asarray(images, dtype=np.float64), np.asarray(masks)
    if inside.dtype != np.bool_:
        raise InputError(f"masks: {inside.dtype}; write true or false for each value")
    check_sigma(sigma)
    try:
        weighed, inside = (np.broadcast_to(each, shown.shape) for each in (np.asarray(weights, dtype=np.float64), inside))
    except ValueError as error:
        raise InputError(f"weights, masks: no value for each of images {shown.shape} ({error}); write their shape") from error
    axes = tuple(range(1, shown.ndim))
    scores = (weighed * shown).sum(axis=axes) + np.asarray(bias, dtype=np.float64)
    spread = np.sqrt((np.where(inside, weighed, 0) ** 2).sum(axis=axes))
    radii = np.divide(np.abs(scores), spread, out=np.full(scores.shape, np.inf), where=spread > 0)
    return LinearSmoothing((scores > 0).astype(np.int64), np.asarray(ndtr(radii / sigma)), radii)


def answer_radii(certificates: Certificates, labels: ArrayLike, covered: ArrayLike | None = None) -> NDArray[np.float64]:
    """One number an image that is greater than R exactly if the image counts for the certified R-accuracy, float64 [N].

    That is its radius where the answer is right, and 0 where it is wrong or the mask leaves some of the patch uncovered
    (section 4.1).

    Args:
        certificates: answers and radii.
        labels: true labels, whole numbers [N].
        covered: of attacked images, whether the mask covers the patch, bool [N].

    Raises:
        InputError: labels or ``covered`` of a wrong shape or type.
    """
    right = certificates.labels == checked_truth(labels, len(certificates.labels))
    if covered is not None:
        inside = np.asarray(covered)
        if inside.shape != right.shape or inside.dtype != np.bool_:
            raise InputError(f"covered: {inside.dtype} of shape {inside.shape}; write true or false, [{len(right)}]")
        right &= inside
    return np.where(right, certificates.radii, 0.0)


def accuracy(radii: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """The certified R-accuracy at each radius R: the fraction of images that count there, float64 [T].

    Args:
        radii: as :func:`answer_radii` gives them, [N].
        thresholds: radii R from 0 up, [T], in any order.

    Raises:
        InputError: no image, or numbers that are no radii.
    """
    ordered, cuts = np.sort(_radii("radii", radii)), _radii("thresholds", thresholds)
    if not len(ordered):
        raise InputError("radii: there is no image; write one radius or more")
    return (len(ordered) - np.searchsorted(ordered, cuts, side="right")) / len(ordered)


def turning_points(*radii: ArrayLike) -> NDArray[np.float64]:
    """Every radius at which the R-accuracy of any of these changes, and 0; float64, increasing.

    The accuracy stays as it is from one of them up to the next, which is left out: an image does not count at its own radius.
    """
    return np.unique(np.concatenate([np.zeros(1), *(_radii("radii", each) for each in radii)]))


def largest_norm(patch_size: Size, channels: int = 3) -> float:
    """The largest l2 norm of what a patch can change, pixel values in [0, 1]: from all black to all white.

    A radius above it means every content that a patch of this size may show at that place.
    """
    return math.sqrt(channels * patch_size[0] * patch_size[1])


def check_sigma(sigma: float) -> None:
    """Refuse a standard deviation that is none.

    Raises:
        InputError: it is not above 0.
    """
    if not 0 < sigma < math.inf:
        raise InputError(f"sigma: {sigma!r}; write a number above 0, for pixel values in [0, 1], such as 7")


def _counts(name: str, counts: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(counts)
    if found.ndim != 2 or found.shape[1] < 2 or found.dtype.kind not in "iu":
        raise InputError(
            f"{name}: {found.dtype} of shape {found.shape}; write whole numbers, [images, classes], for two classes or more"
        )
    if (found < 0).any():
        raise InputError(f"{name}: {found.min()}; write how often each class was given, from 0 up")
    if not (found > 0).any(axis=1).all():
        raise InputError(f"{name}: image {int((found > 0).any(axis=1).argmin())} has no sample; draw one or more")
    return found.astype(np.int64, copy=False)


def _radii(name: str, radii: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(radii, dtype=np.float64)
    if found.ndim != 1 or not (found >= 0).all():
        raise InputError(f"{name}: not a list of radii; write numbers from 0 up")
    return found
