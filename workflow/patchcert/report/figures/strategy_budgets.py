"""The figure of training strategies under ever more masks of the certificate (Greedy Cutout, Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from patchcert.report.marks import MARKERS
from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled


def draw(results: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Certified accuracy by the mask budget, a line a training, a panel a model.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        style: the ``report`` block of the configuration.
    """
    certified = results[results["metric"] == "certified"]
    models, budgets, trainings = (in_order(certified[fact]) for fact in ("model", "budget", "training"))
    with styled(style) as colours:
        figure, panels = plt.subplots(1, len(models), figsize=(WIDTH, 3.4), sharey=True, squeeze=False)
        for panel, model in zip(panels[0], models, strict=True):
            for number, training in enumerate(trainings):
                part = certified[(certified["model"] == model) & (certified["training"] == training)]
                means = part.groupby("budget")[["percent", "low", "high"]].mean().reindex(budgets)
                panel.errorbar(
                    range(len(budgets)), means["percent"], [means["percent"] - means["low"], means["high"] - means["percent"]],
                    color=colours[number], marker=MARKERS[number], capsize=2, elinewidth=0.8, label=spoken(training),
                )  # fmt: skip
            panel.set_xticks(range(len(budgets)), budgets)
            panel.set(xlabel="masks of the certificate", title=spoken(model))
        panels[0, 0].set_ylabel("certified accuracy (%)")
        panels[0, 0].set_ylim(bottom=0)
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure
