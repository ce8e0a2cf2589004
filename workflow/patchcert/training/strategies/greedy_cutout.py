"""Greedy Cutout: training on the masks that raise the loss most, found greedily in one mask set or in two of different size.

Source: Greedy Cutout, section 3.4 and Algorithm 1.
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


class GreedyCutout(Strategy):
    """The worst first mask, then the worst second mask with the first in place: K + (K - 1) passes (section 3.4)."""

    def __init__(self, masks: MaskSet) -> None:
        """Take the mask set that is searched."""
        super().__init__(masks.image_size)
        self.masks = masks

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """The two masks that raise the loss most, found greedily."""
        count, masks = len(self.masks), self.masks.boxes
        with searching(model):
            search = Search(self, model, images, labels)
            first = search.worst(np.broadcast_to(masks[:, None], (len(images), count, 1, 4)))
            # the first mask twice is the first round's image again, so it is left out of the second round
            others = (first[:, None] + 1 + np.arange(count - 1)) % count
            second = others[np.arange(len(images)), search.worst(_beside(masks[first][:, None], masks[others]))]
        return masks[np.stack([first, second], axis=1)][None]

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` random pairs of the mask set."""
        return random_pairs(self.masks, count, generator)


class MultiSizeGreedyCutout(Strategy):
    """Greedy search over few large masks, refined by the small masks under the worst one; trains on both masked copies.

    Each of two rounds tries every large mask and then the few small masks that cover the worst large one: 9 + 4 passes at
    224 pixels, 26 in all. The large masks are searched on the image under the first large mask, the small ones under the
    first small mask. Source: Greedy Cutout, section 3.4 and Algorithm 1.
    """

    copies = 2

    def __init__(self, large: MaskSet, small: MaskSet) -> None:
        """Take the large and the small mask set of one image size.

        Raises:
            InputError: the small masks do not cover a large one.
        """
        super().__init__(large.image_size)
        under = [small.fewest_covering(box) for box in large.boxes]
        widest = max(len(indices) for indices in under)
        # a large mask that needs fewer small ones repeats its last: every row has one length, and no other mask is tried
        self.under = np.array([np.pad(row, (0, widest - len(row)), mode="edge") for row in under])
        self.large, self.small = large, small

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """The worst two large masks and the worst two small masks, as two copies of each image."""
        numbers, large, small = np.arange(len(images)), self.large.boxes, self.small.boxes
        every = np.broadcast_to(large, (len(images), *large.shape))
        chosen_large = chosen_small = np.empty((len(images), 0, 4), dtype=np.int64)
        with searching(model):
            search = Search(self, model, images, labels)
            for _ in range(2):
                worst_large = search.worst(_beside(chosen_large, every))
                under = self.under[worst_large]
                worst_small = under[numbers, search.worst(_beside(chosen_small, small[under]))]
                chosen_large = np.concatenate([chosen_large, large[worst_large][:, None]], axis=1)
                chosen_small = np.concatenate([chosen_small, small[worst_small][:, None]], axis=1)
        return np.stack([chosen_large, chosen_small])

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """Random pairs of the small mask set, ``count`` in all."""
        return random_pairs(self.small, count, generator)


def _beside(chosen: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each candidate, int64 [n, c, 4], beside the boxes chosen before, int64 [n, m, 4]: int64 [n, c, m + 1, 4]."""
    before = np.broadcast_to(chosen[:, None], (*candidates.shape[:2], *chosen.shape[1:]))
    return np.concatenate([before, candidates[:, :, None]], axis=2)


def make(settings: Mapping[str, Any], image_size: Size) -> Strategy:
    """The search that the settings describe.

    Args:
        settings: ``patch_size``, pixels, and ``mask_budgets``: one, or two (large masks first) for the multi-size search.
        image_size: rows and columns, pixels.

    Raises:
        InputError: another number of budgets, or a patch that does not fit.
    """
    sets = [mask_set(image_size, settings["patch_size"], budget) for budget in settings["mask_budgets"]]
    if len(sets) == 1:
        return GreedyCutout(sets[0])
    if len(sets) == 2:
        return MultiSizeGreedyCutout(*sets)
    raise InputError(f"mask_budgets: {len(sets)} of them; write one, or two (large masks first) for the multi-size search")
