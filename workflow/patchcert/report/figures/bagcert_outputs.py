"""The figure of BagCert's accuracies by how logits become region scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchcert import InputError
from patchcert.report.bagcert import CLEAN, STRONG, scorers
from patchcert.report.marks import CERTIFIED, MARKERS, Line, grey_handle, legend, percent_axis, with_intervals
from patchcert.report.marks import CLEAN as CLEAN_LABEL
from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled

SETTING = ["dataset", "receptive_field", "margin", "patch"]
_SPREAD = 0.5
"""Width that the seeds of one output take of the distance between two outputs."""


def draw(conditions: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Clean accuracy and what condition 3.2 certifies, by the region scorer's output function: a point a seed and their mean.

    Only settings (receptive field, margin, patch) with more than one output are shown, a row of panels each. Counterpart of
    BagCert, Figure 8, of which no values are printed.

    Args:
        conditions: ``percent`` by run and ``metric``, as :mod:`patchcert.report.bagcert` describes them.
        style: the ``report`` block of the configuration.

    Raises:
        InputError: no setting has more than one output.
    """
    own = scorers(conditions)
    settings = [(facts, rows) for facts, rows in own.groupby(SETTING, sort=False) if rows["output"].nunique() > 1]
    if not settings:
        told = ", ".join(in_order(own["model"]))
        raise InputError(f"models: {told}; write some of several outputs, such as small_bagcert_rf9, small_bagcert_softmax_rf9")
    outputs = in_order(pd.concat([rows for _, rows in settings])["output"])
    with styled(style) as colours:
        runs = [
            Line({"output": output}, _name(output), colours[number], MARKERS[number]) for number, output in enumerate(outputs)
        ]
        figure, panels = plt.subplots(
            len(settings), 2, figsize=(WIDTH, 3.4 * len(settings) + 0.6), sharex=True, sharey=True, squeeze=False
        )
        several = len({facts[0] for facts, _ in settings}) > 1
        for row, ((dataset, field, margin, patch), rows) in zip(panels, settings, strict=True):
            for panel, metric, label in zip(row, (CLEAN, STRONG), (CLEAN_LABEL, CERTIFIED), strict=True):
                for place, run in enumerate(runs):
                    shown = run.of(rows)
                    _seeds(panel, place, shown[shown["metric"] == metric].sort_values("seed"), run)
                percent_axis(panel, "y", label)
                panel.set_xticks(range(len(runs)), [run.name for run in runs])
            of_dataset = f"{spoken(dataset)}: " if several else ""
            row[0].set_title(f"{of_dataset}receptive field {field:g} px, M = {margin:g}, {patch} px patch", loc="left")
        panels[-1, 0].set_xlabel("output of the region scorer")
        panels[-1, 1].set_xlabel("output of the region scorer")
        mean = grey_handle("mean over the seeds", marker="none")
        legend(figure, [*(run.handle(linestyle="none") for run in runs), mean])
    return figure


def _name(output: str) -> str:
    return "Heaviside step" if output == "heaviside" else output


def _seeds(axes: Axes, place: int, rows: pd.DataFrame, run: Line) -> None:
    count = len(rows)
    apart = np.zeros(1) if count == 1 else np.linspace(-_SPREAD / 2, _SPREAD / 2, count)
    if count:
        with_intervals(axes, place + apart, rows, run, linestyle="none")
        axes.hlines(rows["percent"].mean(), place - 0.4, place + 0.4, colors="0.25", linewidth=1.2, zorder=3)
