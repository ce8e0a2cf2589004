"""The figure of a mask set over an image, and of the two rounds of double masking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.defenses.double_masking import Case, decide
from patchcert.masks import MaskSet
from patchcert.report.pictures import masked, outline, picture
from patchcert.report.style import WIDTH, styled


def example_row(pair_labels: NDArray[np.int64], wanted: int | None) -> int:
    """Which image to show: the wanted one, or the first on which the one-mask labels disagree, or the first of all.

    Args:
        pair_labels: int64 [N, K, K].
        wanted: a row, or none.

    Raises:
        InputError: there is no such row.
    """
    if wanted is None:
        one_mask = pair_labels.diagonal(axis1=1, axis2=2)
        return int((one_mask != one_mask[:, :1]).any(axis=1).argmax())
    if wanted >= len(pair_labels):
        raise InputError(f"report.example_image: {wanted}; there are {len(pair_labels)} test images, counted from 0")
    return wanted


def draw(
    image: NDArray[np.uint8], label: int, pair_labels: NDArray[np.int64], masks: MaskSet, style: Mapping[str, Any]
) -> Figure:
    """A mask set over an image, and both rounds of double masking with the label that the classifier gave each copy.

    Args:
        image: uint8 [3, H, W].
        label: its true label.
        pair_labels: what the classifier said, int64 [K, K].
        masks: the mask set of K masks.
        style: the ``report`` block of the configuration.
    """
    one_mask = pair_labels.diagonal()
    decision = decide(pair_labels[None])
    defended, case = int(decision.labels[0]), Case(int(decision.cases[0]))
    majority = int(np.bincount(one_mask).argmax())
    disagreers = np.flatnonzero(one_mask != majority)
    trusted = [row for row in disagreers if (pair_labels[row] == one_mask[row]).all()]
    first = int([*trusted, *disagreers, 0][0])
    if len(disagreers):
        agreement = f"{len(disagreers)} of {len(one_mask)} labels disagree\nwith the majority, {majority}"
        second = f"round 2: mask {first + 1} and a second one"
    else:
        agreement = f"all {len(one_mask)} labels agree on {majority}"
        second = f"round 2 is not needed; here mask {first + 1} first"
    with styled(style) as colours:
        figure = plt.figure(figsize=(WIDTH, 3.3))
        panels = figure.subplots(1, 3, width_ratios=(1, 1.1, 1.1))
        _overview(panels[0], image, masks, colours)
        _copies(panels[1], image, [[box] for box in masks.boxes], one_mask, label, masks, colours)
        pairs = [[masks.boxes[first], box] for box in masks.boxes]
        _copies(panels[2], image, pairs, pair_labels[first], label, masks, colours)
        panels[1].set_title(f"round 1: one mask\n{agreement}")
        panels[2].set_title(f"{second}\nanswer {defended} (case {_ROMAN[case]}),\ntrue label {label}")
        figure.supxlabel(
            f"frames: green, the true label {label}; red, the wrong label written in the corner",
            fontsize=style["font_size"] - 1,
        )
    return figure


_ROMAN = {Case.AGREED: "I: agreed", Case.DISAGREER: "II: disagreer", Case.MAJORITY: "III: majority"}


def _overview(axes: Axes, image: NDArray[np.uint8], masks: MaskSet, colours: Sequence[Any]) -> None:
    picture(axes, image)
    for top, bottom, left, right in masks.boxes:
        axes.add_patch(outline(top, bottom, left, right, edgecolor=colours[0], linewidth=0.6))
    top, bottom, left, right = masks.boxes[0]
    axes.add_patch(outline(top, bottom, left, right, facecolor=colours[0], alpha=0.45))
    axes.add_patch(outline(top, bottom, left, right, edgecolor=colours[0], linewidth=1.8))
    height, width = masks.patch_size
    margins = (masks.mask_size[0] - height) / 2, (masks.mask_size[1] - width) / 2
    axes.add_patch(
        outline(
            top + margins[0], bottom - margins[0], left + margins[1], right - margins[1], edgecolor=colours[3], linewidth=1.8
        )
    )
    rows, columns = masks.image_size
    axes.set_title(
        f"{len(masks)} masks of {masks.mask_size[0]}x{masks.mask_size[1]} px (blue)\n"
        f"hide any {height}x{width} px patch (red)\non {rows}x{columns} px"
    )


def _copies(
    axes: Axes,
    image: NDArray[np.uint8],
    boxes: Sequence[Sequence[NDArray[np.int64]]],
    labels: NDArray[np.int64],
    truth: int,
    masks: MaskSet,
    colours: Sequence[Any],
) -> None:
    """Masked copies side by side in the order of the masks, each framed by whether its label is true."""
    rows, columns = len(masks.row_starts), len(masks.column_starts)
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    axes.axis("off")
    for number, (hidden, label) in enumerate(zip(boxes, labels, strict=True)):
        row, column = divmod(number, columns)
        shown = masked(image, hidden).transpose(1, 2, 0)
        gap = 0.05
        axes.imshow(shown, extent=(column + gap, column + 1 - gap, row + 1 - gap, row + gap), interpolation="nearest")
        colour = colours[2] if label == truth else colours[3]
        frame = Rectangle(
            (column + gap, row + gap), 1 - 2 * gap, 1 - 2 * gap, facecolor="none", edgecolor=colour, linewidth=1.4
        )
        axes.add_patch(frame)
        if label != truth:
            axes.text(
                column + 0.09,
                row + 0.09,
                str(label),
                va="top",
                color="white",
                fontsize=max(5, 15 - 1.6 * rows),
                fontweight="bold",
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
            )
    axes.set(xlim=(0, columns), ylim=(rows, 0))
