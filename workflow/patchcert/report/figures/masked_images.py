"""The figure of what each training strategy shows the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchcert.report.pictures import masked, outline, picture
from patchcert.report.results import spoken
from patchcert.report.style import WIDTH, styled


def draw(pixels: NDArray[np.uint8], boxes: Mapping[str, NDArray[np.int64]], style: Mapping[str, Any]) -> Figure:
    """Training images as each strategy masks them, a row a training and copy; masked pixels are framed grey.

    Args:
        pixels: images, uint8 [n, 3, H, W].
        boxes: what each training hides, by its name: int64 [copies, n, m, 4].
        style: the ``report`` block of the configuration.
    """
    rows = [
        (spoken(name) if len(hidden) == 1 else f"{spoken(name)}, copy {number}", copy)
        for name, hidden in boxes.items()
        for number, copy in enumerate(hidden, start=1)
    ]
    label_width = 0.3
    with styled(style):
        figure, panels = plt.subplots(
            len(rows),
            len(pixels),
            figsize=(WIDTH, len(rows) * WIDTH * (1 - label_width) / len(pixels)),
            squeeze=False,
            gridspec_kw={"wspace": 0.05, "hspace": 0.05},
        )
        for (label, hidden), row in zip(rows, panels, strict=True):
            for panel, image, each in zip(row, pixels, hidden, strict=True):
                picture(panel, masked(image, each))
                for box in each:
                    panel.add_patch(outline(*box, edgecolor="orange", linewidth=1))
            row[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure
