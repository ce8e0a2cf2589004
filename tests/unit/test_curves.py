"""Counts at every threshold, ratios, class averages and areas: by hand and by counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.curves import (
    Counts,
    area_under_curve,
    class_average,
    class_totals,
    f1,
    precision,
    recall,
    totals,
    turning_points,
)

from .scored import LEVELS


def counts(tp, tn, fn, fp) -> Counts:
    return Counts(*(np.array(part, dtype=np.int64) for part in (tp, tn, fn, fp)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(1, 4))
def test_totals_are_counted_at_and_between_turning_points(seed: int, images: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.choice(LEVELS, (images, classes)), random.random((images, classes)) < 0.5
    turns = turning_points(scores)
    assert turns[0] == 0
    assert set(turns.tolist()) == {0.0, *scores.ravel().tolist()}
    cuts = np.unique(np.concatenate([turns, np.nextafter(turns[1:], np.float32(0)), [np.float32(1)]]))
    whole, each = totals(scores, labels, cuts), class_totals(scores, labels, cuts)
    for number, cut in enumerate(cuts):
        answer = scores > cut
        for part, truth in (("tp", labels), ("fp", ~labels)):
            assert getattr(whole, part)[number] == (answer & truth).sum()
            assert getattr(each, part)[number].tolist() == (answer & truth).sum(axis=0).tolist()
        for part, truth in (("fn", labels), ("tn", ~labels)):
            assert getattr(whole, part)[number] == (~answer & truth).sum()
            assert getattr(each, part)[number].tolist() == (~answer & truth).sum(axis=0).tolist()
    # between two turning points nothing changes
    held = turns[np.searchsorted(turns, cuts, side="right") - 1]
    assert np.array_equal(np.stack(whole), np.stack(totals(scores, labels, held)))
    assert all(part.dtype == np.int64 for part in (*whole, *each))


def test_turning_points_of_several_scores_lie_between_0_and_1() -> None:
    found = turning_points(np.array([[0.5, -2.0]], dtype=np.float32), [0.25, 3.0, 1.0])
    assert (found.dtype, found.tolist()) == (np.float32, [0, 0.25, 0.5, 1])


def test_ratios_by_hand() -> None:
    given_counts = counts([3, 0, 0], [1, 9, 4], [1, 0, 5], [2, 0, 0])
    np.testing.assert_equal(precision(given_counts), [0.6, np.nan, np.nan])
    np.testing.assert_equal(recall(given_counts), [0.75, np.nan, 0.0])
    np.testing.assert_equal(f1(given_counts), [6 / 9, np.nan, 0.0])
    assert precision(counts(1, 0, 0, 3)) == 0.25


def test_class_averages_by_hand() -> None:
    ratios, occurs = [[0.5, np.nan, 1.0, np.nan], [np.nan, np.nan, 0.25, 0.75]], np.array([True, True, True, False])
    found = class_average(ratios, occurs)
    assert (found.value.tolist(), found.absent, found.undefined.tolist()) == ([0.75, 0.25], 1, [1, 2])
    published = class_average(ratios, occurs, published=True)
    assert (published.value.tolist(), published.absent, published.undefined.tolist()) == ([0.375, 0.0625], 1, [1, 2])
    assert np.isnan(class_average([np.nan, 0.5], np.array([True, False])).value)


def test_a_class_that_is_absent_does_not_count_though_it_is_answered() -> None:
    scores, labels = np.array([[0.9, 0.9], [0.1, 0.2]], dtype=np.float32), np.array([[1, 0], [0, 0]])
    found = class_average(precision(class_totals(scores, labels, [0.5])), labels.any(axis=0))
    assert (found.value.tolist(), found.absent, found.undefined.tolist()) == ([1.0], 1, [0])


NAN = np.nan


@pytest.mark.parametrize(
    ("across", "up", "lowest", "extended", "bare"),
    [
        pytest.param([0, 1], [1, 1], 0, 1, 1, id="ideal"),
        pytest.param([0, 1], [1, 1], 0.25, 1, 1, id="ideal-above-a-quarter"),
        pytest.param([1, 0.5], [0.5, 1], 0, 0.875, 0.375, id="never-reaches-recall-0"),
        pytest.param([0, 0.5], [1, 0.5], 0, 0.375, 0.375, id="never-reaches-recall-1"),
        pytest.param([0.5], [0.8], 0, 0.4, 0, id="one-point"),
        pytest.param([0.5], [0.8], 0.25, 0.8 * 0.25 / 0.75, 0, id="one-point-above-a-quarter"),
        pytest.param([0, 0.5, 1], [1, 0.5, 0.5], 0.25, (0.15625 + 0.25) / 0.75, (0.15625 + 0.25) / 0.75, id="cut-between"),
        pytest.param([0, 0.25, 1], [1, 0.5, 0.5], 0.25, 0.5, 0.5, id="cut-at-a-point"),
        pytest.param([1, 0.5, 0.5], [0.4, 0.4, 0.8], 0, 0.4 + 0.2, 0.2, id="one-recall-falling-precision"),
        pytest.param([0.25, 0.25, 1], [0.4, 0.8, 0.4], 0.25, 0.4, 0.4, id="cut-at-several-points"),
        pytest.param([0, 0.2], [1, 1], 0.25, 0, 0, id="all-below-the-range"),
        pytest.param([1, NAN, 0], [0.5, 1, NAN], 0, 0.5, 0, id="undefined-points-are-left-out"),
        pytest.param([NAN], [1], 0, NAN, NAN, id="nothing-to-find"),
        pytest.param([], [], 0, NAN, NAN, id="no-point"),
    ],
)
def test_areas_by_hand(across, up, lowest: float, extended: float, bare: float) -> None:
    for order in (slice(None), slice(None, None, -1)):
        found = [area_under_curve(across[order], up[order], lowest, extend=extend) for extend in (True, False)]
        assert found == pytest.approx([extended, bare], abs=1e-12, nan_ok=True)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1), st.sampled_from([0.0, 0.25, 0.9]))
def test_areas_are_fractions_and_grow_with_precision(points: list[tuple[float, float]], lowest: float) -> None:
    across, up = np.array(points).T
    for extend in (True, False):
        area = area_under_curve(across, up, lowest, extend=extend)
        assert 0 <= area <= 1 + 1e-12
        assert area <= area_under_curve(across, np.ones_like(up), lowest, extend=extend) + 1e-12
    assert area <= area_under_curve(across, up, lowest) + 1e-12


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: area_under_curve([0.5], [0.5, 1]), r"^recall: shape \(1,\), precision: shape \(2,\); "),
        (lambda: area_under_curve([0.5], [1.5]), r"^precision: from 1\.5 to 1\.5; write fractions from 0 to 1$"),
        (lambda: area_under_curve([0.5], [0.5], 1.0), r"^lowest_recall: 1\.0; write a fraction"),
        (lambda: class_average([0.5], [1]), r"^occurs: int64 of shape \(1,\); "),
        (lambda: class_average([0.5], np.array([True, True])), r"^occurs: bool of shape \(2,\); .* ratios \(1,\)$"),
        (lambda: totals([0.5], [1], [0.5]), r"^scores: float64 of shape \(1,\); "),
        (lambda: totals([[1]], [[1]], [0.5]), r"^scores: int64 of shape \(1, 1\); "),
        (lambda: totals([[0.1], [NAN]], [[1], [1]], [0.5]), "^scores: image 1 has a score that is NaN"),
        (lambda: class_totals([[0.5]], [[2]], [0.5]), "^labels: int64, not all 0 or 1; "),
        (lambda: totals([[0.5]], [[1]], 0.5), r"^thresholds: 0\.5; write a list"),
        (lambda: totals([[0.5]], [[1]], [NAN]), r"^thresholds: \[nan\]; write a list"),
    ],
)
def test_bad_input(run, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run()
