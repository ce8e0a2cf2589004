"""The figure of certification histograms over an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from patchcert.defenses.multilabel import Extrema, histograms
from patchcert.report.style import WIDTH, styled

ORANGE = "#e69f00"
LARGEST = 3
"""Classes that are drawn, at most."""


def example_row(extrema: Extrema, labels: NDArray[np.bool_], threshold: float) -> int:
    """Which image to show: the first where one place instead of one a class saves the most false negatives."""
    fn, _ = histograms(extrema, labels, threshold)
    failing = ((extrema.lowest <= np.float32(threshold)).any(axis=1) & labels).sum(axis=1)
    return int((failing - fn.max(axis=1)).argmax())


def draw(
    image: NDArray[np.uint8],
    labels: NDArray[np.bool_],
    extrema: Extrema,
    budget: tuple[int, int],
    threshold: float,
    style: Mapping[str, Any],
) -> Figure:
    """For one image the masks that let each of its classes fail, and the sum over the classes.

    Counterpart of Multi-Label PatchCleanser, Figure 2: an orange tile is a mask under which, with some second mask, the class
    is no longer found; numbers count classes.

    Args:
        image: uint8 [3, H, W].
        labels: its classes, bool [C].
        extrema: of this image alone.
        budget: masks along the rows and along the columns.
        threshold: above which a class counts as found.
        style: the ``report`` block of the configuration.
    """
    present = np.flatnonzero(labels)[:LARGEST]
    marked = {f"class {name} fails": extrema.lowest[0, :, name] <= np.float32(threshold) for name in present}
    total, _ = histograms(extrema, labels[None], threshold)
    with styled(style):
        figure, panels = plt.subplots(1, 2 + len(marked), figsize=(WIDTH, WIDTH / (2 + len(marked)) + 0.35), squeeze=False)
        first, *tiles = panels[0]
        first.imshow(image.transpose(1, 2, 0), interpolation="nearest")
        first.set_title(f"classes {', '.join(map(str, np.flatnonzero(labels)))}", loc="left")
        for panel, (title, each) in zip(tiles, marked.items(), strict=False):
            _tiles(panel, each.astype(np.int64).reshape(budget), title)
        _tiles(tiles[-1], total[0].reshape(budget), f"all: at most {total[0].max()} at once")
        for panel in panels[0]:
            panel.set(xticks=[], yticks=[])
            panel.grid(visible=False)
    return figure


def _tiles(panel: Axes, counts: NDArray[np.int64], title: str) -> None:
    """A tile for each mask, in its place, orange where the count is not 0."""
    rows, columns = counts.shape
    panel.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    for (row, column), count in np.ndenumerate(counts):
        colour = ORANGE if count else "white"
        panel.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="0.6", linewidth=0.6))
        panel.text(column + 0.5, row + 0.5, str(count), ha="center", va="center", color="black" if count else "0.6")
    panel.set_title(title, loc="left")
