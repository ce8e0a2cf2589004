"""Minority Reports: by hand, curves against every threshold, and against every attack there is on tiny images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses.minority_reports import ALERT, certify, infer
from patchcert.evaluation.minority_reports import curve, records
from patchcert.masks import MaskSet, Size
from patchcert.predictions import Predictions

from .worlds import SHADES, WORLDS, World, classifiers, world

LABELS = [[1, 1, 1], [1, 1, 5], [1, 5, 5], [0, 1, 2], [5, 5, 5]]
CONFIDENCES = [[0.5, 0.75, 1.0], [1.0, 1.0, 0.5], [0.25, 0.5, 0.5], [0.25, 0.5, 0.125], [0.5, 0.5, 0.0]]


@pytest.mark.parametrize(
    ("threshold", "answers", "certified"),
    [
        (0, [1, ALERT, ALERT, ALERT, 5], [True, False, False, False, False]),
        (0.25, [1, ALERT, ALERT, ALERT, 5], [True, False, False, False, False]),
        (0.26, [1, ALERT, 5, ALERT, 5], [True, False, False, False, False]),
        (0.5, [1, ALERT, 5, ALERT, 5], [True, False, False, False, False]),  # the boundary: 0.5 alerts and certifies
        (np.nextafter(np.float32(0.5), np.float32(1)), [1, 1, 5, 0, 5], [False, False, False, False, False]),
        (1, [1, 1, 5, 0, 5], [False, False, False, False, False]),
    ],
)
def test_by_hand(threshold: float, answers: list[int], certified: list[bool]) -> None:
    found = infer(LABELS, CONFIDENCES, threshold)
    assert found.tolist() == answers
    assert found.dtype == np.int64
    assert certify(LABELS, CONFIDENCES, [1, 1, 1, 1, 1], threshold).tolist() == certified


def test_a_certificate_wants_every_mask_right_and_sure() -> None:
    labels, truth = [[7, 7], [7, 7], [7, 6], [6, 6]], [7, 7, 7, 7]
    found = certify(labels, [[0.9, 0.9], [0.9, 0.8], [0.9, 0.9], [0.9, 0.9]], truth, 0.9)
    assert found.tolist() == [True, False, False, False]
    assert found.dtype == np.bool_


def test_thresholds_are_float32_as_confidences_are() -> None:
    confidence = np.float32(0.1)  # larger than the double 0.1
    assert float(confidence) > 0.1
    for threshold in (0.1, np.float64(0.1), confidence, float(confidence)):
        assert infer([[1, 1, 2]], [[1, 1, confidence]], threshold).tolist() == [ALERT]
        assert certify([[1, 1]], [[1, confidence]], [1], threshold).tolist() == [True]
    # this double lies above the float32 and is the same number in float32
    assert certify([[1, 1]], [[1, confidence]], [1], np.nextafter(float(confidence), 1)).tolist() == [True]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, np.nan, np.inf, "0.5", None, True, [0.5]])
def test_bad_thresholds(threshold) -> None:
    for run in (lambda: infer(LABELS, CONFIDENCES, threshold), lambda: certify(LABELS, CONFIDENCES, [1] * 5, threshold)):
        with pytest.raises(InputError, match=r"^threshold: .*; write a number from 0 to 1, such as 0\.9$"):
            run()


@pytest.mark.parametrize(
    ("labels", "confidences", "message"),
    [
        ([1, 2], [0.5, 0.5], r"^one_mask_labels: shape \(2,\); write \[images, masks\]$"),
        (np.zeros((2, 0), dtype=int), np.zeros((2, 0)), r"^one_mask_labels: shape \(2, 0\); "),
        ([[1.0, 2.0]], [[0.5, 0.5]], "^one_mask_labels: float64, smallest .*; write whole numbers from 0 up$"),
        ([[1, -1]], [[0.5, 0.5]], "^one_mask_labels: int64, smallest -1; write whole numbers from 0 up$"),
        ([[1, 2]], [[0.5]], r"^confidences: shape \(1, 1\); write one for each of the labels, \(1, 2\)$"),
        ([[1, 2]], [[0.5, 1.5]], "^confidences: not all are from 0 to 1; write softmax confidences, such as 0.9$"),
        ([[1, 2]], [[0.5, -0.5]], "^confidences: not all are from 0 to 1"),
        ([[1, 2]], [[0.5, np.nan]], "^confidences: not all are from 0 to 1"),
    ],
)
def test_bad_labels_and_confidences(labels, confidences, message: str) -> None:
    for run in (lambda: infer(labels, confidences, 0.5), lambda: certify(labels, confidences, [1] * len(labels), 0.5)):
        with pytest.raises(InputError, match=message):
            run()


def test_bad_true_labels() -> None:
    with pytest.raises(InputError, match="for each of the 5 images"):
        certify(LABELS, CONFIDENCES, [1], 0.5)


def predictions_of(one_mask: np.ndarray, confidences: np.ndarray) -> Predictions:
    """Predictions with these one-mask labels, and no other pair asked for."""
    images, masks = one_mask.shape
    first, second = np.triu_indices(masks)
    labels = np.where(first == second, one_mask[:, first], np.iinfo(np.uint16).max)
    return Predictions(
        image_ids=np.array([f"image-{number}" for number in range(images)], dtype=np.str_),
        labels=labels.astype(np.uint16),
        unmasked=one_mask[:, 0].astype(np.uint16),
        margins=np.ones(images, dtype=np.float32),
        confidences=confidences.astype(np.float32),
        passes=np.full(images, masks, dtype=np.uint32),
    )


def test_records_by_hand() -> None:
    found = records(predictions_of(np.array(LABELS), np.array(CONFIDENCES)), np.array([1, 1, 1, 1, 5]))
    expected = pd.DataFrame(
        {
            "image_id": [f"image-{number}" for number in range(5)],
            "label": [1, 1, 1, 1, 5],
            "undefended": [1, 1, 1, 0, 5],
            "candidate": [1, 1, 5, 0, 5],
            "one_mask_correct": [True, False, False, False, True],
            "lowest_confidence": np.array([0.5, 0.5, 0.25, 0.125, 0.0], dtype=np.float32),
            "report_confidence": np.array([-1, 0.5, 0.25, 0.5, -1], dtype=np.float32),
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert [found[name].dtype for name in ("candidate", "lowest_confidence", "report_confidence")] == [
        np.int64, np.float32, np.float32
    ]  # fmt: skip


def test_the_curve_by_hand() -> None:
    found = curve(records(predictions_of(np.array(LABELS), np.array(CONFIDENCES)), np.array([1, 1, 1, 1, 5])))
    above = [float(np.nextafter(np.float32(value), np.float32(1))) for value in (0, 0.25, 0.5)]
    assert found["threshold"].tolist() == [0.0, *above]
    # the last image loses its certificate above 0, the first above 0.5; alerts end above 0.25 (one) and above 0.5 (two), and
    # of their three candidates that of the second image is right
    assert found.drop(columns="threshold").to_dict("list") == {
        "clean": [2, 2, 2, 3],
        "certified": [2, 1, 1, 0],
        "alerts": [3, 3, 2, 0],
        "total": [5, 5, 5, 5],
    }


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-mask labels and confidences [N, K], and true labels [N]."""
    images, masks = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    count = images * masks
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))).reshape(images, masks)
    sure = st.sampled_from([0.0, 1e-45, 0.3, float(np.nextafter(np.float32(0.3), np.float32(0))), 0.6, 1.0])
    confidences = np.array(draw(st.lists(sure, min_size=count, max_size=count)), dtype=np.float32).reshape(images, masks)
    for image in draw(st.sets(st.integers(0, images - 1))):
        labels[image] = labels[image, 0]
    return labels, confidences, labels[:, 0].copy()


@settings(max_examples=200, deadline=None)
@given(answers())
def test_records_and_curve_tell_every_threshold(given_answers: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, confidences, truth = given_answers
    table = records(predictions_of(labels, confidences), truth)
    rows = curve(table)
    thresholds = rows["threshold"].to_numpy()
    assert thresholds[0] == 0
    assert (np.diff(thresholds) > 0).all()
    assert thresholds.dtype == np.float32
    assert thresholds[-1] <= 1
    around = np.unique(confidences)
    every = np.concatenate([around, np.nextafter(around, np.float32(0)), np.nextafter(around, np.float32(1)), [0.0, 0.45, 1.0]])
    for threshold in every.astype(np.float32):
        answered, certified = infer(labels, confidences, threshold), certify(labels, confidences, truth, threshold)
        assert ((table["report_confidence"] >= threshold) == (answered == ALERT)).all()
        assert ((table["one_mask_correct"] & (table["lowest_confidence"] >= threshold)) == certified).all()
        row = rows.iloc[np.searchsorted(thresholds, threshold, side="right") - 1]
        assert [int(row[name]) for name in ("clean", "certified", "alerts", "total")] == [
            (answered == truth).sum(),
            certified.sum(),
            (answered == ALERT).sum(),
            len(truth),
        ]
    counts = rows.drop(columns="threshold").to_numpy()
    assert counts.dtype == np.int64
    assert (counts[1:] != counts[:-1]).any(axis=1).all()  # no row repeats the one before


def test_no_image_gives_no_answer() -> None:
    nothing = np.zeros((0, 3))
    assert infer(nothing.astype(int), nothing, 0.5).shape == (0,)
    assert certify(nothing.astype(int), nothing, np.zeros(0, dtype=int), 0.5).shape == (0,)


LEVELS = np.array([0.25, 0.5, 0.75, 1.0], dtype=np.float32)


def confidences_of(tiny: World, seed: int) -> np.ndarray:
    """A confidence for each image, [U], one of a few levels."""
    return np.random.default_rng(seed).choice(LEVELS, len(tiny.images), p=[0.1, 0.2, 0.3, 0.4])


def outcome(
    tiny: World, table: np.ndarray, sure: np.ndarray, truth: int, threshold: float, patches: list[Size] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which images are certified, are answered right without an attack, and are answered wrong, with no alert, under some."""
    seen = tiny.shown.diagonal(axis1=1, axis2=2)
    answered = infer(table[seen], sure[seen], threshold)
    certified = certify(table[seen], sure[seen], np.full(len(seen), truth), threshold)
    return certified, answered == truth, tiny.reached((answered != truth) & (answered != ALERT), patches)


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.6, 0.75, 1.0])
@pytest.mark.parametrize("name", WORLDS)
def test_no_attack_on_a_certified_image_goes_unnoticed(name: str, threshold: float) -> None:
    tiny = world(name)
    found = broken_ones = 0
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, truth).values():
            certified, right, broken = outcome(tiny, table, confidences_of(tiny, truth), truth, threshold)
            assert right[certified].all()
            assert not (certified & broken).any()
            found += int(certified.sum())
            broken_ones += int((right & broken).sum())
    assert found > 0
    # up to the smallest confidence there is, every disagreement alerts: what is answered right is certified
    assert (broken_ones > 0) == (threshold > LEVELS.min())


@pytest.mark.parametrize(
    ("name", "patch"),
    [("figure-3-left", (1, 3)), ("2x4", (2, 3)), ("3x3-2x2", (2, 3)), ("row-two-patches", (1, 2))],
)
def test_a_patch_that_the_masks_do_not_cover_goes_unnoticed(name: str, patch: Size) -> None:
    tiny = world(name)
    assert not tiny.masks.covers(patch)
    outcomes = [
        outcome(tiny, table, confidences_of(tiny, truth), truth, 0.5, [patch])
        for truth in range(SHADES)
        for table in classifiers(tiny, truth, truth).values()
    ]
    assert any((certified & broken).any() for certified, _, broken in outcomes)


def test_masks_for_one_patch_do_not_notice_two() -> None:
    tiny = world("row-two-patches")
    single = World(MaskSet(tiny.masks.image_size, tiny.masks.grids), tiny.patches)
    seen = single.shown.diagonal(axis1=1, axis2=2)
    found = 0
    for truth in range(SHADES):
        for table in classifiers(single, truth, truth).values():
            sure = confidences_of(single, truth)
            certified, _, broken = outcome(single, table, sure, truth, 0.5)
            assert not (certified & broken).any()
            answered = infer(table[seen], sure[seen], 0.5)
            found += int(tiny.reached((answered != truth) & (answered != ALERT))[certified].sum())
    assert found > 0


def test_alerts_at_the_threshold_itself_are_what_certificates_there_rest_on() -> None:
    """At a confidence that the classifier has, alerts only above the threshold would let attacks on certified images pass."""
    tiny, threshold = world("figure-3-right"), 0.5
    above = float(np.nextafter(np.float32(threshold), np.float32(1)))
    seen = tiny.shown.diagonal(axis1=1, axis2=2)
    passed = kept = 0
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, truth).values():
            sure, truths = confidences_of(tiny, truth), np.full(len(seen), truth)
            certified = certify(table[seen], sure[seen], truths, threshold)
            answered = infer(table[seen], sure[seen], above)
            passed += int(tiny.reached((answered != truth) & (answered != ALERT))[certified].sum())
            kept += int((certified & ~certify(table[seen], sure[seen], truths, above)).sum())
    assert passed > 0
    assert kept > 0  # and certificates only above the threshold would leave out images that are safe
