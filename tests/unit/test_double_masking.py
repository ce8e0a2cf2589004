"""Algorithms 1 and 2: by hand, against the paper's pseudo-code, and against every attack there is on tiny images."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses.double_masking import Case, certify, certify_online, decide, infer, infer_online
from patchcert.evaluation.double_masking import records
from patchcert.masks import MaskSet, Size
from patchcert.predict import pair_labels
from patchcert.predictions import Predictions

from .worlds import SHADES, WORLDS, Recorder, World, classifiers, stored_labels, world

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("matrix", "label", "case"),
    [
        pytest.param([[4]], 4, Case.AGREED, id="one-mask"),
        pytest.param([[2, 2], [2, 2]], 2, Case.AGREED, id="all-agree"),
        pytest.param([[1, 9, 9], [9, 1, 9], [9, 9, 1]], 1, Case.AGREED, id="agreed-whatever-two-masks-say"),
        pytest.param([[5, 5, 5], [5, 1, 1], [5, 1, 1]], 5, Case.DISAGREER, id="first-mask-removes-the-patch"),
        pytest.param([[1, 1, 5], [1, 1, 5], [5, 5, 5]], 5, Case.DISAGREER, id="last-mask-removes-the-patch"),
        pytest.param([[0, 0, 0], [0, 1, 2], [0, 2, 1]], 0, Case.DISAGREER, id="disagreer-with-the-smaller-label"),
        pytest.param([[5, 5, 1], [5, 1, 1], [1, 1, 1]], 1, Case.MAJORITY, id="disagreer-changes-its-mind"),
        pytest.param([[1, 1, 1], [1, 1, 1], [1, 1, 5]], 1, Case.MAJORITY, id="only-the-majority-is-unanimous"),
        pytest.param([[0, 7, 7], [7, 1, 7], [7, 7, 2]], 0, Case.MAJORITY, id="three-way-tie"),
        pytest.param([[2, 1], [1, 1]], 1, Case.MAJORITY, id="tie-smallest-label-last"),
        pytest.param([[1, 2], [2, 2]], 2, Case.DISAGREER, id="tie-and-the-larger-label-is-unanimous"),
        pytest.param([[1, 1, 0, 2], [1, 2, 2, 2], [0, 2, 2, 1], [2, 2, 1, 1]], 1, Case.MAJORITY, id="two-against-two"),
        pytest.param([[65535, 0], [0, 65534]], 65534, Case.MAJORITY, id="largest-labels"),
    ],
)
def test_by_hand(matrix: list[list[int]], label: int, case: Case) -> None:
    decision = decide([matrix])
    assert (decision.labels.tolist(), decision.cases.tolist()) == ([label], [case])
    assert infer([matrix]).tolist() == [label]
    online = infer_online(Recorder(np.array([matrix])), 1, len(matrix))
    assert (online.labels.tolist(), online.cases.tolist()) == ([label], [case])
    assert decision.labels.dtype == decision.cases.dtype == np.int64


def test_the_cases_are_numbered_as_in_the_paper() -> None:
    assert [(case.name, case.value) for case in Case] == [("AGREED", 1), ("DISAGREER", 2), ("MAJORITY", 3)]


def algorithm_1(matrix: list[list[int]], backwards: bool = False) -> tuple[int, Case]:
    """The paper's pseudo-code line by line; ``matrix[i][j]`` is F's label under masks i and j."""
    masks = range(len(matrix))

    def mask_pred(first: int | None) -> tuple[int, list[tuple[int, int]]]:
        predictions = [(mask, matrix[mask if first is None else first][mask]) for mask in masks]
        count = Counter(label for _, label in predictions)
        majority = min(label for label in count if count[label] == max(count.values()))
        return majority, [(mask, label) for mask, label in predictions if label != majority]

    majority, disagreers = mask_pred(None)
    if not disagreers:
        return majority, Case.AGREED
    for mask, label in reversed(disagreers) if backwards else disagreers:
        _, others = mask_pred(mask)
        if not others:
            return label, Case.DISAGREER
    return majority, Case.MAJORITY


@settings(max_examples=300, deadline=None)
@given(stored_labels())
def test_decisions_are_those_of_the_pseudo_code_in_either_order(labels: np.ndarray) -> None:
    decision = decide(labels)
    expected = [algorithm_1(matrix) for matrix in labels.tolist()]
    assert list(zip(decision.labels.tolist(), decision.cases.tolist(), strict=True)) == expected
    assert [algorithm_1(matrix, backwards=True) for matrix in labels.tolist()] == expected
    assert infer(labels).tolist() == decision.labels.tolist()


@given(stored_labels(), st.randoms(use_true_random=False))
def test_the_order_of_the_masks_and_the_other_images_do_not_matter(labels: np.ndarray, random) -> None:
    order = list(range(labels.shape[1]))
    random.shuffle(order)
    assert infer(labels[:, order][:, :, order]).tolist() == infer(labels).tolist()
    assert [int(infer(labels[image : image + 1])[0]) for image in range(len(labels))] == infer(labels).tolist()


def test_all_three_cases_in_one_batch() -> None:
    labels = np.array([[[1, 9, 9], [9, 1, 9], [9, 9, 1]], [[5, 5, 5], [5, 1, 1], [5, 1, 1]], [[5, 5, 1], [5, 1, 1], [1, 1, 1]]])
    before = labels.copy()
    decision = decide(labels)
    assert (decision.labels.tolist(), decision.cases.tolist()) == ([1, 5, 1], [1, 2, 3])
    assert (labels == before).all()


@given(stored_labels(), st.data())
def test_certify_is_algorithm_2(labels: np.ndarray, data: st.DataObject) -> None:
    for image in data.draw(st.sets(st.integers(0, len(labels) - 1)), label="unanimous images"):
        labels[image] = labels[image, 0, 0]
    truth = [data.draw(st.sampled_from(sorted(set(matrix.ravel().tolist())))) for matrix in labels]
    expected = []
    for matrix, label in zip(labels.tolist(), truth, strict=True):
        certified = True
        for first, second in itertools.product(range(len(matrix)), repeat=2):
            if matrix[first][second] != label:
                certified = False
        expected.append(certified)
    found = certify(labels, truth)
    assert found.dtype == np.bool_
    assert found.tolist() == expected
    assert infer(labels[found]).tolist() == np.array(truth)[found].tolist()


@pytest.mark.parametrize("pair", [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)], ids=str)
def test_one_wrong_pair_takes_the_certificate_away(pair: tuple[int, int]) -> None:
    labels = np.full((2, 3, 3), 7)
    labels[1, pair[0], pair[1]] = labels[1, pair[1], pair[0]] = 6
    assert certify(labels, [7, 7]).tolist() == [True, False]
    assert certify(labels, [6, 6]).tolist() == [False, False]


def test_no_image_gives_no_answer() -> None:
    nothing = np.zeros((0, 3, 3), dtype=np.int64)
    assert infer(nothing).shape == decide(nothing).cases.shape == certify(nothing, np.zeros(0, dtype=int)).shape == (0,)
    assert infer(nothing).dtype == np.int64
    assert infer_online(Recorder(nothing), 0, 3).labels.shape == (0,)
    losses, pairs = np.zeros((0, 3)), np.array([[0, 1], [0, 2], [1, 2]])
    assert certify_online(Recorder(nothing), np.zeros(0, dtype=int), 3, losses, pairs).shape == (0,)


def test_small_unsigned_labels_do_as_well() -> None:
    labels = np.array([[[255, 255], [255, 3]]], dtype=np.uint8)
    assert infer(labels).tolist() == [255]
    assert certify(np.full((1, 2, 2), 255, dtype=np.uint8), np.array([255])).tolist() == [True]


BAD_LABELS = [
    (np.zeros((3, 3), dtype=int), r"^pair_labels: shape \(3, 3\); write \[images, masks, masks\]$"),
    (np.zeros((2, 3, 4), dtype=int), r"^pair_labels: shape \(2, 3, 4\); "),
    (np.zeros((2, 0, 0), dtype=int), r"^pair_labels: shape \(2, 0, 0\); "),
    ([], r"^pair_labels: shape \(0,\); "),
    (np.zeros((2, 3, 3)), "^pair_labels: float64; write whole numbers from 0 up$"),
    (np.zeros((2, 3, 3), dtype=bool), "^pair_labels: bool; write whole numbers from 0 up$"),
    ([[["cat"]]], "^pair_labels: <U3; write whole numbers from 0 up$"),
    (np.full((2, 3, 3), -4), "^pair_labels: smallest -4; write whole numbers from 0 up$"),
    ([[[1, 2], [3, 1]]], r"^pair_labels: not symmetric; .* so \[n, i, j\] must equal \[n, j, i\]$"),
    (
        [[[1, 1], [1, 1]], [[1, 1], [1, -1]]],
        "^pair_labels: image 1 has no label under mask 1 alone; predict every single mask$",
    ),
]


@pytest.mark.parametrize(("labels", "message"), BAD_LABELS)
def test_bad_pair_labels(labels, message: str) -> None:
    for function in (infer, decide, lambda given: certify(given, np.zeros(len(given), dtype=int))):
        with pytest.raises(InputError, match=message):
            function(labels)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([1], r"^labels: int64 of shape \(1,\); write one whole number for each of the 2 images$"),
        ([[1, 1]], r"^labels: int64 of shape \(1, 2\); "),
        (1, r"^labels: int64 of shape \(\); "),
        ([1.0, 1.0], r"^labels: float64 of shape \(2,\); "),
        ([True, True], r"^labels: bool of shape \(2,\); "),
    ],
)
def test_bad_true_labels(truth, message: str) -> None:
    with pytest.raises(InputError, match=message):
        certify(np.ones((2, 3, 3), dtype=int), truth)


PARTIAL = [
    pytest.param([[1, -1], [-1, 1]], 1, Case.AGREED, id="nothing-but-the-first-round"),
    pytest.param([[5, 5, 1], [5, 1, -1], [1, -1, 1]], 1, Case.MAJORITY, id="one-contradiction"),
    pytest.param([[5, -1, 1], [-1, 1, -1], [1, -1, 1]], 1, Case.MAJORITY, id="one-contradiction-is-enough"),
    pytest.param([[5, 5, 5], [5, 1, -1], [5, -1, 1]], 5, Case.DISAGREER, id="a-whole-row"),
    # masks 0 and 1 disagree; mask 1 is unanimous, so that what is missing in the row of mask 0 cannot matter
    pytest.param([[5, 5, -1, -1], [5, 5, 5, 5], [-1, 5, 1, -1], [-1, 5, -1, 1]], 5, Case.DISAGREER, id="another-row"),
]


@pytest.mark.parametrize(("matrix", "label", "case"), PARTIAL)
def test_what_is_predicted_may_settle_the_answer(matrix: list[list[int]], label: int, case: Case) -> None:
    decision = decide([matrix])
    assert (decision.labels.tolist(), decision.cases.tolist()) == ([label], [case])


def test_an_answer_that_hangs_on_an_unpredicted_pair_is_refused() -> None:
    settled = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    with pytest.raises(InputError, match=r"^image 1: the label under masks 0 and 2 is missing, .*; predict in matrix mode$"):
        decide([settled, [[5, 5, -1], [5, 1, 1], [-1, 1, 1]]])
    with pytest.raises(InputError, match=r"^image 0: the label under masks 1 and 2 is missing"):  # mask 0 is refuted, 1 is not
        infer([[[5, 5, 1, 1], [5, 5, -1, 5], [1, -1, 1, 1], [1, 5, 1, 1]]])


def test_certify_needs_every_pair_unless_one_is_wrong() -> None:
    wrong = [[[1, 2, -1], [2, 1, -1], [-1, -1, 1]], [[1, -1, -1], [-1, 1, -1], [-1, -1, 2]]]
    assert certify(wrong, [1, 1]).tolist() == [False, False]
    with pytest.raises(InputError, match=r"^image 1: the label under masks 0 and 2 is missing, .*; predict in matrix mode$"):
        certify([wrong[0], [[1, 1, -1], [1, 1, 1], [-1, 1, 1]]], [1, 1])


WAVES = st.sampled_from([1, 2, 5, 64])


def check_waves(recorder: Recorder, wave: int) -> None:
    """Every call after the first round asks something, and no more than a wave; nothing is asked twice."""
    calls = recorder.after_the_first_round
    assert all(1 <= len(call) <= wave for call in calls)
    asked = [request for call in calls for request in call]
    assert all(first != second for _, first, second in asked)
    assert len(set(asked)) == len(asked)


@settings(max_examples=300, deadline=None)
@given(stored_labels(), WAVES)
def test_inference_online_is_that_on_stored_labels(labels: np.ndarray, wave: int) -> None:
    recorder = Recorder(labels)
    found, expected = infer_online(recorder, *labels.shape[:2], wave=wave), decide(labels)
    assert (found.labels.tolist(), found.cases.tolist()) == (expected.labels.tolist(), expected.cases.tolist())
    assert found.labels.dtype == found.cases.dtype == np.int64
    check_waves(recorder, wave)
    again = decide(recorder.partial)  # what was asked is enough for the stored form, too
    assert (again.labels.tolist(), again.cases.tolist()) == (expected.labels.tolist(), expected.cases.tolist())


def test_the_questions_of_inference_by_hand() -> None:
    labels = np.array(
        [
            [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]],  # agreed
            # masks 0 and 2 say 5: mask 0 is asked about 1, 3, 4 (which say 1) before 2, and falls with 3; mask 2 passes
            [[5, 5, 5, 1, 5], [5, 1, 5, 1, 1], [5, 5, 5, 5, 5], [1, 1, 5, 1, 1], [5, 1, 5, 1, 1]],
        ]
    )
    recorder = Recorder(labels)
    assert infer_online(recorder, 2, 5).labels.tolist() == [1, 5]
    asked = [(0, 1), (0, 3), (2, 1), (2, 3), (2, 4), (2, 0)]
    assert recorder.after_the_first_round == [[(1, *pair)] for pair in asked]
    recorder = Recorder(labels)
    infer_online(recorder, 2, 5, wave=5)  # as many of a claim as were asked of it before
    assert recorder.after_the_first_round == [[(1, 0, 1)], [(1, 0, 3)], [(1, 2, 1)], [(1, 2, 3)], [(1, 2, 4), (1, 2, 0)]]


@settings(max_examples=300, deadline=None)
@given(stored_labels(largest=2), WAVES, st.data())
def test_certificates_online_are_those_on_stored_labels(labels: np.ndarray, wave: int, data: st.DataObject) -> None:
    images, masks = labels.shape[:2]
    for image in data.draw(st.sets(st.integers(0, images - 1)), label="unanimous images"):
        labels[image] = labels[image, 0, 0]
    truth = labels[:, 0, 0].copy()
    truth[data.draw(st.integers(0, images - 1), label="image that may be wrong")] = data.draw(st.integers(0, 2))
    losses = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=images * masks, max_size=images * masks)), dtype=np.float32
    )
    losses, pairs = losses.reshape(images, masks), np.stack(np.triu_indices(masks, 1), axis=1)
    recorder = Recorder(labels)
    found = certify_online(recorder, truth, masks, losses, pairs, wave=wave)
    assert found.dtype == np.bool_
    assert found.tolist() == certify(labels, truth).tolist() == certify(recorder.partial, truth).tolist()
    check_waves(recorder, wave)
    for image in range(images):
        asked = [(first, second) for call in recorder.after_the_first_round for each, first, second in call if each == image]
        worst_first = sorted(pairs.tolist(), key=lambda pair: -losses[image, pair].sum())
        assert asked == [tuple(pair) for pair in worst_first[: len(asked)]]
        answers = [labels[image, first, second] == truth[image] for first, second in asked]
        assert all(answers[:-wave])
        assert not asked or len(asked) == len(pairs) or not all(answers)


def test_the_questions_of_a_certificate_by_hand() -> None:
    labels = np.full((3, 3, 3), 7)
    labels[0, 2, 2] = 6  # fails in the first round
    labels[1, 0, 1] = labels[1, 1, 0] = 6
    losses = np.array([[0.5, 0.5, 0.5], [1.0, 0.25, 0.5], [0.25, 0.25, 0.25]])
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    recorder = Recorder(labels)
    assert certify_online(recorder, [7, 7, 7], 3, losses, pairs, wave=2).tolist() == [False, False, True]
    assert recorder.after_the_first_round == [
        [(1, 0, 2), (2, 0, 1)],  # image 1: the sums are 1.25, 1.5 and 0.75; image 2: all are the same, so that the order stays
        [(1, 0, 1), (2, 0, 2)],
        [(2, 1, 2)],
    ]


def test_only_the_pairs_given_are_asked_for_and_the_diagonal_does_no_harm() -> None:
    labels = np.full((1, 3, 3), 7)
    recorder = Recorder(labels)
    assert certify_online(recorder, [7], 3, np.zeros((1, 3)), np.array([[0, 0], [0, 2]]), wave=9).tolist() == [True]
    assert recorder.after_the_first_round == [[(0, 0, 0)], [(0, 0, 2)]]
    recorder = Recorder(labels[:, :1, :1])
    assert certify_online(recorder, [7], 1, np.zeros((1, 1)), np.zeros((0, 2), dtype=int)).tolist() == [True]
    assert recorder.after_the_first_round == []


def test_online_forms_check_what_they_are_given() -> None:
    ask, pairs = Recorder(np.full((2, 3, 3), 7)), np.array([[0, 1]])
    for run in (
        lambda: infer_online(ask, 2, 3, wave=0),
        lambda: certify_online(ask, [7, 7], 3, np.zeros((2, 3)), pairs, wave=0),
    ):
        with pytest.raises(InputError, match=r"^wave: 0; write a whole number from 1 up"):
            run()
    with pytest.raises(InputError, match=r"^losses: shape \(2, 4\); write one loss for each image and mask, \[2, 3\]$"):
        certify_online(ask, [7, 7], 3, np.zeros((2, 4)), pairs)
    with pytest.raises(InputError, match="for each of the 2 images"):
        certify_online(ask, [7, 7, 7], 3, np.zeros((2, 3)), pairs)


PAIRS = [[7, 7, 7], [7, 7, 7], [7, 7, 7], [5, 5, 1], [7, 2, 2]]  # masks (0, 0), (0, 1), (1, 1) of each image


def test_records_by_hand() -> None:
    predictions = Predictions(
        image_ids=np.array(list("abcde")),
        labels=np.array(PAIRS, dtype=np.uint16),
        unmasked=np.array([7, 3, 7, 5, 2], dtype=np.uint16),
        margins=np.array([0.5, 0.25, 0.125, 0.0625, 9], dtype=np.float32),
        confidences=np.ones((5, 2), dtype=np.float32),
        passes=np.array([3, 3, 3, 2, 3], dtype=np.uint32),
    )
    found = records(predictions, np.array([7, 7, 7, 5, 7]), numerical_margin=0.25)
    expected = pd.DataFrame(
        {
            "image_id": list("abcde"),
            "label": [7, 7, 7, 5, 7],
            "undefended": [7, 3, 7, 5, 2],
            "defended": [7, 7, 7, 5, 2],  # the last: labels 2 and 7 tie, and mask 0, a disagreer with 7, is not unanimous
            "case": [1, 1, 1, 2, 3],
            "passes": [3, 3, 3, 2, 3],
            "pairs": [3, 3, 3, 3, 3],
            "margin": np.array([0.5, 0.25, 0.125, 0.0625, 9], dtype=np.float32),
            "two_mask_correct": [True, True, True, False, False],
            "near_flip": [False, False, True, False, False],  # a margin of just numerical_margin is a decision
            "certified": [True, True, False, False, False],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert {name: kind.kind for name, kind in found.dtypes.drop("image_id").items()} == dict.fromkeys(
        ("label", "undefended", "defended", "case", "passes", "pairs"), "i"
    ) | {"margin": "f"} | dict.fromkeys(("two_mask_correct", "near_flip", "certified"), "b")
    assert records(predictions, np.array([7, 7, 7, 5, 7]), numerical_margin=0.0)["certified"].sum() == 3


def test_records_want_a_label_for_each_image() -> None:
    one = Predictions(
        np.array(["a"]),
        np.zeros((1, 3), np.uint16),
        np.zeros(1, np.uint16),
        np.ones(1, np.float32),
        np.ones((1, 2), np.float32),
        np.full(1, 3, np.uint32),
    )
    with pytest.raises(InputError, match="for each of the 1 images"):
        records(one, np.array([1, 2]), numerical_margin=0.0)


def outcome(
    tiny: World, table: np.ndarray, truth: int, patches: list[Size] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which images are certified, are answered right without an attack, and are answered wrong under some attack."""
    predicted = table[tiny.shown]
    right = infer(predicted) == truth
    return certify(predicted, np.full(len(predicted), truth)), right, tiny.reached(~right, patches)


@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize("name", WORLDS)
def test_no_attack_on_a_certified_image_succeeds(name: str, fill: int) -> None:
    tiny = world(name, fill)
    assert tiny.covers_all(tiny.patches)
    found: Counter[str] = Counter()
    for seed in range(2):
        for truth in range(SHADES):
            for kind, table in classifiers(tiny, truth, 10 * seed + truth).items():
                certified, right, broken = outcome(tiny, table, truth)
                assert right[certified].all()
                assert not broken[certified].any(), (kind, truth, np.flatnonzero(certified & broken)[:3])
                found[f"certified {kind}"] += int(certified.sum())
                found["broken"] += int((right & broken).sum())
    # the test could have failed: there are certified images for every kind, and attacks do break others
    assert all(found[f"certified {kind}"] > 0 for kind in classifiers(tiny, 0, 0)), found
    assert found["broken"] > 0


@pytest.mark.parametrize("patch", [(1, 1), (1, 2), (2, 1)], ids=str)
def test_a_patch_smaller_than_the_estimate_does_not_succeed_either(patch: Size) -> None:
    tiny = world("3x3-2x2")
    assert tiny.masks.covers(patch)
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, 100 + truth).values():
            certified, _, broken = outcome(tiny, table, truth, [patch])
            assert certified.any()
            assert not (certified & broken).any()


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("figure-3-left", (1, 3)),
        ("figure-3-right", (1, 3)),
        ("row-two-masks", (1, 4)),  # here the last step is shorter than the stride, so that a patch of 3 is still covered
        ("row-one-pixel", (1, 2)),
        ("column", (3, 1)),
        ("2x4", (2, 3)),
        ("3x3-one-pixel", (1, 2)),
        ("3x3-2x2", (2, 3)),
        ("3x3-rows-and-columns", (2, 2)),
        ("row-two-patches", (1, 2)),
        ("2x3-two-patches", (2, 1)),
    ],
)
def test_a_patch_that_the_masks_do_not_cover_breaks_certified_images(name: str, patch: Size) -> None:
    tiny = world(name)
    assert not tiny.masks.covers(patch)
    outcomes = [
        outcome(tiny, table, truth, [patch]) for truth in range(SHADES) for table in classifiers(tiny, truth, truth).values()
    ]
    assert any((certified & broken).any() for certified, _, broken in outcomes)


@pytest.mark.parametrize("name", ["row-two-patches", "2x3-two-patches"])
def test_masks_for_one_patch_do_not_withstand_two(name: str) -> None:
    tiny = world(name)
    single = World(MaskSet(tiny.masks.image_size, tiny.masks.grids), tiny.patches)
    broken_ones = 0
    for truth in range(SHADES):
        for table in classifiers(single, truth, truth).values():
            predicted = table[single.shown]
            right, certified = infer(predicted) == truth, certify(predicted, np.full(len(predicted), truth))
            assert not single.reached(~right)[certified].any()
            broken_ones += int(tiny.reached(~right)[certified].sum())
    assert broken_ones > 0


@pytest.mark.parametrize("name", ["figure-3-right", "2x3", "3x3-2x2", "2x4-any-two-pixels-in-a-line"])
def test_one_mask_correctness_or_a_mere_vote_would_not_do(name: str) -> None:
    tiny = world(name)
    by_one_mask = by_vote = 0
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, truth).values():
            certified, _, broken = outcome(tiny, table, truth)
            one_mask = table[tiny.shown].diagonal(axis1=1, axis2=2)
            by_one_mask += int(((one_mask == truth).all(axis=1) & broken).sum())
            votes = (one_mask[:, :, None] == np.arange(SHADES)).sum(axis=1).argmax(axis=1)
            by_vote += int((certified & tiny.reached(votes != truth)).sum())
    assert by_one_mask > 0
    assert by_vote > 0


class Table(torch.nn.Module):
    """A classifier that looks the whole image up."""

    def __init__(self, labels: np.ndarray, worth: np.ndarray) -> None:
        super().__init__()
        self.labels, self.worth = torch.from_numpy(labels), torch.from_numpy(worth)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(self.labels[images.flatten(1).long() @ self.worth], SHADES).float()


@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize("name", ["figure-3-right", "column", "2x3", "2x3-any-two-pixels-in-a-line", "row-two-patches"])
def test_the_engine_the_certificate_and_the_defense_together(name: str, fill: int) -> None:
    tiny = world(name, fill)
    images = torch.from_numpy(tiny.images.reshape(-1, 1, *tiny.masks.image_size)).float()
    broken_ones = 0
    for truth, (kind, table) in enumerate(itertools.islice(classifiers(tiny, 2, 5).items(), 1, 3)):
        predicted = pair_labels(Table(table, tiny.worth), images, tiny.masks, fill=float(fill), batch_size=500 + truth)
        assert (predicted == table[tiny.shown]).all(), kind
        certified, right = certify(predicted, np.full(len(images), 2)), infer(predicted) == 2
        assert certified.any()
        broken = tiny.reached(~right)
        assert not broken[certified].any()
        broken_ones += int((right & broken).sum())
    assert broken_ones > 0
