"""Greedy Cutout: training on the masks that raise the loss most, found greedily in one mask set or in two of different size.

Source: Greedy Cutout, section 3.4 and Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from patchcert import InputError
from patchcert.device import box_pixels, mask_out
from patchcert.masks import MaskSet, Size, mask_set
from patchcert.training.strategy import Strategy, random_pairs, searching, worst


class GreedyCutout(Strategy):
    """The worst first mask, then the worst second mask with the first in place: K + (K - 1) passes (section 3.4)."""

    def __init__(self, masks: MaskSet) -> None:
        """Take the mask set that is searched."""
        super().__init__(masks.image_size)
        self.masks = box_pixels(masks.boxes, masks.image_size)
        self.extra_passes = 2 * len(masks) - 1

    def hidden(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The two masks that raise the loss most, found greedily."""
        count, masks = len(self.masks), self.masks.to(images.device)
        with searching(model):
            every = torch.arange(count, device=images.device).expand(len(images), count)
            first = worst(model, images, labels, masks, every)
            # the first mask twice is the first round's image again, so it is left out of the second round
            others = (first[:, None] + 1 + torch.arange(count - 1, device=images.device)) % count
            second = worst(model, mask_out(images, masks[first]), labels, masks, others)
        return (masks[first] | masks[second])[None]

    def calibration_hidden(self, count: int, generator: torch.Generator) -> torch.Tensor:
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
        self.under = torch.tensor(np.array([np.pad(row, (0, widest - len(row)), mode="edge") for row in under]))
        self.large = box_pixels(large.boxes, large.image_size)
        self.small = box_pixels(small.boxes, small.image_size)
        self.extra_passes = 2 * (len(large) + widest)

    def hidden(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The worst two large masks and the worst two small masks, as two copies of each image."""
        large, small, under = (part.to(images.device) for part in (self.large, self.small, self.under))
        hidden_large = self._nothing(len(images), device=images.device)
        hidden_small = hidden_large.clone()
        every = torch.arange(len(large), device=images.device).expand(len(images), len(large))
        with searching(model):
            for _ in range(2):
                worst_large = worst(model, mask_out(images, hidden_large), labels, large, every)
                worst_small = worst(model, mask_out(images, hidden_small), labels, small, under[worst_large])
                hidden_large = hidden_large | large[worst_large]
                hidden_small = hidden_small | small[worst_small]
        return torch.stack([hidden_large, hidden_small])

    def calibration_hidden(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Random pairs of the small mask set, ``count`` in all."""
        return random_pairs(self.small, count, generator)


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
