"""Random masks of the certification: two masks drawn from a mask set, or a pair from each of two sets.

Source: Greedy Cutout, section 4.1, Random Cutout with certification masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masks import MaskSet, Size, mask_set
from patchcert.training.strategy import Strategy, random_pairs


class RandomMasks(Strategy):
    """A random pair out of each mask set; with two sets each image is shown twice, which doubles the batch."""

    def __init__(self, sets: Sequence[MaskSet]) -> None:
        """Take one mask set or more, of one image size."""
        super().__init__(sets[0].image_size)
        self.sets = sets
        self.copies = len(sets)

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """A random pair an image out of each set."""
        return np.stack([random_pairs(masks, len(images), generator) for masks in self.sets])

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` random pairs of the last set, the finest."""
        return random_pairs(self.sets[-1], count, generator)


def make(settings: Mapping[str, Any], image_size: Size) -> RandomMasks:
    """The strategy for images of this size.

    Args:
        settings: ``patch_size``, pixels, and ``mask_budgets``, one or more.
        image_size: rows and columns, pixels.

    Raises:
        InputError: a patch that does not fit.
    """
    return RandomMasks([mask_set(image_size, settings["patch_size"], budget) for budget in settings["mask_budgets"]])
