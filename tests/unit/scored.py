"""What the tests of multi-label defenses share: arbitrary scores, and classifiers that score every image of a tiny world."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from patchcert.masks import mask_set

from .worlds import SHADES, World, world

HALF = np.float32(0.5)
LEVELS = np.array(
    [0, 0.1, np.nextafter(HALF, np.float32(0)), HALF, np.nextafter(HALF, np.float32(1)), 0.7, 1], dtype=np.float32
)
"""Few scores, so that ties come up; three of them neighbours."""

OVERLAPPING = World(mask_set((1, 7), (1, 3), (1, 5)), ((1, 2),))
"""Masks made for a patch of 3 pixels, which lie so close that two of them hide a patch of 2."""


@st.composite
def scored(draw: st.DrawFn, *, images: int = 3, masks: int = 6, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric scores [N, K, K, C] and labels [N, C]; some rows are of one score, so that second rounds pass."""
    size = [draw(st.integers(1, most)) for most in (images, masks, classes)]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image, mask, name = size
    chances = random.dirichlet(np.full(len(LEVELS), 0.5))
    scores = random.choice(LEVELS, (image, mask, mask, name), p=chances)
    scores = np.maximum(scores, scores.transpose(0, 2, 1, 3))
    for _ in range(draw(st.integers(0, 3))):
        where, row, column = (random.integers(0, most) for most in size)
        scores[where, row, :, column] = scores[where, :, row, column] = random.choice(LEVELS)
    return scores, random.random((image, name)) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))


def tables(tiny: World, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Scores [U, C] of every image: random ones, and ones that a visible bright pixel turns wrong at every threshold."""
    random = np.random.default_rng(seed)
    shape = (len(tiny.images), len(labels))
    good = random.random(shape) < 0.85
    scores = np.where(good == labels, random.choice(LEVELS[4:], shape), random.choice(LEVELS[:4], shape)).astype(np.float32)
    bright = (tiny.images == SHADES - 1).any(axis=1)
    trigger = np.where(bright[:, None], np.where(labels, np.float32(0), np.float32(1)), scores)
    return {"random": scores, "trigger": trigger}


WORLDS = {
    "one-pixel": world("row-one-pixel"),
    "row": world("figure-3-left"),
    "column": world("column"),
    "2x4": world("2x4"),
    "3x3": world("3x3-1x2"),
    "shapes": world("2x3-any-two-pixels-in-a-line"),
    "overlapping": OVERLAPPING,
}


def ratio(metric: str, positives: int, fn: int, fp: int) -> float | None:
    """The metric as the paper writes it; None for 0/0."""
    tp = positives - fn
    part, whole = {"precision": (tp, tp + fp), "recall": (tp, tp + fn), "f1": (2 * tp, 2 * tp + fp + fn)}[metric]
    return part / whole if whole else None
