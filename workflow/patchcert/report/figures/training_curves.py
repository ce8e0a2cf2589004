"""The figure of the training logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, entitle, styled

QUALITIES = {
    "calibration_masked_accuracy": "accuracy",
    "calibration_masked_average_precision": "mean average precision",
}
"""Columns of a log that say how good an epoch was, for readers."""


def draw(logs: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Quality on the calibration images under each strategy's own masks, epoch by epoch; a dot marks the chosen epoch.

    That is accuracy, or mean average precision where images have several labels.

    Args:
        logs: the training logs, with ``dataset``, ``model``, ``training`` and ``best_epoch`` beside each row.
        style: the ``report`` block of the configuration.
    """
    several = logs["dataset"].nunique() > 1
    logs = logs.assign(
        panel=[
            f"{dataset}: {spoken(model)}" if several else spoken(model)
            for dataset, model in zip(logs["dataset"], logs["model"], strict=True)
        ],
        quality=100 * logs[[name for name in QUALITIES if name in logs]].bfill(axis=1).iloc[:, 0],
    )
    models, trainings = in_order(logs["panel"]), in_order(logs["training"])
    told = [name for column, name in QUALITIES.items() if column in logs]
    with styled(style) as colours:
        columns = min(2, len(models))
        rows = -(-len(models) // columns)
        figure, panels = plt.subplots(rows, columns, figsize=(WIDTH, 2.4 * rows + 0.6), sharex=True, sharey=True, squeeze=False)
        for panel in panels.flat[len(models) :]:
            panel.set_visible(False)
        for panel, model in zip(panels.flat, models, strict=False):
            for number, training in enumerate(trainings):
                log = logs[(logs["panel"] == model) & (logs["training"] == training)]
                for _, curve in log.groupby("seed"):
                    quality = curve["quality"].to_numpy()
                    best = int(curve["best_epoch"].iloc[0])
                    panel.plot(curve["epoch"] + 1, quality, color=colours[number], label=spoken(training), linewidth=1.2)
                    panel.plot(best + 1, quality[best], "o", color=colours[number], markersize=4)
            entitle(panel, model)
        figure.supxlabel("epoch", fontsize=style["font_size"])
        figure.supylabel(f"calibration {' or '.join(told)} under the strategy's masks (%)", fontsize=style["font_size"])
        labelled = {
            label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(labelled.values()), list(labelled), loc="outside upper center", ncols=3, frameon=False)
    return figure
