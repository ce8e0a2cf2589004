"""The figure of what a training strategy costs and gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchcert.report.marks import MARKERS, time_axis
from patchcert.report.published import COUNTERPART, accuracies, of_whom
from patchcert.report.results import in_order, spoken
from patchcert.report.style import WIDTH, styled

RUN = ["dataset", "model", "training"]


def draw(
    results: pd.DataFrame,
    ledger: pd.DataFrame,
    trainings: pd.DataFrame,
    training_times: pd.DataFrame,
    style: Mapping[str, Any],
) -> Figure:
    """Certified accuracy against passes of the search and against milliseconds of a step: a row of panels a mask budget,
    of each model on each dataset.

    Args:
        results: as :func:`patchcert.report.results.read_results` gives them.
        ledger: the study's, as :func:`patchcert.report.settings.of_study` gives it.
        trainings: runs with ``extra_passes``, as :func:`patchcert.report.results.frames` gives them.
        training_times: as :func:`patchcert.report.results.read_times` gives them.
        style: the ``report`` block of the configuration.
    """
    certified = results[results["metric"] == "certified"]
    passes = trainings.groupby(RUN, sort=False)["extra_passes"].mean().reset_index()
    times = training_times.assign(milliseconds=training_times["search_ms"] + training_times["step_ms"])
    points = certified.merge(passes, on=RUN).merge(times[[*RUN, "milliseconds"]], on=RUN)
    budgets, names = in_order(points["budget"]), in_order(points["training"])
    kinds = list(dict.fromkeys(_kind(name) for name in names))
    runs = [(told, part) for told, part in points.groupby(["dataset", "model"], sort=False)]
    shown = [(told, own, budget) for told, own in runs for budget in budgets]
    with styled(style) as colours:
        figure, panels = plt.subplots(
            len(shown), 2, figsize=(WIDTH, 3.1 * len(shown) + 0.9), sharey=True, sharex="col", squeeze=False
        )
        for row, (told, own, budget) in zip(panels, shown, strict=True):
            for panel, cost in zip(row, ("extra_passes", "milliseconds"), strict=True):
                for name in names:
                    part = own[(own["budget"] == budget) & (own["training"] == name)]
                    if part.empty:
                        continue
                    number = kinds.index(_kind(name))
                    look = {"color": colours[number], "marker": _MARKS[_masks(name)]}
                    errors = [[part["percent"].mean() - part["low"].mean()], [part["high"].mean() - part["percent"].mean()]]
                    place, height = part[cost].mean(), part["percent"].mean()
                    panel.errorbar(place, height, errors, ecolor="0.7", elinewidth=0.8, markersize=6, linestyle="none", **look)
                    found = accuracies(ledger, part.iloc[0].to_dict(), "certified")
                    if cost == "extra_passes" and len(found):
                        panel.scatter(
                            place, found["published"].iloc[-1], s=26, facecolor="none", edgecolor=colours[number],
                            marker=_MARKS[_masks(name)], zorder=4,
                        )  # fmt: skip
            row[0].set_ylabel(f"{budget} masks: certified accuracy (%)")
            row[0].set_xscale("symlog", linthresh=4)
            if len(runs) > 1:
                row[0].set_title(", ".join(map(spoken, told)), loc="left")
        time_axis(panels[-1, 1], "training step (ms an image)")
        panels[-1, 0].set_xlabel("passes of the search for an image, each epoch")
        panels[-1, 0].set_xticks([0, 4, 17, 71, 666], ["0", "4", "17", "71", "666"])
        panels[-1, 0].minorticks_off()
        handles = [Line2D([], [], marker="s", linestyle="none", color=colours[kinds.index(kind)]) for kind in kinds]
        labels = [spoken(kind) for kind in kinds]
        for masks in dict.fromkeys(_masks(name) for name in names):
            handles.append(Line2D([], [], marker=_MARKS[masks], linestyle="none", color="0.3"))
            labels.append(_LABELS[masks])
        handles.append(Line2D([], [], marker="o", linestyle="none", markerfacecolor="none", markeredgecolor="0.3"))
        whose = of_whom(ledger[ledger["dataset"] == COUNTERPART], "CIFAR-10, full-size model")
        labels.append(f"hollow: published, {whose}")
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


_MARKS = {"": MARKERS[0], "3x3": MARKERS[1], "6x6": MARKERS[2], "both": MARKERS[3]}
_LABELS = {"": "no masks of the certificate", "3x3": "3x3 masks", "6x6": "6x6 masks", "both": "both sizes"}


def _masks(training: str) -> str:
    """Which of the certificate's masks a training uses, by the end of its name; both where it uses two sets."""
    end = training.rsplit("_", 1)[-1]
    return {"3x3": "3x3", "6x6": "6x6", "both": "both", "multisize": "both"}.get(end, "")


def _kind(training: str) -> str:
    return training.rsplit("_", 1)[0] if _masks(training) else training
