"""Certificates of mask smoothing: the bound by its definition, radii by hand, and what they promise of linear classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from patchcert import InputError
from patchcert.defenses.mask_smoothing import (
    ABSTAIN,
    Certificates,
    accuracy,
    answer_radii,
    certify,
    infer,
    largest_norm,
    linear,
    lower_bound,
    radius,
    turning_points,
)

# --- the bound ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("samples", [1, 2, 10, 1000, 100_000])
def test_at_the_bound_so_many_hits_have_the_probability_alpha(samples: int, alpha: float) -> None:
    hits = np.unique(np.linspace(1, samples, 20).astype(int))
    bounds = lower_bound(hits, samples, alpha)
    np.testing.assert_allclose(binom.sf(hits - 1, samples, bounds), alpha, rtol=1e-6)
    assert lower_bound(0, samples, alpha) == 0
    np.testing.assert_allclose(lower_bound(samples, samples, alpha), alpha ** (1 / samples), rtol=1e-12)


@pytest.mark.parametrize("samples", [1, 5, 40, 300])
@pytest.mark.parametrize("alpha", [0.001, 0.1])
def test_the_bound_is_too_high_with_a_probability_of_at_most_alpha(samples: int, alpha: float) -> None:
    hits = np.arange(samples + 1)
    bounds = lower_bound(hits, samples, alpha)
    truths = np.concatenate([np.linspace(0, 1, 301), bounds - 1e-9])
    missed = [binom.pmf(hits, samples, truth)[bounds > truth].sum() for truth in truths.clip(0, 1)]
    assert alpha * 0.99 < max(missed) <= alpha * (1 + 1e-6)


def test_certificates_of_drawn_counts_are_wrong_as_seldom_as_said() -> None:
    alpha, sigma, trials = 0.1, 2.0, 40_000
    random = np.random.default_rng(0)
    wrong = given = 0
    for truth in ([0.55, 0.35, 0.1], [0.3, 0.7, 0.0], [0.45, 0.4, 0.15], [0.02, 0.03, 0.95]):
        found = certify(random.multinomial(5, truth, trials), random.multinomial(60, truth, trials), sigma, alpha)
        answered = found.labels != ABSTAIN
        # the true radius of Algorithm 1 for the class that was chosen; none where it is no majority
        exact = sigma * norm.ppf(np.array(truth))[found.labels]
        misses = int((found.radii > exact)[answered].sum())
        assert misses <= alpha * trials + 5 * np.sqrt(alpha * trials)
        wrong, given = wrong + misses, given + int(answered.sum())
        assert found.labels[~answered].tolist() == [ABSTAIN] * int((~answered).sum())
    assert wrong > trials * alpha / 2, "a bound that is never too high is far too low"
    assert given > trials


# --- radii -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "runner_up", "quantiles"),
    [(2, -1, 1.5), (1, -1, 1.0), (0.5, 0.25, 0.125), (0, 0, 0.0), (np.inf, 1, np.inf), (0, -np.inf, np.inf)],
)
def test_the_radius_of_theorem_one_by_hand(top: float, runner_up: float, quantiles: float) -> None:
    assert radius(norm.cdf(top), 7, norm.cdf(runner_up)) == pytest.approx(7 * quantiles)


def test_without_a_runner_up_it_is_all_the_rest() -> None:
    tops = np.linspace(0.5, 1, 101)
    np.testing.assert_allclose(radius(tops, 3), 3 * norm.ppf(tops))
    np.testing.assert_allclose(radius(tops, 3), radius(tops, 3, 1 - tops))
    # two bounds that say nothing certify nothing
    assert radius([1.0, 0.0], 3, [1.0, 0.0]).tolist() == [0, 0]


def test_algorithm_one_by_hand() -> None:
    selection = [[3, 7, 0], [4, 4, 2], [0, 0, 10], [9, 1, 0]]
    estimation = [[0, 100_000, 0], [900, 50, 50], [0, 100, 0], [52, 48, 0]]
    found = certify(selection, estimation, sigma=7)
    # chosen by the first counts alone, a tie to the smallest; the third's class was not seen again, the fourth's bound is low
    assert found.labels.tolist() == [1, 0, ABSTAIN, ABSTAIN]
    assert (found.labels.dtype, found.radii.dtype) == (np.int64, np.float64)
    # the most that 100,000 samples can certify with 99.9 % confidence: 3.81 sigma
    assert found.radii[0] == pytest.approx(7 * 3.8115, abs=1e-3)
    assert found.radii[1] == pytest.approx(7 * norm.ppf(lower_bound(900, 1000, 0.001)))
    assert found.radii[2:].tolist() == [0, 0]
    assert infer(selection).tolist() == [1, 0, 2, 0]


@given(st.integers(1, 200), st.integers(0, 200), st.floats(0.001, 0.3))
def test_there_is_an_answer_exactly_if_the_bound_is_above_one_half(samples: int, hits: int, alpha: float) -> None:
    hits = min(hits, samples)
    found = certify([[0, 1]], [[samples - hits, hits]], 1.0, alpha)
    # more than half of the samples, too many for a fair coin
    assert (found.labels[0] == 1) == bool(binom.sf(hits - 1, samples, 0.5) < alpha)
    assert (found.radii[0] > 0) == (found.labels[0] == 1)


def test_the_largest_norm_is_from_black_to_white() -> None:
    assert largest_norm((5, 5)) == pytest.approx(np.linalg.norm(np.ones((3, 5, 5))))
    assert largest_norm((4, 9), channels=1) == 6


# --- linear classifiers ------------------------------------------------------------------------------------------------------


def linear_worlds(seed: int) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Weights [3, 4, 5], bias, images [20, 3, 4, 5] and masks [20, 1, 4, 5], one box each."""
    random = np.random.default_rng(seed)
    weights, images = random.normal(size=(3, 4, 5)), random.random((20, 3, 4, 5))
    masks = np.zeros((20, 1, 4, 5), dtype=bool)
    for mask in masks:
        top, left = random.integers(0, 3, 2)
        mask[0, top : top + random.integers(1, 3), left : left + random.integers(1, 4)] = True
    return weights, float(-(weights * 0.5).sum()), images, masks


@pytest.mark.parametrize("seed", range(5))
def test_no_change_inside_the_mask_below_the_radius_turns_a_linear_classifier_and_the_nearest_one_above_does(seed: int) -> None:
    weights, bias, images, masks = linear_worlds(seed)
    found = linear(weights, bias, images, masks, sigma=0.7)
    # every direction inside the mask, random ones and the steepest
    inside = masks * weights
    steepest = inside / np.linalg.norm(inside.reshape(20, -1), axis=1)[:, None, None, None]
    towards = np.where(found.labels == 1, -1, 1)[:, None, None, None] * steepest
    random = np.random.default_rng(seed).normal(size=(50, *images.shape)) * masks
    random /= np.linalg.norm(random.reshape(50, 20, -1), axis=2)[..., None, None, None]
    for direction in (towards, *random):
        moved = images + direction * (found.radii * (1 - 1e-9))[:, None, None, None]
        assert np.array_equal(linear(weights, bias, moved, masks, 0.7).labels, found.labels)
    moved = images + towards * (found.radii * (1 + 1e-9))[:, None, None, None]
    assert np.array_equal(linear(weights, bias, moved, masks, 0.7).labels, 1 - found.labels)
    # the certificate says nothing of pixels outside the mask
    anywhere = weights / np.linalg.norm(weights) * np.where(found.labels == 1, -1, 1)[:, None, None, None]
    moved = images + anywhere * (found.radii * 0.999)[:, None, None, None]
    assert np.array_equal(linear(weights, bias, moved, masks, 0.7).labels, 1 - found.labels)


def test_the_closed_form_by_hand() -> None:
    # w x + b = 2 * 1 + 3 * 0.5 - 1 = 2.5, and 3, 4 under the mask: |M w| = 5
    found = linear([2, 3, 4, 0], -1, [[1, 0.5, 0, 9], [0, 0, 0.25, 0]], [False, True, True, True], sigma=0.25)
    assert found.labels.tolist() == [1, 0]
    assert found.radii.tolist() == [0.5, 0]
    np.testing.assert_allclose(found.probabilities, [norm.cdf(2), 0.5])
    # equation 10 is Theorem 1 with the exact probability
    np.testing.assert_allclose(radius(found.probabilities, 0.25), found.radii, atol=1e-12)
    # where the score does not depend on the mask, nothing inside it matters
    unmoved = linear([2, 3, 4, 0], -1, [[1, 0.5, 0, 9]], [False, False, False, True], sigma=0.25)
    assert (unmoved.labels.tolist(), unmoved.probabilities.tolist(), unmoved.radii.tolist()) == ([1], [1.0], [np.inf])


# --- R-accuracy --------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2), st.booleans(), st.integers(1, 5)), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), min_size=1, max_size=5),
)
def test_the_accuracy_curve_is_the_count_at_every_radius(images: list[tuple[int, int, bool, int]], halves: list[int]) -> None:
    answers, labels, covered, sizes = map(np.array, zip(*images, strict=True))
    certificates = Certificates(answers, np.where(answers == ABSTAIN, 0.0, sizes))
    thresholds = np.array(halves) / 2
    for inside in (None, covered):
        found = accuracy(answer_radii(certificates, labels, inside), thresholds)
        shown = np.ones(len(images), dtype=bool) if inside is None else inside
        wanted = [
            np.mean([a == y and c and r > cut for a, y, c, r in zip(answers, labels, shown, sizes, strict=True)])
            for cut in thresholds
        ]
        np.testing.assert_allclose(found, wanted)


def test_turning_points_are_where_the_accuracy_changes() -> None:
    radii = np.array([0.0, 1.5, 1.5, 4.0])
    points = turning_points(radii, [2.0])
    assert points.tolist() == [0, 1.5, 2, 4]
    assert accuracy(radii, points).tolist() == [0.75, 0.25, 0.25, 0]
    assert accuracy(radii, np.nextafter(points[1:], 0)).tolist() == [0.75, 0.25, 0.25]


# --- errors ------------------------------------------------------------------------------------------------------------------

GOOD = [[3, 1], [0, 2]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection_counts": [[1.0, 2.0]]}, r"^selection_counts: float64 of shape \(1, 2\); write whole numbers, \[images, "),
        ({"estimation_counts": [1, 2]}, r"^estimation_counts: int64 of shape \(2,\); "),
        ({"estimation_counts": [[3], [2]]}, r"^estimation_counts: int64 of shape \(2, 1\); .* two classes or more$"),
        ({"estimation_counts": [[3, 1]]}, r"^estimation_counts: shape \(1, 2\); write that of selection_counts, \(2, 2\)$"),
        ({"selection_counts": [[3, 1], [0, -1]]}, "^selection_counts: -1; write how often"),
        ({"estimation_counts": [[3, 1], [0, 0]]}, "^estimation_counts: image 1 has no sample; draw one or more$"),
        ({"sigma": 0}, r"^sigma: 0; write a number above 0"),
        ({"sigma": np.inf}, r"^sigma: inf; "),
        ({"sigma": np.nan}, r"^sigma: nan; "),
        ({"alpha": 0}, r"^alpha: 0; write a number between 0 and 1, such as 0\.001$"),
        ({"alpha": 1.0}, r"^alpha: 1\.0; "),
    ],
)
def test_what_cannot_be_certified(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        certify(**({"selection_counts": GOOD, "estimation_counts": GOOD, "sigma": 7.0} | changes))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lower_bound(3, 2, 0.1), "^hits: more than samples"),
        (lambda: lower_bound(0, 0, 0.1), "^hits: more than samples"),
        (lambda: lower_bound(1.0, 2, 0.1), "^hits: float64, samples: int64; write whole numbers$"),
        (lambda: radius(0.4, 1.0), "^probabilities: "),
        (lambda: radius(np.nan, 1.0), "^probabilities: "),
        (lambda: radius(1.1, 1.0, 0.0), "^probabilities: "),
        (lambda: linear([1, 2], 0, [[1, 2]], [0, 1], 1.0), "^masks: int64; write true or false"),
        (lambda: linear([1, 2, 3], 0, [[1, 2]], [True, False], 1.0), r"^weights, masks: no value for each of images \(1, 2\)"),
        (lambda: linear([1, 2], 0, [[1, 2]], [True, False], -1.0), r"^sigma: -1\.0; "),
        (lambda: answer_radii(certify(GOOD, GOOD, 1.0), [0]), r"^labels: int64 of shape \(1,\); "),
        (lambda: answer_radii(certify(GOOD, GOOD, 1.0), [0, 1], [1, 0]), r"^covered: int64 of shape \(2,\); "),
        (lambda: accuracy([], [1.0]), "^radii: there is no image"),
        (lambda: accuracy([1.0], [-1.0]), "^thresholds: not a list of radii; write numbers from 0 up$"),
        (lambda: turning_points([np.nan]), "^radii: not a list of radii"),
    ],
)
def test_wrong_numbers(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
