"""Masked copies of images on a device: boxes become pixels there, in batches that fill the device and fit into it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

LOG = logging.getLogger(__name__)

BATCH_SIZES = {"cpu": 64}
LARGE_BATCH_SIZE = 1024
IMAGES_SHOWN = 128
"""Images that are on the device at once; batches are filled across them."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Arithmetic of forward passes; bfloat16 is autocast."""
Said = TypeVar("Said")


def usual_batch_size(device: str | torch.device) -> int:
    """Masked copies of one forward pass where nobody says how many."""
    return BATCH_SIZES.get(torch.device(device).type, LARGE_BATCH_SIZE)


def box_pixels(boxes: NDArray[np.int64], image_size: tuple[int, int], device: Any = "cpu") -> torch.Tensor:
    """Boxes (top, bottom, left, right; int64 [..., 4]) as pixels: bool [..., H, W], true where the box is."""
    edges = torch.tensor(boxes, device=device)[..., None, None]
    row = torch.arange(image_size[0], device=device)[:, None]
    column = torch.arange(image_size[1], device=device)[None, :]
    top, bottom, left, right = edges.unbind(dim=-3)
    return (row >= top) & (row < bottom) & (column >= left) & (column < right)


def mask_out(images: torch.Tensor, boxes: NDArray[np.int64], fill: float = 0.0) -> torch.Tensor:
    """Images [n, C, H, W] with ``fill`` in all boxes of each, int64 [n, m, 4]; new images."""
    hidden = box_pixels(boxes, (images.shape[2], images.shape[3]), images.device).any(dim=1)
    return images.masked_fill(hidden[:, None], fill)


class MaskedCopies:
    """Shows masked copies of images to a classifier, batch by batch, in memory that is written anew for each batch.

    Attributes:
        batch_size: masked copies at once; halved when the device's memory is exhausted.
    """

    def __init__(self, device: str | torch.device, batch_size: int | None = None, fill: float = 0.0) -> None:
        """Take a torch device, the masked copies of a batch, and the value of masked pixels."""
        self.batch_size = usual_batch_size(device) if batch_size is None else batch_size
        self._device, self._fill = torch.device(device), fill
        self._memory = torch.empty(0)

    def ask(
        self,
        pixels: torch.Tensor,
        images: NDArray[np.int64],
        boxes: Callable[[slice], NDArray[np.int64]],
        say: Callable[[torch.Tensor, slice], Said],
        *,
        whole_batches: bool = False,
    ) -> list[Said]:
        """What ``say`` answers to each batch of masked copies, [b, C, H, W], and its place among all copies.

        Args:
            pixels: images on the device, float [n, H, W, C].
            images: which of them each copy shows, int64 [r].
            boxes: boxes to hide on some of the copies, int64 [b, m, 4] within the image, one of no pixel allowed.
            say: what to do with a batch; it must be done with the copies when it returns.
            whole_batches: hand over ``batch_size`` copies each time, of which those after the last wanted one mean nothing.

        Raises:
            torch.OutOfMemoryError: not even one copy fits into the device's memory.
        """
        said: list[Said] = []
        start = 0
        while start < len(images):
            part = slice(start, min(start + self.batch_size, len(images)))
            try:
                copies = self._masked(pixels, images[part], boxes(part))
                shown = self._memory if whole_batches else copies
                said.append(say(shown.permute(0, 3, 1, 2), part))
                start = part.stop
            except torch.OutOfMemoryError:
                if self.batch_size == 1:
                    raise
                self.batch_size //= 2
                self._memory = torch.empty(0)
                LOG.warning("the device's memory is exhausted; going on with batches of %s", self.batch_size)
        return said

    def _masked(self, pixels: torch.Tensor, images: NDArray[np.int64], boxes: NDArray[np.int64]) -> torch.Tensor:
        """Masked copies, [b, H, W, C]."""
        shape = (self.batch_size, *pixels.shape[1:])
        if self._memory.shape != shape or self._memory.dtype != pixels.dtype:
            self._memory = torch.zeros(shape, dtype=pixels.dtype, device=self._device)
        copies = self._memory[: len(images)]
        torch.index_select(pixels, 0, torch.from_numpy(images).to(self._device), out=copies)
        fill = self._fill_by_box if self._device.type == "cpu" else self._fill_by_pixel
        fill(copies, boxes)
        return copies

    def _fill_by_box(self, copies: torch.Tensor, boxes: NDArray[np.int64]) -> None:
        """Hide the boxes of each copy one after the other.

        A processor writes only the masked pixels; a comparison for every pixel would cost a tenth of a forward pass.
        """
        for copy, hidden in zip(copies.numpy(), boxes.tolist(), strict=True):
            for top, bottom, left, right in hidden:
                copy[top:bottom, left:right] = self._fill

    def _fill_by_pixel(self, copies: torch.Tensor, boxes: NDArray[np.int64]) -> None:
        """Hide the same boxes on all copies at once: a GPU compares every pixel sooner than it starts a write for each box."""
        hidden = box_pixels(boxes, (copies.shape[1], copies.shape[2]), self._device).any(dim=1)
        copies.masked_fill_(hidden[..., None], self._fill)
