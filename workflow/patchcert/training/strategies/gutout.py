"""Gutout: masks of the certification put where Grad-CAM finds the image most salient, in two rounds.

Source: Greedy Cutout, section 4.1, Cutout guided by Grad-CAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masking import box_pixels, mask_out
from patchcert.masks import MaskSet, Size
from patchcert.models.grad_cam import grad_cam
from patchcert.training.mask_sets import PairsOfSets, sets_of
from patchcert.training.strategy import evaluating


class Gutout(PairsOfSets):
    """The mask that hides most saliency for the true label, then the one that hides most of what is salient beside it.

    A map takes a forward and a backward pass: 4 passes for one mask set, and 6 for two, which share the first map.
    """

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """The two most salient masks of each set."""
        with evaluating(model):
            saliency = self._saliency(model, images, labels)
            chosen = []
            for masks in self.sets:
                first = _ranked(saliency, masks)[:, 0]
                beside = _ranked(self._saliency(model, mask_out(images, masks.boxes[first][:, None]), labels), masks)
                # a map may find the edges of the first mask salient; a second mask at the same place would hide nothing
                second = np.where(beside[:, 0] == first, beside[:, 1], beside[:, 0])
                chosen.append(masks.boxes[np.stack([first, second], axis=1)])
        return np.stack(chosen)

    def _saliency(self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.passes += 2 * len(images)
        return grad_cam(model, images, labels)


def _ranked(saliency: torch.Tensor, masks: MaskSet) -> NDArray[np.int64]:
    """For each map, float [n, H, W], the masks by falling sums of what they hide of it, int64 [n, K]; ties in their order."""
    pixels = box_pixels(masks.boxes, masks.image_size, saliency.device).flatten(1).float()
    order: NDArray[np.int64] = (saliency.flatten(1) @ pixels.T).argsort(dim=1, descending=True, stable=True).cpu().numpy()
    return order


def make(settings: Mapping[str, Any], image_size: Size) -> Gutout:
    """The strategy for images of this size; settings and errors are those of :func:`patchcert.training.mask_sets.sets_of`."""
    return Gutout(sets_of(settings, image_size))
