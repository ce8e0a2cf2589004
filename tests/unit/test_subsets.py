"""Random subsets of test images: what is drawn, and that it depends on seed and ids alone."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchcert.datasets.index import Split
from patchcert.datasets.subsets import subset

IDS = [f"cifar10-test-{number:05d}" for number in range(2000)]


def test_what_is_drawn_has_the_smallest_digests() -> None:
    # sha256sum of 7:a, 7:b, 7:c and 7:d, in the order of their digests
    ordered = sorted("abcd", key=lambda name: sha256(f"7:{name}".encode()).digest())
    assert ["abcd"[place] for place in subset(list("abcd"), 2, 7)] == sorted(ordered[:2])


@given(
    ids=st.lists(st.text("abc/_0é", min_size=1), unique=True, max_size=12),
    numbers=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_a_smaller_subset_is_found_in_every_larger_one_in_any_order(
    ids: list[str], numbers: tuple[int, int], seed: int, data: st.DataObject
) -> None:
    few, many = sorted(numbers)
    larger = [ids[place] for place in subset(ids, many, seed)]
    shuffled = data.draw(st.permutations(larger))
    places = subset(shuffled, few, seed)
    assert len(places) == min(few, len(ids))
    assert (np.diff(places) > 0).all()
    assert {shuffled[place] for place in places} == {ids[place] for place in subset(ids, few, seed)}


def test_a_draw_is_spread_over_all_images_and_another_seed_draws_others() -> None:
    first, second = (set(subset(IDS, 500, seed).tolist()) for seed in (0, 1))
    assert len(first & second) == pytest.approx(125, abs=40)  # four standard deviations
    assert np.mean(list(first)) == pytest.approx(1000, abs=100)


@pytest.mark.parametrize("seed", [None, 3])
def test_images_that_are_drawn_keep_their_labels_and_pixels(seed: int | None) -> None:
    numbers = np.arange(2000)
    pixels = np.broadcast_to(numbers[::-1, None, None, None] % 256, (2000, 3, 1, 1)).astype(np.uint8)
    drawn = Split(np.array(IDS), numbers, numbers[::-1].copy(), pixels).drawn(40, seed)
    assert drawn.labels.tolist() == (list(range(40)) if seed is None else subset(IDS, 40, 3).tolist())
    assert drawn.ids.tolist() == [IDS[label] for label in drawn.labels]
    assert drawn.read().pixels[:, 0, 0, 0].tolist() == (drawn.labels % 256).tolist()
