"""The figure of one patch attack and what it does to region scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchcert.report.pictures import outline, picture
from patchcert.report.style import WIDTH, styled

RED = "#d55e00"


def draw(
    images: NDArray[np.uint8],
    scores: NDArray[np.float32],
    classes: tuple[int, int],
    boxes: tuple[NDArray[np.int64], NDArray[np.int64]],
    style: Mapping[str, Any],
) -> Figure:
    """An image without and with an adversarial patch, with the region scores of the true class and of the target.

    Counterpart of BagCert, Figure 6; the red rectangles are the patch and the places R(l) that it can reach.

    Args:
        images: the clean image and the attacked one, uint8 [2, 3, H, W].
        scores: their region scores, [2, C, h, w].
        classes: the true class and the target.
        boxes: the patch, in pixels, and R(l), in places; int64 [4]: top, bottom, left, right, half-open.
        style: the ``report`` block of the configuration.
    """
    truth, target = classes
    with styled(style):
        figure, panels = plt.subplots(2, 3, figsize=(WIDTH, 0.62 * WIDTH))
        for row, image, maps, shown in zip(panels, images, scores, ("without a patch", "with a patch"), strict=True):
            picture(row[0], image)
            row[0].add_patch(outline(*boxes[0], edgecolor=RED, linewidth=1.5))
            answer = int(maps.sum(axis=(1, 2)).argmax())
            row[0].set_title(f"{shown}: answer {answer}", loc="left")
            for panel, name, which in zip(row[1:], (truth, target), ("true class", "target"), strict=True):
                panel.imshow(maps[name], cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
                panel.add_patch(outline(*boxes[1], edgecolor=RED, linewidth=1.5))
                panel.set(xticks=[], yticks=[])
                panel.grid(visible=False)
                panel.set_title(f"{which} {name}: {100 * maps[name].mean():.1f} % of votes", loc="left")
    return figure
