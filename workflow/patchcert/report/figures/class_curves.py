"""The figure of precision against recall of the best and the worst class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.figures.precision_recall import curve, settings_handles
from patchcert.report.marks import legend, percent_axis
from patchcert.report.multilabel import NAMES, ROWS, titles
from patchcert.report.results import in_order
from patchcert.report.style import WIDTH, entitle, styled


def draw(class_points: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Precision against recall over all thresholds of the grid: the class with the largest certified area, and the smallest.

    Counterpart of Multi-Label PatchCleanser, Figure 4; a row a run.

    Args:
        class_points: as :func:`patchcert.report.results.read_multilabel` gives them.
        style: the ``report`` block of the configuration.
    """
    runs = [run for _, run in class_points.groupby(["dataset", "model", "training", "seed"], sort=False)]
    with styled(style) as colours:
        figure, panels = plt.subplots(
            len(runs), 2, figsize=(WIDTH, 2.9 * len(runs) + 0.6), squeeze=False, sharex=True, sharey=True
        )
        for row, run, title in zip(panels, runs, titles(runs), strict=True):
            for panel, number, which in zip(row, in_order(run["class"]), ("best", "worst"), strict=False):
                for place, setting in enumerate(ROWS):
                    part = run[(run["class"] == number) & (run["setting"] == setting)]
                    curve(panel, part, {"color": colours[place]})
                percent_axis(panel, "x", "recall (%)")
                percent_axis(panel, "y", "precision (%)")
                panel.label_outer()
                entitle(panel, title, f"{which} class, number {number}")
        legend(figure, settings_handles(colours, {setting: NAMES[setting] for setting in ROWS}))
    return figure
