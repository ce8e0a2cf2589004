"""Random Cutout: two squares at random places, the training that PatchCleanser's published numbers use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masks import Size
from patchcert.training.strategy import Strategy


class RandomCutout(Strategy):
    """Two squares at random places, partly outside the image allowed (PatchCleanser, Appendix A: 128 of 224 pixels)."""

    def __init__(self, image_size: Size, cutout_size: Size) -> None:
        """Take the image's and the square's rows and columns, pixels."""
        super().__init__(image_size)
        self.cutout_size = cutout_size

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """Two squares an image, drawn anew; of each what is inside the image."""
        return self.calibration_boxes(len(images), generator)[None]

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` draws of two squares."""
        boxes = np.empty((count, 2, 4), dtype=np.int64)
        for axis, (image, cutout) in enumerate(zip(self.image_size, self.cutout_size, strict=True)):
            centre = torch.randint(0, image, (count, 2), generator=generator).numpy()
            start = centre - cutout // 2
            boxes[:, :, 2 * axis] = start.clip(min=0)
            boxes[:, :, 2 * axis + 1] = (start + cutout).clip(max=image)
        return boxes


def make(settings: Mapping[str, Any], image_size: Size) -> RandomCutout:
    """The strategy for images of this size, with squares of ``cutout_size``, rows and columns, pixels."""
    height, width = settings["cutout_size"]
    return RandomCutout(image_size, (height, width))
