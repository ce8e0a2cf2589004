"""What strategies that take pairs of masks out of mask sets of the certificate have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masks import MaskSet, Size, mask_set
from patchcert.training.strategy import Strategy, random_pairs


class PairsOfSets(Strategy):
    """A pair out of each mask set; with two sets each image is shown twice, which doubles the batch."""

    def __init__(self, sets: Sequence[MaskSet]) -> None:
        """Take one mask set or more, of one image size."""
        super().__init__(sets[0].image_size)
        self.sets = sets
        self.copies = len(sets)

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` random pairs of the last set, the finest."""
        return random_pairs(self.sets[-1], count, generator)


def sets_of(settings: Mapping[str, Any], image_size: Size) -> list[MaskSet]:
    """The mask sets that a ``trainings`` block names.

    Args:
        settings: ``patch_size``, pixels, and ``mask_budgets``, one or more.
        image_size: rows and columns, pixels.

    Raises:
        InputError: a patch that does not fit.
    """
    return [mask_set(image_size, settings["patch_size"], budget) for budget in settings["mask_budgets"]]
