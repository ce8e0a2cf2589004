"""What the tests of the defenses share: arbitrary stored labels, what was asked of them, and worlds of tiny images.

A tiny world has every image of a few shades; a classifier is a table that gives each of them any label at all. So "no attack
succeeds" is looked up for every image, every place of the patches and everything they can show.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from hypothesis import strategies as st

from patchcert.defenses.asking import UNPREDICTED
from patchcert.masks import MaskSet, Size, mask_set, multi_patch_set, shape_set

SHADES = 3


@st.composite
def stored_labels(draw: st.DrawFn, *, largest: int = 3) -> np.ndarray:
    """Symmetric labels [N, K, K]; some masks are unanimous, so that all three cases of Algorithm 1 come up."""
    images, masks = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    labels = np.array(draw(st.lists(st.integers(0, largest), min_size=images * masks**2, max_size=images * masks**2)))
    labels = labels.reshape(images, masks, masks)
    labels = np.triu(labels) + np.triu(labels, 1).transpose(0, 2, 1)
    for image in range(images):
        for mask in draw(st.lists(st.integers(0, masks - 1), max_size=2)):
            labels[image, mask, :] = labels[image, :, mask] = draw(st.integers(0, largest))
    return labels


class Recorder:
    """Answers from stored labels [N, K, K], and remembers what it was asked."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = np.asarray(labels)
        self.calls: list[list[tuple[int, int, int]]] = []

    def __call__(self, images: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        assert images.dtype == first.dtype == second.dtype == np.int64
        assert images.shape == first.shape == second.shape == (len(images),)
        self.calls.append(list(zip(images.tolist(), first.tolist(), second.tolist(), strict=True)))
        return self.labels[images, first, second]

    @property
    def after_the_first_round(self) -> list[list[tuple[int, int, int]]]:
        """The calls but the first, which asks for every image under every single mask."""
        masks = range(self.labels.shape[1])
        assert self.calls[0] == [(image, mask, mask) for image in range(len(self.labels)) for mask in masks]
        return self.calls[1:]

    @property
    def partial(self) -> np.ndarray:
        """The labels that were asked for, and ``UNPREDICTED`` elsewhere."""
        found = np.full_like(self.labels, UNPREDICTED)
        for image, first, second in itertools.chain.from_iterable(self.calls):
            found[image, first, second] = found[image, second, first] = self.labels[image, first, second]
        return found


@dataclass(frozen=True)
class World:
    """All images of one size, a mask set on them, and the rectangles that the attacker may put anywhere.

    The attacker puts as many of them at once as the masks are made for.
    """

    masks: MaskSet
    patches: tuple[Size, ...]
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

    @cached_property
    def shown(self) -> np.ndarray:
        """Numbers of what the classifier sees of every image under every two masks, [U, K, K]."""
        regions = []
        for boxes in self.masks.boxes.reshape(len(self.masks), -1, 4).tolist():
            hidden = np.zeros(self.masks.image_size, dtype=bool)
            for top, bottom, left, right in boxes:
                hidden[top:bottom, left:right] = True
            regions.append(hidden.ravel())
        found = np.empty((len(self.images), len(regions), len(regions)), dtype=np.int64)
        for (first, one), (second, other) in itertools.product(enumerate(regions), repeat=2):
            found[:, first, second] = np.where(one | other, self.fill, self.images) @ self.worth
        return found

    def reached(self, bad: np.ndarray, patches: Sequence[Size] | None = None) -> np.ndarray:
        """Whether the attacker can turn each image into a bad one, bool [U]: by any content of any patches at any place.

        Args:
            bad: which images are, bool [U].
            patches: rectangles other than those of the world.
        """
        found = np.zeros(len(self.images), dtype=bool)
        for patch in footprints(self.masks.image_size, tuple(patches or self.patches), self.masks.patches):
            outside = np.where(patch, 0, self.images) @ self.worth  # images that only the patch tells apart share this number
            turned = np.zeros(len(self.images), dtype=bool)
            turned[outside[bad]] = True
            found |= turned[outside]
        return found

    def covers_all(self, patches: Sequence[Size]) -> bool:
        return all(self.masks.covers(patch) for patch in patches)


@cache
def footprints(image: Size, patches: tuple[Size, ...], count: int) -> list[np.ndarray]:
    """The pixels, bool [H W], of every placement of ``count`` rectangles, each of any of the sizes."""
    single = []
    for height, width in patches:
        for top, left in itertools.product(range(image[0] - height + 1), range(image[1] - width + 1)):
            inside = np.zeros(image, dtype=bool)
            inside[top : top + height, left : left + width] = True
            single.append(inside.ravel())
    return [np.logical_or.reduce(chosen) for chosen in itertools.combinations_with_replacement(single, count)]


WORLDS = {
    "figure-3-left": ((1, 6), [(1, 2)], (1, 5), 1),
    "figure-3-right": ((1, 6), [(1, 2)], (1, 3), 1),
    "row-two-masks": ((1, 6), [(1, 2)], (1, 2), 1),
    "row-one-pixel": ((1, 6), [(1, 1)], (1, 6), 1),
    "row-of-seven": ((1, 7), [(1, 3)], (1, 3), 1),
    "column": ((6, 1), [(2, 1)], (3, 1), 1),
    "2x3": ((2, 3), [(1, 2)], (2, 2), 1),
    "2x4": ((2, 4), [(2, 2)], (1, 3), 1),
    "3x3-one-pixel": ((3, 3), [(1, 1)], (3, 3), 1),
    "3x3-1x2": ((3, 3), [(1, 2)], (2, 2), 1),
    "3x3-2x2": ((3, 3), [(2, 2)], (2, 2), 1),
    "2x3-any-two-pixels-in-a-line": ((2, 3), [(1, 2), (2, 1)], (2, 2), 1),
    "2x4-any-two-pixels-in-a-line": ((2, 4), [(1, 2), (2, 1)], (2, 2), 1),
    "3x3-rows-and-columns": ((3, 3), [(1, 3), (3, 1)], (3, 3), 1),
    "row-two-patches": ((1, 5), [(1, 1)], (1, 5), 2),
    "row-two-patches-three-masks": ((1, 6), [(1, 1)], (1, 3), 2),
    "2x3-two-patches": ((2, 3), [(1, 1)], (2, 3), 2),
    "2x4-two-patches": ((2, 4), [(1, 1)], (2, 2), 2),
    "2x3-two-patches-of-two-shapes": ((2, 3), [(1, 2), (2, 1)], (2, 3), 2),
}
"""Image size, the attacker's rectangles, the budget of masks, and how many rectangles the attacker uses at once."""


@cache
def world(name: str, fill: int = 0) -> World:
    image, patches, budget, count = WORLDS[name]
    single = mask_set(image, patches[0], budget) if len(patches) == 1 else shape_set(image, patches, budget)
    return World(multi_patch_set(single, count), tuple(patches), fill)


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
