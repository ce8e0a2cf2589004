"""Algorithms 1 to 5 of Multi-Label PatchCleanser from row extrema: by hand, and against pseudo-code over all pairs of masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from patchcert import InputError
from patchcert.curves import Counts
from patchcert.defenses.multilabel import (
    Bounds,
    Extrema,
    certified_scores,
    certify,
    certify_located,
    defended_scores,
    histograms,
    infer,
    located_scores,
)

from .scored import LEVELS, scored

THRESHOLDS = np.unique(np.concatenate([LEVELS, np.linspace(0, 1, 94, dtype=np.float32)]))


def one(matrix: list[list[float]]) -> Extrema:
    """One image and one class."""
    return Extrema.from_pairs(np.array(matrix, dtype=np.float32)[None, :, :, None])


@pytest.mark.parametrize(
    ("matrix", "score"),
    [
        pytest.param([[0.4]], 0.4, id="one-mask"),
        pytest.param([[0.9, 0.1, 0.1], [0.1, 0.6, 0.1], [0.1, 0.1, 0.7]], 0.6, id="median-kept-below-the-least-highest"),
        pytest.param([[0.2, 0.9, 0.9], [0.9, 0.3, 0.9], [0.9, 0.9, 0.8]], 0.8, id="raised-to-the-largest-lowest"),
        pytest.param([[0.8, 0.8, 0.3], [0.8, 0.8, 0.2], [0.3, 0.2, 0.1]], 0.3, id="lowered-to-the-least-highest"),
        pytest.param([[0.8, 0.1], [0.1, 0.4]], 0.4, id="tie-is-absent"),
    ],
)
def test_the_defended_score_by_hand(matrix: list[list[float]], score: float) -> None:
    extrema = one(matrix)
    assert defended_scores(extrema).tolist() == [[np.float32(score)]]
    assert infer(extrema, score).tolist() == [[False]]
    assert infer(extrema, np.nextafter(np.float32(score), np.float32(0))).tolist() == [[True]]


def test_extrema_by_hand() -> None:
    scores = np.array([[[0.5, 0.2, 0.9], [0.2, 0.4, 0.3], [0.9, 0.3, 0.8]]], dtype=np.float64)[..., None]
    extrema = Extrema.from_pairs(scores)
    expected = {"single": [0.5, 0.4, 0.8], "lowest": [0.2, 0.2, 0.3], "highest": [0.9, 0.4, 0.9]}
    for name, values in expected.items():
        found = getattr(extrema, name)
        assert (found.dtype, found.shape) == (np.float32, (1, 3, 1))
        assert found.ravel().tolist() == np.array(values, dtype=np.float32).tolist()


def multi_defense(positive: np.ndarray) -> bool:
    """Algorithms 1 and 3 for one class; ``positive[i][j]`` is the answer under masks i and j."""
    masks = range(len(positive))

    def mask_pred(first: int | None) -> tuple[bool, list[tuple[int, bool]]]:
        predictions = [(mask, bool(positive[mask if first is None else first, mask])) for mask in masks]
        majority = sum(answer for _, answer in predictions) > sum(not answer for _, answer in predictions)
        return majority, [(mask, answer) for mask, answer in predictions if answer != majority]

    majority, disagreers = mask_pred(None)
    for mask, answer in disagreers:
        if not mask_pred(mask)[1]:
            return answer
    return majority


def by_pairs(scores: np.ndarray, truth: np.ndarray, threshold: np.float32) -> dict[str, list]:
    """Algorithms 1, 2, 4 and 5, and Table III's attackers, for one image [K, K, C], as the paper writes them."""
    masks, classes = len(scores), len(truth)
    answers = scores > threshold
    certified = [True] * classes
    marked = np.zeros((classes, masks), dtype=int)
    for first, second in itertools.product(range(masks), repeat=2):
        for name in range(classes):
            if answers[first, second, name] != truth[name]:
                certified[name] = False
                marked[name, first] = marked[name, second] = 1
    counts = [[int(ok == right and bool(label) == kind) for ok, label in zip(certified, truth, strict=True)]
              for right, kind in ((True, True), (True, False), (False, True), (False, False))]  # fmt: skip
    totals = []
    for kind in (True, False):
        failed = [name for name in range(classes) if not certified[name] and bool(truth[name]) == kind]
        totals.append([sum(marked[name, mask] for name in failed) for mask in range(masks)])
    fn, fp = totals
    positives, negatives = int(truth.sum()), int((~truth).sum())
    attackers = {
        "worst_case": (max(fn), max(fp)),
        "fn": (max(fn), max(fp[mask] for mask in range(masks) if fn[mask] == max(fn))),
        "fp": (max(fn[mask] for mask in range(masks) if fp[mask] == max(fp)), max(fp)),
    }
    located = {name: [positives - lost, negatives - gained, lost, gained] for name, (lost, gained) in attackers.items()}
    return {"infer": [multi_defense(answers[:, :, name]) for name in range(classes)], "certify": counts,
            "histograms": [fn, fp], **located}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(scored())
def test_row_extrema_say_what_all_pairs_say(given_scores: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = given_scores
    extrema = Extrema.from_pairs(scores)
    for threshold in THRESHOLDS:
        expected = [by_pairs(image, truth, threshold) for image, truth in zip(scores, labels, strict=True)]
        assert infer(extrema, threshold).tolist() == [each["infer"] for each in expected]
        certified = certify(extrema, labels, threshold)
        assert np.stack(certified, axis=1).tolist() == [each["certify"] for each in expected]
        marks = np.stack(histograms(extrema, labels, threshold), axis=1)
        assert marks.tolist() == [each["histograms"] for each in expected]
        for attacker in ("worst_case", "fn", "fp"):
            found = certify_located(extrema, labels, threshold, attacker)
            assert np.stack(found, axis=1).tolist() == [each[attacker] for each in expected]
            assert all(part.dtype == np.int64 for part in (*certified, *found))


def test_the_attackers_of_table_three_by_hand() -> None:
    # class 0 fails under masks 0 and 1, class 1 under mask 0, class 2 under mask 1, class 3 under masks 1 and 2
    lowest = np.array([[[0.1, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0.9, 0.9, 0, 0]]], dtype=np.float32)
    highest = np.array([[[0.9, 0.9, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9], [0.9, 0.9, 0.1, 0.9]]], dtype=np.float32)
    bounds, labels = Bounds(lowest=lowest, highest=highest), [[1, 1, 0, 0]]
    assert [part.tolist() for part in histograms(bounds, labels, 0.5)] == [[[2, 1, 0]], [[0, 2, 1]]]
    expected = {"worst_case": (0, 0, 2, 2), "fn": (0, 2, 2, 0), "fp": (1, 0, 1, 2)}
    for attacker, counts in expected.items():
        assert tuple(int(part[0]) for part in certify_located(bounds, labels, 0.5, attacker)) == counts
    # without false negatives anywhere, their attacker is free to pick any mask
    assert [int(part[0]) for part in certify_located(bounds, labels, 0.05, "fn")] == [2, 0, 0, 2]


@given(scored())
def test_answer_scores_hold_at_every_threshold(given_scores: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = given_scores
    extrema = Extrema.from_pairs(scores)
    alone, located = certified_scores(extrema, labels), located_scores(extrema, labels)
    for threshold in THRESHOLDS:
        counts = certify(extrema, labels, threshold)
        assert ((alone > threshold) & labels).astype(int).tolist() == counts.tp.tolist()
        assert ((alone > threshold) & ~labels).astype(int).tolist() == counts.fp.tolist()
        worst = certify_located(extrema, labels, threshold, "worst_case")
        assert ((located > threshold) & labels).sum(axis=1).tolist() == worst.tp.tolist()
        assert ((located > threshold) & ~labels).sum(axis=1).tolist() == worst.fp.tolist()


@given(scored())
def test_bounds_are_in_order(given_scores: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = given_scores
    extrema = Extrema.from_pairs(scores)
    for threshold in LEVELS:
        answer = infer(extrema, threshold)
        clean = ((answer & labels).sum(axis=1), (answer & ~labels).sum(axis=1))
        alone = [part.sum(axis=1) for part in certify(extrema, labels, threshold)]
        worst, *others = (certify_located(extrema, labels, threshold, name) for name in ("worst_case", "fn", "fp"))
        assert (alone[0] <= worst.tp).all()
        assert (alone[3] >= worst.fp).all()
        for each in others:
            assert (worst.tp <= each.tp).all() and (each.tp <= clean[0]).all()  # noqa: PT018
            assert (worst.fp >= each.fp).all() and (each.fp >= clean[1]).all()  # noqa: PT018


def test_no_image_gives_no_answer() -> None:
    extrema, labels = Extrema.from_pairs(np.zeros((0, 3, 3, 2), dtype=np.float32)), np.zeros((0, 2), dtype=int)
    assert (
        infer(extrema, 0.5).shape == certify(extrema, labels, 0.5).tp.shape == located_scores(extrema, labels).shape == (0, 2)
    )
    assert histograms(extrema, labels, 0.5)[0].shape == (0, 3)
    assert isinstance(certify_located(extrema, labels, 0.5, "fn"), Counts)


GOOD = Extrema.from_pairs(np.full((2, 3, 3, 2), 0.5, dtype=np.float32))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((2, 3, 4, 1)), r"^scores: shape \(2, 3, 4, 1\); write \[images, masks, masks, classes\]$"),
        (np.zeros((2, 3, 3)), r"^scores: shape \(2, 3, 3\); "),
        (np.zeros((2, 3, 3, 0)), r"^scores: shape \(2, 3, 3, 0\); "),
        (np.zeros((2, 3, 3, 1), dtype=int), "^scores: int64; write floating-point scores"),
        ([[[[0.0], [1.0]], [[0.5], [0.0]]]], r"^scores: not symmetric; .* so \[n, i, j\] must equal \[n, j, i\]$"),
        ([[[[0.5]]], [[[np.nan]]]], "^scores: image 1 has a score that is NaN"),
    ],
)
def test_bad_pairs(scores, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Extrema.from_pairs(scores)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"single": np.zeros((2, 3))}, r"^single: shape \(2, 3\); write \[images, masks, classes\]$"),
        ({"single": np.full((2, 2, 2), 0.5)}, r"^single: shape \(2, 2, 2\); write that of lowest, \(2, 3, 2\)$"),
        ({"highest": np.ones((2, 3, 2), dtype=int)}, "^highest: int64; write floating-point scores"),
        ({"lowest": np.full((2, 3, 2), np.nan)}, "^scores: image 0, class 0: NaN; "),
        ({"single": np.full((2, 3, 2), 0.6)}, "^extrema: image 0, class 0: no scores have these; "),
        ({"lowest": [[[0.5, 0.5]] * 3, [[0.5, 0.5], [0.5, 0.7], [0.5, 0.5]]]}, "^extrema: image 1, class 1: "),
    ],
)
def test_bad_extrema(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Extrema(**{name: getattr(GOOD, name) for name in ("single", "lowest", "highest")} | changes)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan, np.inf, [0.5], "0.5", True])
def test_bad_thresholds(threshold) -> None:
    for run in (infer, lambda extrema, cut: certify(extrema, np.ones((2, 2), dtype=int), cut)):
        with pytest.raises(InputError, match=r"^threshold: .*; write a number from 0 to 1, such as 0\.8$"):
            run(GOOD, threshold)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 0], r"^labels: shape \(2,\); write 0 or 1 for each image and class, \[2, 2\]$"),
        ([[1, 0]], r"^labels: shape \(1, 2\); "),
        ([[1, 0], [1, 2]], "^labels: int64, not all 0 or 1; "),
        ([[1, 0], [1, -1]], "^labels: int64, not all 0 or 1; "),
        ([[1.0, 0], [1, 0]], "^labels: float64, not all 0 or 1; "),
    ],
)
def test_bad_labels(labels, message: str) -> None:
    for run in (certify, histograms, lambda *given: certify_located(*given, "fn")):
        with pytest.raises(InputError, match=message):
            run(GOOD, labels, 0.5)


def test_an_unknown_attacker() -> None:
    with pytest.raises(InputError, match=r"^attacker: 'both'; write one of worst_case, fn, fp$"):
        certify_located(GOOD, np.ones((2, 2), dtype=int), 0.5, "both")
