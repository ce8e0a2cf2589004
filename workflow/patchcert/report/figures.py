"""The report's figures. Each function takes tables and arrays and gives a matplotlib figure; nothing here reads files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from patchcert import InputError
from patchcert.defenses.double_masking import Case, decide
from patchcert.masks import MaskSet
from patchcert.report.ledger import counterparts
from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled


def strategies(results: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Certified accuracy by training strategy: a panel a mask budget, a group a model, published values as diamonds.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: as :func:`patchcert.report.ledger.read_ledger` gives it.
        style: the ``report`` block of the configuration.
    """
    certified = results[results["metric"] == "certified"]
    budgets, models, trainings = (in_order(certified[name]) for name in ("budget", "model", "training"))
    width = 0.8 / len(trainings)
    with styled(style) as colours:
        figure, panels = plt.subplots(
            len(budgets), 1, figsize=(WIDTH, 2.6 * len(budgets) + 0.6), sharex=True, sharey=True, squeeze=False
        )
        for panel, budget in zip(panels[:, 0], budgets, strict=True):
            for number, training in enumerate(trainings):
                places = np.arange(len(models)) + (number - (len(trainings) - 1) / 2) * width
                shown = certified[(certified["budget"] == budget) & (certified["training"] == training)]
                means = shown.groupby("model")[["percent", "low", "high"]].mean().reindex(models)
                panel.bar(places, means["percent"], width, color=colours[number], label=spoken(training), zorder=2)
                errors = [means["percent"] - means["low"], means["high"] - means["percent"]]
                panel.errorbar(places, means["percent"], errors, fmt="none", ecolor="0.25", elinewidth=0.8, capsize=2, zorder=3)
                published = [
                    (place, value)
                    for place, model in zip(places, models, strict=True)
                    for value in counterparts(ledger, model, training, "certified", budget)["published"]
                ]
                if published:
                    panel.scatter(
                        *zip(*published, strict=True), marker="D", s=22, facecolor="white", edgecolor="black", zorder=4
                    )
            panel.set_title(f"{budget} masks", loc="left")
            panel.set_ylabel("certified accuracy (%)")
            panel.set_ylim(0, 100)
            panel.grid(axis="x", visible=False)
        panels[-1, 0].set_xticks(range(len(models)), [spoken(model) for model in models])
        handles, labels = panels[0, 0].get_legend_handles_labels()
        diamond = Line2D([], [], marker="D", linestyle="none", markerfacecolor="white", markeredgecolor="black")
        figure.legend(
            [*handles, diamond],
            [*labels, "published, CIFAR-10, full-size model"],
            loc="outside upper center",
            ncols=3,
            frameon=False,
        )
    return figure


def training_curves(logs: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Accuracy on the calibration images under each strategy's own masks, epoch by epoch; a dot marks the chosen epoch.

    Args:
        logs: the training logs, with ``model``, ``training`` and ``best_epoch`` beside each row.
        style: the ``report`` block of the configuration.
    """
    models, trainings = in_order(logs["model"]), in_order(logs["training"])
    with styled(style) as colours:
        columns = min(2, len(models))
        rows = -(-len(models) // columns)
        figure, panels = plt.subplots(rows, columns, figsize=(WIDTH, 2.4 * rows + 0.6), sharex=True, sharey=True, squeeze=False)
        for panel in panels.flat[len(models) :]:
            panel.set_visible(False)
        for panel, model in zip(panels.flat, models, strict=False):
            for number, training in enumerate(trainings):
                log = logs[(logs["model"] == model) & (logs["training"] == training)]
                for _, curve in log.groupby("seed"):
                    accuracy = 100 * curve["calibration_masked_accuracy"].to_numpy()
                    best = int(curve["best_epoch"].iloc[0])
                    panel.plot(curve["epoch"] + 1, accuracy, color=colours[number], label=spoken(training), linewidth=1.2)
                    panel.plot(best + 1, accuracy[best], "o", color=colours[number], markersize=4)
            panel.set_title(spoken(model), loc="left")
        figure.supxlabel("epoch", fontsize=style["font_size"])
        figure.supylabel("calibration accuracy under the strategy's masks (%)", fontsize=style["font_size"])
        labelled = {
            label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(labelled.values()), list(labelled), loc="outside upper center", ncols=3, frameon=False)
    return figure


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


def mask_set_rounds(
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
    first = int((trusted or list(disagreers) or [0])[0])
    boxes = masks.boxes
    shape = (len(masks.row_starts), len(masks.column_starts))
    with styled(style) as colours:
        figure = plt.figure(figsize=(WIDTH, 3.7))
        parts = figure.subfigures(1, 3, width_ratios=(1.0, 1.25, 1.25))
        _overview(parts[0], image, masks, colours)
        _copies(parts[1], image, [[box] for box in boxes], one_mask, label, shape, colours, None)
        _copies(parts[2], image, [[boxes[first], box] for box in boxes], pair_labels[first], label, shape, colours, first)
        agree = (
            "one label"
            if not len(disagreers)
            else f"{len(disagreers)} of {len(one_mask)} disagree with the majority, {majority}"
        )
        parts[1].suptitle(f"round 1: one mask\n{agree}", fontsize=style["font_size"])
        second = (
            f"round 2: mask {first + 1} and a second one"
            if len(disagreers)
            else f"not needed; mask {first + 1} and a second one"
        )
        verdict = f"answer {defended}, true label {label} (case {_ROMAN[case]})"
        parts[2].suptitle(f"{second}\n{verdict}", fontsize=style["font_size"])
    return figure


_ROMAN = {Case.AGREED: "I: agreed", Case.DISAGREER: "II: disagreer", Case.MAJORITY: "III: majority"}


def _overview(part: Any, image: NDArray[np.uint8], masks: MaskSet, colours: Sequence[Any]) -> None:
    axes = part.subplots()
    _picture(axes, image)
    for top, bottom, left, right in masks.boxes:
        axes.add_patch(_outline(top, bottom, left, right, edgecolor=colours[0], linewidth=0.5))
    top, bottom, left, right = masks.boxes[0]
    axes.add_patch(_outline(top, bottom, left, right, facecolor=colours[0], edgecolor=colours[0], alpha=0.45, linewidth=1.5))
    height, width = masks.patch_size
    axes.add_patch(_outline(top + 2, top + 2 + height, left + 2, left + 2 + width, edgecolor=colours[3], linewidth=1.8))
    rows, columns = masks.image_size
    axes.set_xlabel(
        f"{len(masks)} masks of {masks.mask_size[0]}x{masks.mask_size[1]} px (first one filled)\n"
        f"cover any {height}x{width} px patch (red)\non {rows}x{columns} px"
    )
    part.suptitle("mask set\n")


def _copies(
    part: Any,
    image: NDArray[np.uint8],
    boxes: Sequence[Sequence[NDArray[np.int64]]],
    labels: NDArray[np.int64],
    truth: int,
    shape: tuple[int, int],
    colours: Sequence[Any],
    first: int | None,
) -> None:
    panels = part.subplots(*shape, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    for panel, hidden, label in zip(panels.flat, boxes, labels, strict=True):
        shown = image.copy()
        for top, bottom, left, right in hidden:
            shown[:, top:bottom, left:right] = 128
        _picture(panel, shown)
        right_label = label == truth
        for side in panel.spines.values():
            side.set(visible=True, color=colours[2] if right_label else colours[3], linewidth=1.4)
        if not right_label:
            panel.text(
                0.04,
                0.96,
                str(label),
                transform=panel.transAxes,
                va="top",
                color="white",
                fontsize=6,
                fontweight="bold",
                bbox={"facecolor": colours[3], "edgecolor": "none", "pad": 0.8},
            )
    part.supxlabel("blue-green frame: true label; red: the label shown" if first is None else "", fontsize=7)


def _picture(axes: Axes, image: NDArray[np.uint8]) -> None:
    axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def _outline(top: float, bottom: float, left: float, right: float, **style: Any) -> Rectangle:
    return Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **({"facecolor": "none"} | style))
