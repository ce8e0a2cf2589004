"""Random masks of the certification: two masks drawn from a mask set, or a pair from each of two sets.

Source: Greedy Cutout, section 4.1, Random Cutout with certification masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masks import Size
from patchcert.training.mask_sets import PairsOfSets, sets_of
from patchcert.training.strategy import random_pairs


class RandomMasks(PairsOfSets):
    """A random pair out of each mask set."""

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """A random pair an image out of each set."""
        return np.stack([random_pairs(masks, len(images), generator) for masks in self.sets])


def make(settings: Mapping[str, Any], image_size: Size) -> RandomMasks:
    """The strategy for images of this size; settings and errors are those of :func:`patchcert.training.mask_sets.sets_of`."""
    return RandomMasks(sets_of(settings, image_size))
