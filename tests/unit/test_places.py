"""Places and the bounds there: by enumeration of positions, and against every attack there is on tiny images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchcert import InputError
from patchcert.defenses.attackers import attainable, worst_class_recall, worst_metric
from patchcert.defenses.multilabel import Bounds, Extrema, certify, certify_located, histograms, infer
from patchcert.defenses.places import at_places, covering, minimal, places
from patchcert.masks import MaskSet, Size, mask_set, multi_patch_set, shape_set

from .scored import LEVELS, OVERLAPPING, WORLDS, ratio, scored, tables
from .worlds import SHADES, World, footprints


def members(sets: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(each).tolist()) for each in sets]


def test_places_by_hand() -> None:
    masks = OVERLAPPING.masks  # five masks of three pixels, one pixel apart
    expected = [{0}, {0, 1}, {1, 2}, {2, 3}, {3, 4}, {4}]
    assert members(covering(masks, (1, 2))[0]) == expected
    assert members(places(masks, (1, 2))) == [{0}, {1, 2}, {2, 3}, {4}]
    assert members(places(masks, (1, 1))) == [{0}, {1, 2, 3}, {4}]
    assert members(places(masks, (1, 3))) == [{0}, {1}, {2}, {3}, {4}]


@pytest.mark.parametrize(
    ("masks", "patch"),
    [
        (mask_set((5, 6), (2, 3), (2, 2)), (2, 3)),
        (mask_set((5, 6), (3, 3), (3, 4)), (1, 2)),
        (shape_set((4, 6), [(1, 4), (2, 2), (4, 1)], (3, 2)), (1, 2)),
    ],
)
def test_places_are_the_smallest_sets_of_all_positions(masks: MaskSet, patch: Size) -> None:
    found = covering(masks, patch)
    assert found.shape == (masks.image_size[0] - patch[0] + 1, masks.image_size[1] - patch[1] + 1, len(masks))
    every = []
    for (top, left), hidden in zip(np.ndindex(found.shape[:2]), members(found.reshape(-1, len(masks))), strict=True):
        pixels = {(row, column) for row in range(top, top + patch[0]) for column in range(left, left + patch[1])}
        boxes = enumerate(masks.boxes.tolist())
        assert hidden == {mask for mask, (t, b, le, r) in boxes if all(t <= y < b and le <= x < r for y, x in pixels)}
        every.append(frozenset(hidden))
    chosen = [frozenset(each) for each in members(places(masks, patch))]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) == {each for each in every if not any(other < each for other in every)}


@pytest.mark.parametrize("pixels", [32, 64, 224, 448])
@pytest.mark.parametrize("budget", [3, 6])
def test_masks_made_for_the_patch_are_places_themselves(pixels: int, budget: int) -> None:
    patch = (pixels // 7, pixels // 7)
    masks = mask_set((pixels, pixels), patch, (budget, budget))
    assert members(places(masks, patch)) == [{mask} for mask in range(len(masks))]


@given(scored(), st.data())
def test_bounds_at_places(given_scores: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    """Places are at least as tight as masks, and minimal sets lose nothing, for every attacker."""
    scores, labels = given_scores
    extrema = Extrema.from_pairs(scores)
    masks = scores.shape[1]
    one = st.lists(st.booleans(), min_size=masks, max_size=masks).filter(any)
    sets = np.array(data.draw(st.lists(one, min_size=1, max_size=6)))
    every, fewest = at_places(extrema, sets), at_places(extrema, minimal(sets))
    threshold = data.draw(st.sampled_from(LEVELS.tolist()))
    marks = [(extrema.lowest <= threshold), (extrema.highest > threshold)]
    for kind, found in ((True, every.lowest <= threshold), (False, every.highest > threshold)):
        expected = [[marks[not kind][image][each].all(axis=0) for each in sets] for image in range(len(labels))]
        assert (found == np.array(expected)).all()
    clean = infer(extrema, threshold)
    for attacker in ("worst_case", "fn", "fp"):
        tight, same = (certify_located(bounds, labels, threshold, attacker) for bounds in (every, fewest))
        assert np.array_equal(tight, same)
        assert (tight.fn >= (labels & ~clean).sum(axis=1)).all()
        assert (tight.fp >= (~labels & clean).sum(axis=1)).all()
    loose, tight = (certify_located(bounds, labels, threshold, "worst_case") for bounds in (extrema, every))
    assert (tight.fn <= loose.fn).all()
    assert (tight.fp <= loose.fp).all()
    assert (certify(every, labels, threshold).tp >= certify(extrema, labels, threshold).tp).all()
    assert np.array_equal(attainable(every, labels, threshold).pairs, attainable(fewest, labels, threshold).pairs)
    np.testing.assert_equal(*(worst_class_recall(bounds, labels, threshold).value for bounds in (every, fewest)))


def test_bad_places() -> None:
    masks = mask_set((6, 6), (2, 2), (2, 2))
    with pytest.raises(InputError, match=r"^patch_size: \(5, 5\) is not covered by the mask set; write a smaller one"):
        places(masks, (5, 5))
    with pytest.raises(InputError, match=r"^mask_set: it is for 2 patches at once; "):
        covering(multi_patch_set(masks, 2), (2, 2))
    extrema = Extrema.from_pairs(np.full((1, 3, 3, 1), 0.5))
    for sets, message in [
        (
            np.ones((2, 4), dtype=bool),
            r"^covering_sets: bool of shape \(2, 4\); write true or false for each mask, \[places, 3\]$",
        ),
        (np.ones((2, 3), dtype=int), "^covering_sets: int64 of shape"),
        (np.ones((0, 3), dtype=bool), "^covering_sets: bool of shape"),
        (np.array([[True, False, False], [False] * 3]), "^covering_sets: place 1 has no mask; "),
    ]:
        with pytest.raises(InputError, match=message):
            at_places(extrema, sets)


CLASSES = 3
LABELS = [np.array(bits, dtype=bool) for bits in np.ndindex((2,) * CLASSES)]
CUT = float(LEVELS[3])


def attacked(tiny: World, wrong: np.ndarray, patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image the number of its group, images alike outside the patch, and what each group can be turned into.

    Args:
        tiny: the world.
        wrong: which classes are answered wrongly on each image, bool [U, C].
        patch: the pixels of the patch, bool [H W].
    """
    group = np.where(patch, 0, tiny.images) @ tiny.worth
    reachable = np.zeros((len(tiny.images), 2**CLASSES), dtype=bool)  # [group, which classes are wrong, as bits]
    reachable[group, wrong @ (1 << np.arange(CLASSES))] = True
    return group, reachable


BITS = (np.arange(2**CLASSES)[:, None] >> np.arange(CLASSES)) & 1 > 0


@pytest.mark.parametrize("kind", ["random", "trigger"])
@pytest.mark.parametrize("name", WORLDS)
def test_no_attack_at_a_place_does_more_than_the_bounds_there(name: str, kind: str) -> None:
    """For every image, position and content; for the trigger, wherever few masks hide the patch, no less either."""
    tiny, met, strict = WORLDS[name], 0, 0
    for seed, truth in enumerate(LABELS):
        table = tables(tiny, truth, seed)[kind]
        extrema = Extrema.from_pairs(table[tiny.shown])
        labels = np.broadcast_to(truth, table.shape)
        wrong = infer(extrema, CUT) != truth
        worst = certify_located(extrema, labels, CUT, "worst_case")
        best = np.zeros((2, len(table)), dtype=int)
        for patch_size in tiny.patches:
            sets = covering(tiny.masks, patch_size).reshape(-1, len(tiny.masks))
            bounds = at_places(extrema, sets)
            marked = np.where(truth, bounds.lowest <= CUT, bounds.highest > CUT)  # [U, positions, C]
            for place, patch in enumerate(footprints(tiny.masks.image_size, (patch_size,), 1)):
                group, reachable = attacked(tiny, wrong, patch)
                found = reachable[group]  # [U, sets of wrong classes]
                beyond = (BITS & ~marked[:, place, None]).any(axis=2)
                assert not (found & beyond).any()
                clear = ~((tiny.images == SHADES - 1) & ~patch).any(axis=1)
                if kind == "trigger" and 2 * sets[place].sum() < len(tiny.masks):
                    full = marked[:, place] @ (1 << np.arange(CLASSES))
                    assert found[clear, full[clear]].all()
                    met += int((full[clear] > 0).sum())
                for each, wanted in zip(best, (truth, ~truth), strict=True):
                    np.maximum(each, np.where(found, (BITS & wanted).sum(axis=1), 0).max(axis=1), out=each)
        assert (best[0] <= worst.fn).all()
        assert (best[1] <= worst.fp).all()
        strict += int(((best[0] == worst.fn) & (best[0] > 0)).sum() + ((best[1] == worst.fp) & (best[1] > 0)).sum())
    assert strict > 0
    assert (met > 0) == (kind == "trigger" and 2 * covering(tiny.masks, tiny.patches[0]).sum(axis=2).min() < len(tiny.masks))


def test_what_attacks_make_of_a_data_set_is_what_the_bounds_say() -> None:
    """Three images; every choice of a position and a content in each, against the worst metric."""
    tiny, random = OVERLAPPING, np.random.default_rng(5)
    sets = places(tiny.masks, tiny.patches[0])
    tighter = dict.fromkeys(("places", "joint"), 0)
    for seed in range(40):
        truth = LABELS[random.integers(1, len(LABELS))]
        table = tables(tiny, truth, seed)["trigger"]
        dim = np.flatnonzero(~(tiny.images == SHADES - 1).any(axis=1))
        chosen = random.choice(dim, 3, replace=False)
        extrema = Extrema.from_pairs(table[tiny.shown])
        labels = np.array([truth] * 3)
        wrong = infer(extrema, CUT) != truth
        outcomes: list[set[tuple[int, int]]] = [set() for _ in chosen]
        for patch in footprints(tiny.masks.image_size, tiny.patches, 1):
            group, reachable = attacked(tiny, wrong, patch)
            for pairs, image in zip(outcomes, chosen, strict=True):
                for bits in BITS[reachable[group[image]]]:
                    pairs.add((int((bits & truth).sum()), int((bits & ~truth).sum())))
        images = Bounds(lowest=extrema.lowest[chosen], highest=extrema.highest[chosen])
        bounds = at_places(images, sets)
        positives = int(labels.sum())
        for metric in ("precision", "recall", "f1"):
            values = [ratio(metric, positives, sum(pair[0] for pair in each), sum(pair[1] for pair in each)) for each in
                      choices(outcomes)]  # fmt: skip
            least = min((value for value in values if value is not None), default=None)
            found = worst_metric(bounds, labels, CUT, metric).value
            if np.isnan(found):  # nothing is left to divide by when every class that can fail does
                assert metric == "precision"
                continue
            assert found == pytest.approx(least, abs=1e-15)
            tighter["places"] += worst_metric(images, labels, CUT, metric).value < found
        fn, fp = histograms(bounds, labels, CUT)
        apart = ratio("f1", positives, int(fn.max(axis=1).sum()), int(fp.max(axis=1).sum()))
        tighter["joint"] += apart is not None and apart < worst_metric(bounds, labels, CUT, "f1").value
    assert min(tighter.values()) > 0, tighter


def choices(outcomes: list[set[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    """Every way to take one pair of each image."""
    found: list[list[tuple[int, int]]] = [[]]
    for pairs in outcomes:
        found = [[*before, pair] for before in found for pair in sorted(pairs)]
    return found
