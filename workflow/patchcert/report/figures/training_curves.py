"""The figure of the training logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled


def draw(logs: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
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
