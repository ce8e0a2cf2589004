"""Images in figures: as they are, masked, and with boxes drawn over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

MASKED_GREY = 128
"""What a masked pixel looks like: the mean colour, to which it is set after normalisation."""


def masked(image: NDArray[np.uint8], boxes: Iterable[NDArray[np.int64]]) -> NDArray[np.uint8]:
    """A copy of an image, uint8 [3, H, W], with the boxes (top, bottom, left, right) masked."""
    shown = image.copy()
    for top, bottom, left, right in boxes:
        shown[:, top:bottom, left:right] = MASKED_GREY
    return shown


def picture(axes: Axes, image: NDArray[np.uint8]) -> None:
    """Show an image, uint8 [3, H, W], without ticks and grid."""
    axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def outline(top: float, bottom: float, left: float, right: float, **style: Any) -> Rectangle:
    """A box over an image that :func:`picture` shows, in pixels; empty unless the style fills it."""
    return Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **({"facecolor": "none"} | style))
