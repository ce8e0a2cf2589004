"""Gaussian patches: a square of noise at a random place of each image, as mask-guided randomized smoothing adds it.

Source: Zhang et al., "Certified defense against patch attacks via mask-guided randomized smoothing", Science China Information
Sciences 65, 2022, sections 4.1 and 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.masks import Size
from patchcert.training.strategy import Strategy


class GaussianPatch(Strategy):
    """A square inside each image, every side of a range as likely, and every place; noise is added there, and not clipped."""

    def __init__(self, image_size: Size, sides: tuple[int, int], sigma: float) -> None:
        """Take the image's rows and columns, the smallest and largest side of the square, pixels, and the noise's deviation.

        The deviation is for pixel values in [0, 1], as :func:`patchcert.smoothing.sample_counts` takes it.

        Raises:
            InputError: sides that do not fit into the image or are not in order, or a deviation that is not above 0.
        """
        super().__init__(image_size)
        if not 1 <= sides[0] <= sides[1] <= min(image_size):
            raise InputError(
                f"noise_sides: {list(sides)}; write the smallest and the largest side of the square, "
                f"from 1 to {min(image_size)} pixels, such as [5, 10]"
            )
        if not 0 < sigma < math.inf:
            raise InputError(f"noise_sigma: {sigma!r}; write a number above 0, for pixel values in [0, 1], such as 7")
        self.sides, self.sigma = sides, sigma

    def boxes(
        self, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> NDArray[np.int64]:
        """A square an image, drawn anew."""
        return self.calibration_boxes(len(images), generator)[None]

    def calibration_boxes(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """``count`` draws of a square."""
        smallest, largest = self.sides
        side = torch.randint(smallest, largest + 1, (count,), generator=generator)
        edges = []
        for image in self.image_size:
            # in double precision no place is left out, and each is as likely to within 1e-13
            start = (torch.rand(count, generator=generator, dtype=torch.float64) * (image - side + 1)).long()
            edges += [start, start + side]
        boxes: NDArray[np.int64] = torch.stack(edges, dim=1)[:, None].numpy()
        return boxes

    def show(
        self, images: torch.Tensor, boxes: NDArray[np.int64], std: Sequence[float], generator: torch.Generator
    ) -> torch.Tensor:
        """Images with noise added in their boxes."""
        shown, (count, squares) = images.clone(), boxes.shape[:2]
        largest = self.sides[1]
        noise = torch.randn((squares, count, images.shape[1], largest, largest), generator=generator).to(images.device)
        noise *= self.sigma / torch.tensor(std, device=images.device)[:, None, None]
        for square, drawn in enumerate(noise):
            for image, values, (top, bottom, left, right) in zip(shown, drawn, boxes[:, square].tolist(), strict=True):
                image[:, top:bottom, left:right] += values[:, : bottom - top, : right - left]
        return shown


def make(settings: Mapping[str, Any], image_size: Size) -> GaussianPatch:
    """The strategy for images of this size.

    Args:
        settings: ``noise_sides``, the smallest and largest side of the square, pixels; ``noise_sigma``, its deviation for pixel
            values in [0, 1].
        image_size: rows and columns, pixels.

    Raises:
        InputError: see :class:`GaussianPatch`.
    """
    smallest, largest = settings["noise_sides"]
    return GaussianPatch(image_size, (smallest, largest), settings["noise_sigma"])
