"""Challenger masking: by hand, against the rules of the game, and against every attack there is on tiny images."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses import double_masking
from patchcert.defenses.asking import UNPREDICTED
from patchcert.defenses.challenger import decide, infer, infer_online
from patchcert.evaluation import double_masking as double_masking_evaluation
from patchcert.evaluation.challenger import records
from patchcert.masks import MaskSet, Size
from patchcert.predictions import Predictions

from .worlds import SHADES, WORLDS, Recorder, World, classifiers, stored_labels, world


@pytest.mark.parametrize(
    ("matrix", "label", "games"),
    [
        pytest.param([[4]], 4, 0, id="one-mask"),
        pytest.param([[1, 9, 9], [9, 1, 9], [9, 9, 1]], 1, 0, id="agreed-whatever-two-masks-say"),
        pytest.param([[5, 5, 5], [5, 1, 1], [5, 1, 1]], 5, 2, id="champion-wins-all"),
        pytest.param([[5, 1, 5], [1, 1, 1], [5, 1, 1]], 1, 1, id="champion-loses"),
        pytest.param([[1, 1, 5], [1, 1, 5], [5, 5, 5]], 5, 2, id="last-mask-beats-both"),
        pytest.param([[5, 9, 9], [9, 1, 9], [9, 9, 1]], 5, 2, id="third-label-keeps-the-champion"),
        pytest.param([[1, 7], [7, 2]], 1, 1, id="tie-of-two"),
        pytest.param([[1, 2], [2, 2]], 2, 1, id="tie-of-two-and-the-larger-label-wins"),
        pytest.param([[0, 1, 0], [1, 1, 2], [0, 2, 2]], 2, 2, id="each-beats-the-one-before"),
        # mask 1 beats 0, mask 2 (which agrees with 0) beats 1, and 0 has lost already, so that 3 is next
        pytest.param([[5, 1, 5, 1], [1, 1, 5, 1], [5, 5, 5, 5], [1, 1, 5, 1]], 5, 3, id="the-loser-s-label-comes-back"),
        pytest.param([[5, 1, 5, 1], [1, 1, 5, 1], [5, 5, 5, 1], [1, 1, 1, 1]], 1, 3, id="and-loses-again"),
        # the majority is no judge here: one mask of four wins
        pytest.param([[1, 1, 1, 8], [1, 1, 1, 8], [1, 1, 1, 8], [8, 8, 8, 8]], 8, 3, id="one-against-three"),
    ],
)
def test_by_hand(matrix: list[list[int]], label: int, games: int) -> None:
    decision = decide([matrix])
    assert (decision.labels.tolist(), decision.games.tolist()) == ([label], [games])
    assert infer([matrix]).tolist() == [label]
    assert decision.labels.dtype == decision.games.dtype == np.int64


def rules_of_the_game(matrix: list[list[int]]) -> tuple[int, list[tuple[int, int]]]:
    """The answer of one image and the games that lead to it."""
    alone = [row[mask] for mask, row in enumerate(matrix)]
    champion, in_the_game, games = 0, set(range(len(matrix))), []
    while rivals := [mask for mask in sorted(in_the_game) if alone[mask] != alone[champion]]:
        games.append((champion, rivals[0]))
        if matrix[champion][rivals[0]] == alone[rivals[0]]:
            loser, champion = champion, rivals[0]
        else:
            loser = rivals[0]
        in_the_game.remove(loser)
    return alone[champion], games


@settings(max_examples=300, deadline=None)
@given(stored_labels())
def test_answers_follow_the_rules_and_ask_for_no_more_than_the_games(labels: np.ndarray) -> None:
    masks = labels.shape[1]
    expected = [rules_of_the_game(matrix) for matrix in labels.tolist()]
    decision = decide(labels)
    assert decision.labels.tolist() == infer(labels).tolist() == [label for label, _ in expected]
    assert decision.games.tolist() == [len(games) for _, games in expected]
    assert (decision.games <= masks - 1).all()
    recorder = Recorder(labels)
    online = infer_online(recorder, *labels.shape[:2])
    assert (online.labels.tolist(), online.games.tolist()) == (decision.labels.tolist(), decision.games.tolist())
    calls = recorder.after_the_first_round
    for image, (_, games) in enumerate(expected):
        assert [(first, second) for call in calls for each, first, second in call if each == image] == games
    assert all(len({image for image, _, _ in call}) == len(call) for call in calls)
    assert len(calls) == decision.games.max()  # one game of every undecided image a call
    partial = decide(recorder.partial)
    assert (partial.labels.tolist(), partial.games.tolist()) == (decision.labels.tolist(), decision.games.tolist())


@given(stored_labels(largest=1), st.data())
def test_a_mask_that_never_loses_gives_the_answer(labels: np.ndarray, data: st.DataObject) -> None:
    mask = data.draw(st.integers(0, labels.shape[1] - 1))
    labels[:, mask, :] = labels[:, :, mask] = 9
    assert infer(labels).tolist() == [9] * len(labels)


def test_a_game_on_an_unpredicted_pair_is_refused() -> None:
    partial = [[5, 5, UNPREDICTED], [5, 1, UNPREDICTED], [UNPREDICTED, UNPREDICTED, 1]]
    agreed = [[1, UNPREDICTED, UNPREDICTED], [UNPREDICTED, 1, UNPREDICTED], [UNPREDICTED, UNPREDICTED, 1]]
    assert infer([agreed]).tolist() == [1]
    with pytest.raises(InputError, match=r"^image 1: the label under masks 0 and 2 is missing, .*; predict in matrix mode$"):
        infer([agreed, partial])


def test_what_is_no_pair_labels_is_refused() -> None:
    with pytest.raises(InputError, match=r"^pair_labels: not symmetric"):
        infer([[[1, 2], [3, 1]]])
    with pytest.raises(InputError, match=r"^pair_labels: shape \(3,\)"):
        infer([1, 2, 3])


def test_no_image_gives_no_answer() -> None:
    decision = decide(np.zeros((0, 3, 3), dtype=np.int64))
    assert decision.labels.shape == decision.games.shape == (0,)


def test_records_by_hand() -> None:
    pairs = [[7, 7, 7], [7, 7, 7], [5, 1, 1], [7, 2, 2]]  # masks (0, 0), (0, 1), (1, 1) of each image
    predictions = Predictions(
        image_ids=np.array(list("abcd")),
        labels=np.array(pairs, dtype=np.uint16),
        unmasked=np.array([3, 7, 5, 2], dtype=np.uint16),
        margins=np.array([0.5, 0.125, 0.0625, 9], dtype=np.float32),
        confidences=np.ones((4, 2), dtype=np.float32),
        passes=np.array([3, 3, 3, 3], dtype=np.uint32),
    )
    truth = np.array([7, 7, 5, 7])
    found = records(predictions, truth, numerical_margin=0.25)
    assert found["defended"].tolist() == [7, 7, 1, 2]
    assert found["games"].tolist() == [0, 0, 1, 1]
    assert found["certified"].tolist() == [True, False, False, False]
    assert found["near_flip"].tolist() == [False, True, False, False]
    other = double_masking_evaluation.records(predictions, truth, numerical_margin=0.25)
    assert list(found.columns) == [{"case": "games"}.get(name, name) for name in other.columns]
    pd.testing.assert_frame_equal(found.drop(columns=["defended", "games"]), other.drop(columns=["defended", "case"]))


def outcome(
    tiny: World, table: np.ndarray, truth: int, patches: list[Size] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which images are certified, are answered right without an attack, and are answered wrong under some attack."""
    predicted = table[tiny.shown]
    right = infer(predicted) == truth
    return double_masking.certify(predicted, np.full(len(predicted), truth)), right, tiny.reached(~right, patches)


@pytest.mark.parametrize("name", WORLDS)
def test_no_attack_on_a_certified_image_succeeds(name: str) -> None:
    tiny = world(name)
    found: Counter[str] = Counter()
    for truth in range(SHADES):
        for kind, table in classifiers(tiny, truth, truth).items():
            certified, right, broken = outcome(tiny, table, truth)
            assert right[certified].all()
            assert not broken[certified].any(), (kind, truth, np.flatnonzero(certified & broken)[:3])
            found[f"certified {kind}"] += int(certified.sum())
            found["broken"] += int((right & broken).sum())
    assert all(found[f"certified {kind}"] > 0 for kind in classifiers(tiny, 0, 0)), found
    assert found["broken"] > 0


@pytest.mark.parametrize(
    ("name", "patch"),
    [("figure-3-left", (1, 3)), ("2x4", (2, 3)), ("3x3-2x2", (2, 3)), ("row-two-patches", (1, 2))],
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
            certified, right, broken = outcome(single, table, truth)
            assert not (certified & broken).any()
            broken_ones += int(tiny.reached(~right)[certified].sum())
    assert broken_ones > 0


@pytest.mark.parametrize("name", ["figure-3-right", "2x3", "3x3-2x2"])
def test_one_mask_correctness_would_not_do(name: str) -> None:
    tiny = world(name)
    found = 0
    for truth in range(SHADES):
        for table in classifiers(tiny, truth, truth).values():
            _, _, broken = outcome(tiny, table, truth)
            found += int(((table[tiny.shown].diagonal(axis1=1, axis2=2) == truth).all(axis=1) & broken).sum())
    assert found > 0
