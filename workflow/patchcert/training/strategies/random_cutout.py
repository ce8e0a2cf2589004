"""Random Cutout: two squares at random places, the training that PatchCleanser's published numbers use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from patchcert.device import box_pixels
from patchcert.masks import Size
from patchcert.training.strategy import Strategy


class RandomCutout(Strategy):
    """Two squares at random places, partly outside the image allowed (PatchCleanser, Appendix A: 128 of 224 pixels)."""

    def __init__(self, image_size: Size, cutout_size: Size) -> None:
        """Take the image's and the square's rows and columns, pixels."""
        super().__init__(image_size)
        self.cutout_size = cutout_size

    def hidden(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Two squares an image, drawn anew."""
        return self._draw(len(images), generator).to(images.device)[None]

    def calibration_hidden(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """``count`` draws of two squares."""
        return self._draw(count, generator)

    def _draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        boxes = np.empty((count, 2, 4), dtype=np.int64)
        for axis, (image, cutout) in enumerate(zip(self.image_size, self.cutout_size, strict=True)):
            centre = torch.randint(0, image, (count, 2), generator=generator).numpy()
            boxes[:, :, 2 * axis] = centre - cutout // 2
            boxes[:, :, 2 * axis + 1] = centre - cutout // 2 + cutout
        return box_pixels(boxes, self.image_size).any(dim=1)


def make(settings: Mapping[str, Any], image_size: Size) -> RandomCutout:
    """The strategy for images of this size, with squares of ``cutout_size``, rows and columns, pixels."""
    height, width = settings["cutout_size"]
    return RandomCutout(image_size, (height, width))
