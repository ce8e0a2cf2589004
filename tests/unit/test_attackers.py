"""Attackers with one place an image, against every choice of places and every way to spare classes there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.curves import class_average
from patchcert.curves import recall as recall_of
from patchcert.defenses.attackers import attainable, nondominated, smallest, worst_class_recall, worst_metric
from patchcert.defenses.multilabel import Bounds, Extrema, certify_located, histograms

from .scored import LEVELS, ratio, scored

METRICS = ("precision", "recall", "f1")


def test_nondominated_pairs_by_hand() -> None:
    found = nondominated(np.array([[2, 2, 0, 1, 0], [0, 0, 0, 0, 0]]), np.array([[0, 1, 3, 1, 2], [0, 0, 0, 0, 0]]))
    assert len(found) == 2
    assert found[0].tolist() == [[2, 1], [0, 3]]
    assert found[1].tolist() == [[0, 0]]
    assert found.starts.tolist() == [0, 2, 3]


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 9))
def test_nondominated_pairs(seed: int, images: int, places: int) -> None:
    fn, fp = np.random.default_rng(seed).integers(0, 5, (2, images, places))
    found = nondominated(fn, fp)
    for image in range(images):
        pairs = set(zip(fn[image].tolist(), fp[image].tolist(), strict=True))
        kept = {one for one in pairs if not any(other != one and other[0] >= one[0] and other[1] >= one[1] for other in pairs)}
        assert found[image].tolist() == [list(pair) for pair in sorted(kept, reverse=True)]


def test_worst_metrics_by_hand() -> None:
    # an image with two positives loses one of them, or gains three false positives; one with one positive is left alone
    choices = nondominated(np.array([[1, 0], [0, 0]]), np.array([[0, 3], [0, 0]]))
    positives = np.array([2, 1])
    for metric, value, pair in [("precision", 3 / 6, [0, 3]), ("recall", 2 / 3, [1, 0]), ("f1", 6 / 9, [0, 3])]:
        found = smallest(choices, positives, metric)
        assert (found.value, found.pairs.tolist()) == (value, [pair, [0, 0]])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 3), st.sampled_from(METRICS))
def test_the_worst_metric_is_that_of_every_choice(seed: int, images: int, places: int, metric: str) -> None:
    """Also if the attacker may spare classes that can fail."""
    random = np.random.default_rng(seed)
    positives = random.integers(0, 4, images)
    fn, fp = random.integers(0, positives[:, None] + 1, (images, places)), random.integers(0, 4, (images, places))
    found = smallest(nondominated(fn, fp), positives, metric)
    full = [list(zip(*each, strict=True)) for each in zip(fn.tolist(), fp.tolist(), strict=True)]
    sparing = [{(a, b) for most, more in each for a in range(most + 1) for b in range(more + 1)} for each in full]
    values = {}
    for name, pairs in (("full", full), ("sparing", sparing if images < 4 else full)):
        totals = {tuple(map(sum, zip(*chosen, strict=True))) for chosen in itertools.product(*pairs)}
        every = [ratio(metric, int(positives.sum()), *total) for total in totals]
        values[name] = min((value for value in every if value is not None), default=np.nan)
    if np.isnan(found.value) and not np.isnan(values["full"]):
        # all can be silenced, and nothing else can be done: of the choices that leave an answer, every one is right
        assert (metric, values["full"], fp.max(), fn.max(axis=1).tolist()) == ("precision", 1, 0, positives.tolist())
    else:
        np.testing.assert_equal(found.value, values["full"])
    assert np.isnan(found.value) or found.value <= values["sparing"]
    assert all(tuple(pair) in each for pair, each in zip(found.pairs.tolist(), full, strict=True))
    if not np.isnan(found.value):
        assert found.value == ratio(metric, int(positives.sum()), *map(int, found.pairs.sum(axis=0)))


@settings(deadline=None)
@given(scored(), st.sampled_from(LEVELS.tolist()))
def test_one_place_for_both_is_at_least_as_tight_as_the_worst_case(given_scores, threshold: float) -> None:
    scores, labels = given_scores
    extrema = Extrema.from_pairs(scores)
    loose = [int(part.sum()) for part in certify_located(extrema, labels, threshold, "worst_case")]
    for metric in METRICS:
        found = worst_metric(extrema, labels, threshold, metric)
        lower = ratio(metric, int(labels.sum()), loose[2], loose[3])
        assert np.isnan(found.value) or lower is None or found.value >= lower
        if metric == "recall" and labels.any():
            assert found.value == lower
    places = [{tuple(pair) for pair in pairs.tolist()} for pairs in np.stack(histograms(extrema, labels, threshold), axis=2)]
    choices = attainable(extrema, labels, threshold)
    for image, pairs in enumerate(places):
        assert {tuple(pair) for pair in choices[image].tolist()} <= pairs
        for attacker in ("fn", "fp"):
            part = certify_located(extrema, labels, threshold, attacker)
            assert [part.fn[image], part.fp[image]] in choices[image].tolist()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))
def test_class_recall_is_that_of_every_choice(seed: int, images: int, places: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    lowest = random.choice(LEVELS, (images, places, classes))
    labels = random.random((images, classes)) < 0.6
    bounds = Bounds(lowest=lowest, highest=np.ones_like(lowest))
    occurs = labels.any(axis=0)
    found = worst_class_recall(bounds, labels, 0.5)
    values = {}
    for chosen in itertools.product(range(places), repeat=images):
        lost = (lowest[np.arange(images), list(chosen)] <= 0.5) & labels
        ratios = np.array([np.nan if not known else 1 - gone / known
                           for gone, known in zip(lost.sum(axis=0), labels.sum(axis=0), strict=True)])  # fmt: skip
        values[chosen] = float(class_average(ratios, occurs).value)
    assert found.value == pytest.approx(min(values.values()), abs=1e-12, nan_ok=True)
    assert found.value == pytest.approx(values[tuple(found.places.tolist())], abs=1e-12, nan_ok=True)


def test_class_recall_may_have_another_worst_place_than_the_totals() -> None:
    # image 0 loses classes 0 and 1, which other images have too, or class 2, which only it has
    lowest = np.full((4, 2, 3), 0.9, dtype=np.float32)
    lowest[0, 0, :2] = lowest[0, 1, 2] = 0.1
    labels = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 0]])
    bounds = Bounds(lowest=lowest, highest=np.ones_like(lowest))
    found = worst_class_recall(bounds, labels, 0.5)
    assert found.value == pytest.approx((1 + 1 + 0) / 3)
    assert found.places.tolist() == [1, 0, 0, 0]
    assert worst_metric(bounds, labels, 0.5, "recall").value == 7 / 9
    assert recall_of(certify_located(bounds, labels, 0.5, "fn"))[0] == pytest.approx(1 / 3)


def test_no_image_and_no_class_have_no_value() -> None:
    nothing = Bounds(lowest=np.zeros((0, 2, 3), np.float32), highest=np.ones((0, 2, 3), np.float32))
    labels = np.zeros((0, 3), dtype=bool)
    assert all(np.isnan(worst_metric(nothing, labels, 0.5, metric).value) for metric in METRICS)
    assert np.isnan(worst_class_recall(nothing, labels, 0.5).value)
    assert attainable(nothing, labels, 0.5).starts.tolist() == [0]


def test_an_unknown_metric() -> None:
    with pytest.raises(InputError, match=r"^metric: 'accuracy'; write one of precision, recall, f1$"):
        smallest(nondominated(np.zeros((1, 1), int), np.zeros((1, 1), int)), np.ones(1, int), "accuracy")
