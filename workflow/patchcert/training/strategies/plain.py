"""No masks: training as usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from patchcert.masks import Size
from patchcert.training.strategy import Strategy


class Plain(Strategy):
    """Images as they are."""

    def hidden(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Nothing is hidden."""
        return self._nothing(1, len(images), device=images.device)

    def calibration_hidden(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """No masks: epochs are compared by the images alone."""
        return self._nothing(0)


def make(settings: Mapping[str, Any], image_size: Size) -> Plain:
    """The strategy for images of this size; it reads no settings."""
    return Plain(image_size)
