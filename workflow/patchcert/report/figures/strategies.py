"""The figure of certified accuracy by training strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchcert.report.published import COUNTERPART, accuracies, of_whom
from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled


def draw(results: pd.DataFrame, ledger: pd.DataFrame, style: Mapping[str, Any]) -> Figure:
    """Certified accuracy by training strategy: a panel a mask set, a group a model, published values as diamonds.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        style: the ``report`` block of the configuration.
    """
    certified = results[results["metric"] == "certified"]
    models, trainings = in_order(certified["model"]), in_order(certified["training"])
    settings = [(setting, part) for setting, part in certified.groupby(["dataset", "patch", "budget"], sort=False)]
    made = {model: [name for name in trainings if name in set(part["training"])] for model, part in certified.groupby("model")}
    width = 0.8 / len(trainings)

    def place(number: int, model: str, training: str) -> float:
        """Where a bar stands: the bars of a model, as many as it has, are centred on the model's number."""
        own = made[model]
        return number + (own.index(training) - (len(own) - 1) / 2) * width if training in own else float(number)

    with styled(style) as colours:
        figure, panels = plt.subplots(
            len(settings), 1, figsize=(WIDTH, 2.6 * len(settings) + 0.6), sharex=True, sharey=True, squeeze=False
        )
        for panel, ((dataset, patch, budget), part) in zip(panels[:, 0], settings, strict=True):
            facts = {"dataset": dataset, "patch": patch, "budget": budget}
            for number, training in enumerate(trainings):
                places = np.array([place(group, model, training) for group, model in enumerate(models)])
                shown = part[part["training"] == training]
                means = shown.groupby("model")[["percent", "low", "high"]].mean().reindex(models)
                panel.bar(places, means["percent"], width, color=colours[number], label=spoken(training), zorder=2)
                errors = [means["percent"] - means["low"], means["high"] - means["percent"]]
                panel.errorbar(places, means["percent"], errors, fmt="none", ecolor="0.25", elinewidth=0.8, capsize=2, zorder=3)
                published = [
                    (centre, value)
                    for centre, model in zip(places, models, strict=True)
                    if model in shown["model"].to_numpy()
                    for value in accuracies(ledger, facts | {"model": model, "training": training}, "certified")["published"]
                ]
                if published:
                    panel.scatter(
                        *zip(*published, strict=True), marker="D", s=22, facecolor="white", edgecolor="black", zorder=4
                    )
            panel.set_title(f"{spoken(dataset)}, {patch} px patch, {budget} masks", loc="left")
            panel.set_ylabel("certified accuracy (%)")
            panel.set_ylim(0, 100)
            panel.grid(axis="x", visible=False)
        # timm's names are wider than a group of bars
        panels[-1, 0].set_xticks(range(len(models)), [spoken(model).replace(".", "\n.") for model in models])
        handles, labels = panels[0, 0].get_legend_handles_labels()
        diamond = Line2D([], [], marker="D", linestyle="none", markerfacecolor="white", markeredgecolor="black")
        figure.legend(
            [*handles, diamond],
            [*labels, f"published, {of_whom(ledger[ledger['dataset'] == COUNTERPART], 'CIFAR-10, full-size model')}"],
            loc="outside upper center",
            ncols=3,
            frameon=False,
        )
    return figure
