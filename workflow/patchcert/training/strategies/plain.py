"""No masks: training as usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert.masks import Size
from patchcert.training.strategy import Strategy


class Plain(Strategy):
    """Images as they are."""

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """No box."""
        return np.empty((1, len(images), 0, 4), dtype=np.int64)

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """No draws: epochs are compared by the images alone."""
        return np.empty((0, 0, 4), dtype=np.int64)


def make(settings: Mapping[str, Any], image_size: Size) -> Plain:
    """The strategy for images of this size; it reads no settings."""
    return Plain(image_size)
