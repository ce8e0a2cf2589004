"""Algorithms 1 and 2: by hand, against the paper's pseudo-code, and against every attack there is on tiny images."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses.double_masking import Case, certify, decide, infer, records
from patchcert.masks import MaskSet, Size, mask_set
from patchcert.predict import pair_labels
from patchcert.predictions import Predictions

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


@st.composite
def stored_labels(draw: st.DrawFn) -> np.ndarray:
    """Symmetric labels [N, K, K]; some masks are unanimous, so that all three cases come up."""
    images, masks = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    labels = np.array(draw(st.lists(st.integers(0, 3), min_size=images * masks**2, max_size=images * masks**2)))
    labels = labels.reshape(images, masks, masks)
    labels = np.triu(labels) + np.triu(labels, 1).transpose(0, 2, 1)
    for image in range(images):
        for mask in draw(st.lists(st.integers(0, masks - 1), max_size=2)):
            labels[image, mask, :] = labels[image, :, mask] = draw(st.integers(0, 3))
    return labels


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


def test_records_by_hand() -> None:
    pairs = [[7, 7, 7], [7, 7, 7], [7, 7, 7], [5, 5, 1], [7, 2, 2]]  # masks (0, 0), (0, 1), (1, 1) of each image
    predictions = Predictions(
        np.array(list("abcde")),
        np.array(pairs, dtype=np.uint16),
        np.array([7, 3, 7, 5, 2], dtype=np.uint16),
        np.array([0.5, 0.25, 0.125, 0.0625, 9], dtype=np.float32),
    )
    found = records(predictions, np.array([7, 7, 7, 5, 7]), numerical_margin=0.25)
    expected = pd.DataFrame(
        {
            "image_id": list("abcde"),
            "label": [7, 7, 7, 5, 7],
            "undefended": [7, 3, 7, 5, 2],
            "defended": [7, 7, 7, 5, 2],  # the last: labels 2 and 7 tie, and mask 0, a disagreer with 7, is not unanimous
            "case": [1, 1, 1, 2, 3],
            "margin": np.array([0.5, 0.25, 0.125, 0.0625, 9], dtype=np.float32),
            "two_mask_correct": [True, True, True, False, False],
            "near_flip": [False, False, True, False, False],  # a margin of just numerical_margin is a decision
            "certified": [True, True, False, False, False],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert {name: kind.kind for name, kind in found.dtypes.drop("image_id").items()} == {
        "label": "i", "undefended": "i", "defended": "i", "case": "i", "margin": "f"
    } | dict.fromkeys(("two_mask_correct", "near_flip", "certified"), "b")  # fmt: skip
    assert records(predictions, np.array([7, 7, 7, 5, 7]), numerical_margin=0.0)["certified"].sum() == 3


def test_records_want_a_label_for_each_image() -> None:
    one = Predictions(np.array(["a"]), np.zeros((1, 3), np.uint16), np.zeros(1, np.uint16), np.ones(1, np.float32))
    with pytest.raises(InputError, match="for each of the 1 images"):
        records(one, np.array([1, 2]), numerical_margin=0.0)


# The brute force. Pixels are 0, 1 or 2; a classifier is a table that gives each of the 3 ** (H W) images any label at all.

SHADES = 3


@dataclass(frozen=True)
class World:
    """All images of one size, and a mask set on them."""

    masks: MaskSet
    fill: int = 0

    @cached_property
    def images(self) -> np.ndarray:
        """Every image, [U, H W]; an image's row is its number in base 3."""
        pixels = self.masks.image_size[0] * self.masks.image_size[1]
        return np.array(list(itertools.product(range(SHADES), repeat=pixels)))

    @cached_property
    def worth(self) -> np.ndarray:
        """What a shade at each pixel adds to an image's number."""
        return SHADES ** np.arange(self.images.shape[1])[::-1]

    def region(self, top: int, left: int, size: Size) -> np.ndarray:
        """A rectangle as bool [H W]."""
        inside = np.zeros(self.masks.image_size, dtype=bool)
        inside[top : top + size[0], left : left + size[1]] = True
        return inside.ravel()

    @cached_property
    def shown(self) -> np.ndarray:
        """Numbers of what the classifier sees of every image under every two masks, [U, K, K]."""
        regions = [
            self.region(top, left, self.masks.mask_size)
            for top, left in itertools.product(self.masks.row_starts, self.masks.column_starts)
        ]
        found = np.empty((len(self.images), len(regions), len(regions)), dtype=np.int64)
        for (first, one), (second, other) in itertools.product(enumerate(regions), repeat=2):
            found[:, first, second] = np.where(one | other, self.fill, self.images) @ self.worth
        return found


@lru_cache(maxsize=4)
def attacks(tiny: World, patch: Size) -> np.ndarray:
    """Numbers of every image with every patch content at every position, [U, positions * contents]."""
    contents = np.array(list(itertools.product(range(SHADES), repeat=patch[0] * patch[1])))
    attacked = []
    for top in range(tiny.masks.image_size[0] - patch[0] + 1):
        for left in range(tiny.masks.image_size[1] - patch[1] + 1):
            inside = tiny.region(top, left, patch)
            attacked.append(((tiny.images * ~inside) @ tiny.worth)[:, None] + contents @ tiny.worth[inside])
    return np.concatenate(attacked, axis=1).astype(np.int32)


@cache
def world(image: Size, patch: Size, budget: Size, fill: int = 0) -> World:
    return World(mask_set(image, patch, budget), fill)


def classifiers(tiny: World, truth: int, seed: int) -> dict[str, np.ndarray]:
    """Tables of labels [U]: random ones that favour the true label, and ones made to be fooled wherever they may be."""
    random, count = np.random.default_rng(seed), len(tiny.images)
    wrong = (truth + 1 + random.integers(0, SHADES - 1, count)) % SHADES
    target = (truth + 1 + seed % (SHADES - 1)) % SHADES
    tables = {f"biased-{share}": np.where(random.random(count) < share, truth, wrong) for share in (0.8, 0.95)}
    # right only where the certificates of a few images force it to be
    forced = np.zeros(count, dtype=bool)
    forced[tiny.shown[random.choice(count, 6, replace=False)]] = True
    tables["cornered-to-one-label"] = np.where(forced, truth, target)
    tables["cornered-to-any-label"] = np.where(forced, truth, wrong)
    tables["cornered-or-right"] = np.where(forced | (random.random(count) < 0.5), truth, target)
    # a trigger: one bright pixel that is seen fools it
    tables["trigger"] = np.where((tiny.images == SHADES - 1).any(axis=1), target, truth)
    return tables


def outcome(tiny: World, table: np.ndarray, truth: int, patch: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which images are certified, are answered right without an attack, and are answered wrong under some attack."""
    predicted = table[tiny.shown]
    certified = certify(predicted, np.full(len(predicted), truth))
    right = infer(predicted) == truth
    return certified, right, ~right[attacks(tiny, patch)].all(axis=1)


WORLDS = {
    "figure-3-left": ((1, 6), (1, 2), (1, 5)),
    "figure-3-right": ((1, 6), (1, 2), (1, 3)),
    "row-two-masks": ((1, 6), (1, 2), (1, 2)),
    "row-one-pixel": ((1, 6), (1, 1), (1, 6)),
    "row-of-seven": ((1, 7), (1, 3), (1, 3)),
    "column": ((6, 1), (2, 1), (3, 1)),
    "2x3": ((2, 3), (1, 2), (2, 2)),
    "2x4": ((2, 4), (2, 2), (1, 3)),
    "3x3-one-pixel": ((3, 3), (1, 1), (3, 3)),
    "3x3-1x2": ((3, 3), (1, 2), (2, 2)),
    "3x3-2x2": ((3, 3), (2, 2), (2, 2)),
}


@pytest.mark.parametrize("fill", [0, 1])
@pytest.mark.parametrize("name", WORLDS)
def test_no_attack_on_a_certified_image_succeeds(name: str, fill: int) -> None:
    tiny = world(*WORLDS[name], fill)
    patch = tiny.masks.patch_size
    assert tiny.masks.covers(patch)
    found: Counter[str] = Counter()
    for seed in range(2):
        for truth in range(SHADES):
            for kind, table in classifiers(tiny, truth, 10 * seed + truth).items():
                certified, right, broken = outcome(tiny, table, truth, patch)
                assert right[certified].all()
                assert not broken[certified].any(), (kind, truth, np.flatnonzero(certified & broken)[:3])
                found[f"certified {kind}"] += int(certified.sum())
                found["broken"] += int((right & broken).sum())
    # the test could have failed: there are certified images for every kind, and attacks do break others
    assert all(found[f"certified {kind}"] > 0 for kind in classifiers(tiny, 0, 0)), found
    assert found["broken"] > 0


@pytest.mark.parametrize("patch", [(1, 1), (1, 2), (2, 1)], ids=str)
def test_a_patch_smaller_than_the_estimate_does_not_succeed_either(patch: Size) -> None:
    tiny = world((3, 3), (2, 2), (2, 2))
    assert tiny.masks.covers(patch)
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, 100 + truth).values():
            certified, _, broken = outcome(tiny, table, truth, patch)
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
    ],
)
def test_a_patch_that_the_masks_do_not_cover_breaks_certified_images(name: str, patch: Size) -> None:
    tiny = world(*WORLDS[name])
    assert not tiny.masks.covers(patch)
    outcomes = [
        outcome(tiny, table, truth, patch) for truth in range(SHADES) for table in classifiers(tiny, truth, truth).values()
    ]
    assert any((certified & broken).any() for certified, _, broken in outcomes)


@pytest.mark.parametrize("name", ["figure-3-right", "2x3", "3x3-2x2"])
def test_one_mask_correctness_or_a_mere_vote_would_not_do(name: str) -> None:
    tiny = world(*WORLDS[name])
    attacked = attacks(tiny, tiny.masks.patch_size)
    by_one_mask = by_vote = 0
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, truth).values():
            certified, _, broken = outcome(tiny, table, truth, tiny.masks.patch_size)
            one_mask = table[tiny.shown].diagonal(axis1=1, axis2=2)
            by_one_mask += int(((one_mask == truth).all(axis=1) & broken).sum())
            votes = (one_mask[:, :, None] == np.arange(SHADES)).sum(axis=1).argmax(axis=1)
            by_vote += int((certified & (votes[attacked] != truth).any(axis=1)).sum())
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
@pytest.mark.parametrize("name", ["figure-3-right", "column", "2x3"])
def test_the_engine_the_certificate_and_the_defense_together(name: str, fill: int) -> None:
    tiny = world(*WORLDS[name], fill)
    images = torch.from_numpy(tiny.images.reshape(-1, 1, *tiny.masks.image_size)).float()
    broken_ones = 0
    for truth, (kind, table) in enumerate(itertools.islice(classifiers(tiny, 2, 5).items(), 1, 3)):
        predicted = pair_labels(Table(table, tiny.worth), images, tiny.masks, fill=float(fill), batch_size=500 + truth)
        assert (predicted == table[tiny.shown]).all(), kind
        certified, right = certify(predicted, np.full(len(images), 2)), infer(predicted) == 2
        assert certified.any()
        resists = right[attacks(tiny, tiny.masks.patch_size)].all(axis=1)
        assert resists[certified].all()
        broken_ones += int((right & ~resists).sum())
    assert broken_ones > 0
