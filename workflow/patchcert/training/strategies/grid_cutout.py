"""Grid search: training on the pair of masks that raises the loss most, found by trying every pair.

Source: Greedy Cutout, section 4.1, Cutout guided by exhaustive search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.masks import MaskSet, Size, mask_set
from patchcert.training.strategy import Search, Strategy, random_pairs, searching


class GridCutout(Strategy):
    """The worst of all unordered pairs of masks: 45 passes for 3x3 masks, 666 for 6x6."""

    def __init__(self, masks: MaskSet) -> None:
        """Take the mask set that is searched."""
        super().__init__(masks.image_size)
        self.masks = masks
        self._pairs = masks.boxes[masks.pairs]

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """The pair that raises the loss most."""
        with searching(model):
            candidates = np.broadcast_to(self._pairs, (len(images), *self._pairs.shape))
            return self._pairs[Search(self, model, images, labels).worst(candidates)][None]

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` random pairs of the mask set."""
        return random_pairs(self.masks, count, generator)


def make(settings: Mapping[str, Any], image_size: Size) -> GridCutout:
    """The search that the settings describe.

    Args:
        settings: ``patch_size``, pixels, and ``mask_budgets``: one.
        image_size: rows and columns, pixels.

    Raises:
        InputError: another number of budgets, or a patch that does not fit.
    """
    if len(settings["mask_budgets"]) != 1:
        raise InputError(f"mask_budgets: {len(settings['mask_budgets'])} of them; write one for the exhaustive search")
    return GridCutout(mask_set(image_size, settings["patch_size"], settings["mask_budgets"][0]))
